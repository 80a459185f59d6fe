//! What the rules do, with the real `ip`: two network namespaces, one for each node, and a pair of
//! interfaces between them. They end with the threads that are in them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use two_node_ha_command::{Call, System, succeed};

use super::{Changed, open, refuse};

/// What a call to a dead node would take at least: the first repetition of its packet.
const WAITED: Duration = Duration::from_secs(1);

const K8SD: u16 = 6400;
const SSH: u16 = 22;

/// The addresses of this node and its peer, of both families.
const LINKS: [[&str; 2]; 2] = [["10.9.0.1", "10.9.0.2"], ["fd09::1", "fd09::2"]];

/// A thread in a network namespace of its own.
struct Host {
    jobs: Sender<Box<dyn FnOnce() + Send>>,
    thread: i32,
}

impl Host {
    /// None where this process may not make one.
    fn new() -> Option<Self> {
        let (jobs, todo): (_, Receiver<Box<dyn FnOnce() + Send>>) = channel();
        let (tell, told) = channel();
        thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET);
            let _ = tell.send(made.map(|()| nix::unistd::gettid().as_raw()));
            for job in todo {
                job();
            }
        });
        let thread = told.recv().unwrap().ok()?;
        Some(Self { jobs, thread })
    }

    fn does<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job = move || {
            let _ = tell.send(what());
        };
        self.jobs.send(Box::new(job)).unwrap();
        told.recv().unwrap()
    }

    fn ip(&self, line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        self.does(move || {
            let call = Call::new("ip", Duration::from_secs(20)).args(words);
            let output = succeed(&System::new(), &call).unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
    }

    /// Whoever dials that, within which time, and how that ends.
    fn dials(&self, address: SocketAddr) -> (Result<(), ErrorKind>, Duration) {
        self.does(move || {
            let began = Instant::now();
            let dialled = TcpStream::connect_timeout(&address, WAITED);
            (
                dialled.map(drop).map_err(|error| error.kind()),
                began.elapsed(),
            )
        })
    }

    fn listens(&self, address: SocketAddr) -> TcpListener {
        self.does(move || TcpListener::bind(address).unwrap())
    }

    fn refuses(&self, addresses: &[SocketAddr]) -> Changed {
        let addresses: BTreeSet<SocketAddr> = addresses.iter().copied().collect();
        self.does(move || refuse(&System::new(), &addresses).unwrap())
    }

    fn opens(&self) -> Changed {
        self.does(|| open(&System::new()).unwrap())
    }
}

fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse::<IpAddr>().unwrap(), port)
}

/// This node and its peer, linked; nothing where that cannot be made.
fn linked() -> Option<(Host, Host)> {
    let made = Host::new().zip(Host::new());
    let installed =
        std::path::Path::new("/usr/sbin/ip").exists() || std::path::Path::new("/sbin/ip").exists();
    let Some((here, peer)) = made.filter(|_| installed) else {
        eprintln!("skipped: needs root, for a network namespace, and iproute2");
        return None;
    };
    here.ip(&format!(
        "link add v0 type veth peer name v0 netns {}",
        peer.thread
    ));
    for (host, n) in [(&here, 0), (&peer, 1)] {
        host.ip("link set lo up");
        host.ip("link set v0 up");
        host.ip(&format!("addr add {}/24 dev v0", LINKS[0][n]));
        host.ip(&format!("addr add {}/64 dev v0 nodad", LINKS[1][n]));
    }
    Some((here, peer))
}

#[test]
fn a_refused_port_of_the_peer_is_answered_at_once_and_nothing_else_is_touched() {
    let Some((here, peer)) = linked() else { return };
    for [own, its] in LINKS {
        let (k8sd, ssh) = (at(its, K8SD), at(its, SSH));
        let _listening = [
            peer.listens(k8sd),
            peer.listens(ssh),
            here.listens(at(own, K8SD)),
        ];
        assert_eq!(here.dials(k8sd).0, Ok(()), "before");
        let both = [k8sd, at(its, 9000)];
        assert_eq!(here.refuses(&both).added, 2);
        let (dialled, took) = here.dials(k8sd);
        assert_eq!(dialled, Err(ErrorKind::NetworkUnreachable));
        assert!(took < WAITED / 10, "{took:?}");
        assert_eq!(here.dials(ssh).0, Ok(()), "another port");
        assert_eq!(peer.dials(at(own, K8SD)).0, Ok(()), "the other direction");
        assert_eq!(here.refuses(&both), Changed::default(), "there already");
        assert_eq!(here.opens().removed, 2);
        assert_eq!(here.dials(k8sd).0, Ok(()), "afterwards");
    }
}

#[test]
fn what_nobody_answers_is_waited_for_without_the_rule_and_not_with_it() {
    let Some((here, peer)) = linked() else { return };
    peer.ip("link set v0 down");
    peer.ip("addr flush dev v0");
    let mac = "02:00:00:00:00:02";
    for [_, its] in LINKS {
        // A router that answers for the dead: the packets are sent, and dropped.
        here.ip(&format!(
            "neigh replace {its} lladdr {mac} nud permanent dev v0"
        ));
        peer.ip("link set v0 up");
        let k8sd = at(its, K8SD);
        let (dialled, took) = here.dials(k8sd);
        assert_eq!(dialled, Err(ErrorKind::TimedOut));
        assert!(took >= WAITED, "{took:?}");
        here.refuses(&[k8sd]);
        let (dialled, took) = here.dials(k8sd);
        assert_eq!(dialled, Err(ErrorKind::NetworkUnreachable));
        assert!(took < WAITED / 10, "{took:?}");
        here.opens();
        assert_eq!(here.dials(k8sd).0, Err(ErrorKind::TimedOut));
    }
}

#[test]
fn doubles_and_leftovers_go_and_the_rules_of_others_stay_as_they_are() {
    let Some((here, _peer)) = linked() else {
        return;
    };
    for ([_, its], family) in LINKS.into_iter().zip(["-4", "-6"]) {
        let before = here.ip(&format!("{family} rule show"));
        here.ip(&format!(
            "{family} rule add priority 5 to {its} ipproto tcp dport 22 lookup main"
        ));
        let others = here.ip(&format!("{family} rule show"));
        assert_ne!(others, before);
        let k8sd = at(its, K8SD);
        assert_eq!(here.refuses(&[k8sd]).added, 1);
        let wanted = here.ip(&format!("{family} rule show"));
        for (priority, port) in [(6, K8SD), (5, 6401), (7, 9000)] {
            here.ip(&format!(
                "{family} rule add priority {priority} protocol 147 to {its} ipproto tcp dport {port} \
                 unreachable"
            ));
        }
        let changed = here.refuses(&[k8sd]);
        assert_eq!((changed.removed, changed.added), (4, 1));
        assert_eq!(here.ip(&format!("{family} rule show")), wanted);
        assert_eq!(here.opens().removed, 1);
        assert_eq!(here.ip(&format!("{family} rule show")), others);
        assert_eq!(here.opens(), Changed::default());
    }
}
