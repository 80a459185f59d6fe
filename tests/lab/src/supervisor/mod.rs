//! The one process that owns an instance: its network namespace, its kernels and its socket. When
//! it ends, by whatever cause, all of them end with it.

pub mod machine;
pub mod protocol;
mod requests;

use crate::cluster::{NODES, Node};
use crate::control::wire::ToGuest;
use crate::net;
use crate::wait::{self, Seen};
use anyhow::{Context, Result};
use machine::{End, FenceRequest, Machine};
use protocol::{Fencing, Spec};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What all threads of the supervisor share.
pub struct Shared {
    spec: Spec,
    machines: [Machine; 2],
    orders: Sender<Order>,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    auto_boot: bool,
    partition: Option<String>,
    fencings: Vec<Fencing>,
}

/// For the main thread.
enum Order {
    Boot(Node, Vec<String>, Option<Sender<Result<()>>>),
    Shutdown(Option<Sender<()>>),
}

impl Shared {
    fn machine(&self, node: Node) -> &Machine {
        &self.machines[node.index()]
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the instance's lock; `None` when a supervisor holds it.
///
/// # Errors
/// When the lock file cannot be made.
pub fn try_lock(dir: &Path) -> Result<Option<nix::fcntl::Flock<File>>> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// The supervisor's whole life. Says `ready` on standard output. Standard input is its lifeline: at
/// its end the lab ends too, unless a byte came before, which lets the lab stay.
///
/// # Errors
/// When the instance cannot be set up.
pub fn main(dir: &Path) -> Result<()> {
    nix::unistd::setsid().context("leave the terminal")?;
    let spec: Spec =
        serde_json::from_slice(&fs::read(dir.join("spec.json")).context("read spec.json")?)?;
    let _lock = try_lock(dir)?.context("another supervisor runs this instance")?;
    net::build()?;
    let listener = listen(&spec.socket)?;

    let (orders, inbox) = channel();
    let shared = Arc::new(Shared {
        machines: NODES.map(Machine::new),
        orders: orders.clone(),
        facts: Mutex::new(Facts::default()),
        spec,
    });

    let on_signal = orders.clone();
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("watch for signals")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let _ = on_signal.send(Order::Shutdown(None));
        }
    });
    std::thread::spawn(move || {
        let mut byte = [0];
        if !matches!(std::io::stdin().read(&mut byte), Ok(1)) {
            let _ = orders.send(Order::Shutdown(None));
        }
    });
    let accepting = Arc::clone(&shared);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let shared = Arc::clone(&accepting);
            std::thread::spawn(move || {
                if let Err(error) = requests::serve(&shared, connection) {
                    eprintln!("a client: {error:#}");
                }
            });
        }
    });
    println!("ready");
    std::io::stdout().flush()?;

    for order in inbox {
        match order {
            Order::Boot(node, words, answer) => {
                let result = boot(&shared, node, &words);
                match answer {
                    Some(answer) => drop(answer.send(result)),
                    None => {
                        if let Err(error) = result {
                            eprintln!("boot {node}: {error:#}");
                        }
                    }
                }
            }
            Order::Shutdown(answer) => {
                for machine in &shared.machines {
                    if let Err(error) = machine.cut() {
                        eprintln!("{error:#}");
                    }
                }
                let _ = fs::remove_file(&shared.spec.socket);
                if let Some(answer) = answer {
                    let _ = answer.send(());
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Makes the socket, and its directory. Another lab that ends removes the directory when it is empty:
/// between the two it may go again.
fn listen(socket: &Path) -> Result<UnixListener> {
    wait::quietly("the socket", Duration::from_secs(5), || {
        if let Some(parent) = socket.parent() {
            fs::create_dir_all(parent)?;
        }
        // The lock is ours, so a socket that is still there belongs to nobody.
        let _ = fs::remove_file(socket);
        match UnixListener::bind(socket) {
            Ok(listener) => Ok(Seen::Ready(listener)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Seen::NotYet(error.to_string()))
            }
            Err(error) => Err(error).with_context(|| format!("listen on {}", socket.display())),
        }
    })
}

fn boot(shared: &Arc<Shared>, node: Node, words: &[String]) -> Result<()> {
    let (child, line) = shared.machine(node).start(&shared.spec, words)?;
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let by = Arc::clone(&shared);
        let console = shared.spec.dir.join(node.name()).join("console.log");
        let end = shared
            .machine(node)
            .attend(child, line, &console, |request| {
                let by = Arc::clone(&by);
                // A thread: the node's line must stay served while its peer dies.
                std::thread::spawn(move || fence(&by, node, &request));
            });
        if end == End::Reboot && shared.facts().auto_boot {
            let _ = shared.orders.send(Order::Boot(node, Vec::new(), None));
        }
    });
    Ok(())
}

/// Answers a fence agent in node `by`.
fn fence(shared: &Arc<Shared>, by: Node, request: &FenceRequest) {
    let answer = |code: i32, words: &str| {
        shared
            .machine(by)
            .tell(&ToGuest::Fenced(request.id, code, words.to_owned()));
    };
    let target = Node::parse(&request.target);
    match (request.action.as_str(), target) {
        ("list", _) => answer(0, &NODES.map(Node::name).join(" ")),
        ("monitor", _) => answer(0, ""),
        // What fence agents answer: 0 on, 2 off.
        ("status", Ok(target)) => answer(
            if shared.machine(target).status().on {
                0
            } else {
                2
            },
            "",
        ),
        ("on", Ok(target)) => {
            let _ = shared.orders.send(Order::Boot(target, Vec::new(), None));
            answer(0, "");
        }
        (action @ ("off" | "reboot"), Ok(target)) => {
            let at = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64();
            let start = Instant::now();
            match shared.machine(target).cut() {
                Ok(()) => {
                    let auto_boot = {
                        let mut facts = shared.facts();
                        facts.fencings.push(Fencing {
                            at,
                            by: by.name().to_owned(),
                            target: target.name().to_owned(),
                            action: action.to_owned(),
                            took: start.elapsed().as_secs_f64(),
                        });
                        facts.auto_boot
                    };
                    answer(0, "");
                    if action == "reboot" && auto_boot {
                        let _ = shared.orders.send(Order::Boot(target, Vec::new(), None));
                    }
                }
                Err(error) => {
                    eprintln!("fence: {error:#}");
                    answer(1, "");
                }
            }
        }
        (action, _) => {
            eprintln!("{by} asks to {action} {:?}: not known", request.target);
            answer(1, "");
        }
    }
}
