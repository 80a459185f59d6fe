//! The fence agent in a node: Pacemaker's side of it. The other side is the supervisor, which ends
//! the kernel of the node that it is asked about and answers only once that kernel is dead.

use super::guest::FENCE_SOCKET;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

const METADATA: &str = r#"<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Ends the kernel of a node of the lab">
<longdesc>Asks the host that runs the lab to end or start the kernel of a node.</longdesc>
<vendor-url>https://localhost/</vendor-url>
<parameters>
  <parameter name="action" unique="0" required="1">
    <content type="string" default="reboot"/><shortdesc lang="en">Fencing action</shortdesc>
  </parameter>
  <parameter name="port" unique="0" required="0">
    <content type="string"/><shortdesc lang="en">The node</shortdesc>
  </parameter>
</parameters>
<actions>
  <action name="on" automatic="0"/>
  <action name="off"/>
  <action name="reboot"/>
  <action name="status"/>
  <action name="list"/>
  <action name="monitor"/>
  <action name="metadata"/>
  <action name="validate-all"/>
</actions>
</resource-agent>
"#;

/// Does what Pacemaker asks on standard input (`key=value` lines) or by `--action` and `--plug`.
/// Returns the exit code.
///
/// # Errors
/// When the lab does not answer: to Pacemaker the fencing has failed.
pub fn main(args: &[String]) -> Result<i32> {
    let options = options(args)?;
    let action = options.get("action").map_or("reboot", String::as_str);
    match action {
        "metadata" => {
            print!("{METADATA}");
            return Ok(0);
        }
        "validate-all" => return Ok(0),
        _ => {}
    }
    let target = options
        .get("port")
        .or_else(|| options.get("nodename"))
        .map_or("-", String::as_str);
    let mut socket = UnixStream::connect(FENCE_SOCKET)
        .with_context(|| format!("reach the lab at {FENCE_SOCKET}"))?;
    writeln!(socket, "{action} {target}").context("ask the lab")?;
    let mut answer = String::new();
    BufReader::new(socket)
        .read_line(&mut answer)
        .context("hear from the lab")?;
    let mut words = answer.split_whitespace();
    let Some(code) = words.next().and_then(|w| w.parse().ok()) else {
        bail!("the lab closed the line without an answer")
    };
    for word in words {
        println!("{word}");
    }
    Ok(code)
}

fn options(args: &[String]) -> Result<HashMap<String, String>> {
    let mut options = HashMap::new();
    if args.is_empty() {
        for line in std::io::stdin().lines() {
            if let Some((key, value)) = line.context("read the options")?.split_once('=') {
                options.insert(key.trim().to_owned(), value.trim().to_owned());
            }
        }
        return Ok(options);
    }
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        let key = match name {
            "-o" | "--action" => "action",
            "-n" | "--plug" => "port",
            _ => bail!("{arg}: not an option of fence_lab; it knows --action and --plug"),
        };
        if let Some(value) = value.or_else(|| args.next().cloned()) {
            options.insert(key.to_owned(), value);
        }
    }
    Ok(options)
}
