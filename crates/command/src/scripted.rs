//! A runner that answers from a script: for tests, which is why a call that the script does not
//! know is a panic and not an error.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Call, Error, Exit, Output, Runner};

/// What a scripted call does.
type Answer = Box<dyn Fn(&Call) -> Result<Output, Error>>;

/// Answers from a script and remembers what it was asked.
#[derive(Default)]
pub struct Scripted {
    answers: Vec<(String, Answer)>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    calls: RefCell<Vec<String>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The answers are functions, which cannot be shown.
        f.debug_struct("Scripted")
            .field("files", &self.files)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Scripted {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A command line that begins with `prefix` prints `stdout` and exits with `code`.
    #[must_use]
    pub fn answer(self, prefix: &str, code: i32, stdout: impl Into<Vec<u8>>) -> Self {
        let stdout = stdout.into();
        self.answer_with(prefix, move |_| {
            Ok(Output {
                exit: Exit::Code(code),
                stdout: stdout.clone(),
                stderr: Vec::new(),
            })
        })
    }

    /// A command line that begins with `prefix` is answered by `answer`.
    #[must_use]
    pub fn answer_with(
        mut self,
        prefix: &str,
        answer: impl Fn(&Call) -> Result<Output, Error> + 'static,
    ) -> Self {
        self.answers.push((prefix.to_owned(), Box::new(answer)));
        self
    }

    /// A command line that begins with `prefix` hangs until its deadline.
    #[must_use]
    pub fn hang(self, prefix: &str) -> Self {
        self.answer_with(prefix, |call| {
            Err(Error::Deadline {
                call: call.to_string(),
                deadline: call.deadline,
            })
        })
    }

    /// A command line that begins with `prefix` names a program that is not installed.
    #[must_use]
    pub fn absent(self, prefix: &str) -> Self {
        self.answer_with(prefix, |call| {
            Err(Error::NotInstalled {
                call: call.to_string(),
            })
        })
    }

    /// A file that [`Runner::read`] finds.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// The command lines so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }
}

impl Runner for Scripted {
    fn run(&self, call: &Call) -> Result<Output, Error> {
        let line = call.to_string();
        self.calls.borrow_mut().push(line.clone());
        match self
            .answers
            .iter()
            .find(|(prefix, _)| line.starts_with(prefix))
        {
            Some((_, answer)) => answer(call),
            None => panic!("the script has no answer to `{line}`"),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
