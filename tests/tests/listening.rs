//! Listeners and addresses: the same calls on the operating system and in the simulator have the same
//! answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use aio::{
    Accept, AddrError, Address, Close, Completion, ConnId, Connect, Done, InvalidListen, Limit, Listen,
    ListenError, Proactor, Recv, System, SystemErrorKind,
};
use sim::{EngineKind, Faults, Net, Odds, SimOs};

/// What was asked, and the answer: an address in words, as ports differ.
type Answers = Vec<(&'static str, String)>;

/// What an error says, without its number.
fn listen_error(error: &ListenError) -> String {
    match error {
        ListenError::System(error) => format!("{:?}", error.kind()),
        other => format!("{other:?}"),
    }
}

fn addr_error(error: &AddrError) -> String {
    match error {
        AddrError::System(error) => format!("{:?}", error.kind()),
        other => format!("{other:?}"),
    }
}

struct Asked<S: System> {
    aio: Proactor<&'static str, S>,
    answers: Answers,
}

impl<S: System> Asked<S> {
    fn note(&mut self, what: &'static str, answer: impl Into<String>) {
        self.answers.push((what, answer.into()));
    }

    /// The completion with that context.
    fn complete(&mut self, context: &str) -> Completion<&'static str> {
        let mut batch = Vec::with_capacity(1);
        loop {
            assert!(self.aio.turn(&mut batch, None).unwrap());
            if let Some(done) = batch.pop() {
                assert_eq!(done.context, context);
                return done;
            }
        }
    }

    fn refusal(&mut self, what: &'static str, listen: &Listen) {
        let answer = match self.aio.listen(listen) {
            Ok(conn) => {
                self.aio.close(conn);
                "listens".to_owned()
            }
            Err(error) => listen_error(&error),
        };
        self.note(what, answer);
    }

    /// Whether an end is called as the other end says.
    fn compare(&mut self, what: &'static str, [local, peer]: [ConnId; 2]) {
        let answer = match (self.aio.local_addr(local), self.aio.peer_addr(peer)) {
            (Ok(local), Ok(peer)) if local == peer => match local {
                Address::Internet(address) => format!("{}, the same", address.ip()),
                other => format!("{} bytes, the same", other.as_unix().unwrap().len()),
            },
            (Ok(local), Ok(peer)) => format!("{local}, but {peer}"),
            (local, peer) => {
                format!("{:?}, {:?}", local.map_err(|e| addr_error(&e)), peer.map_err(|e| addr_error(&e)))
            }
        };
        self.note(what, answer);
    }

    /// Connects to an address that is listened on.
    fn join(&mut self, listener: ConnId, address: Address) -> [ConnId; 2] {
        self.aio.submit(self.aio.own(), Connect::to(address), "connect").unwrap();
        let done = self.complete("connect");
        assert_eq!(done.result, Ok(Done::Connected));
        self.aio.submit(listener, Accept::one(), "accept").unwrap();
        let Ok(Done::Accepted(server)) = self.complete("accept").result else { panic!("it is accepted") };
        [done.conn, server]
    }

    /// Everything that is the same of all addresses. Ends with the listener open.
    fn ask(&mut self, listen: &Listen) -> ConnId {
        let listener = self.aio.listen(listen).unwrap();
        let address = self.aio.local_addr(listener).unwrap();
        let again = Listen::on(address.clone());
        self.refusal("a second listener", &again.clone().unlink_stale(true));
        self.refusal("no backlog", &again.backlog(0));
        let error = self.aio.peer_addr(listener).unwrap_err();
        self.note("a listener's peer", addr_error(&error));

        let [client, server] = self.join(listener, address);
        self.compare("the client's name", [client, server]);
        self.compare("the server's name", [server, client]);
        self.compare("the accepted is called as the listener", [listener, client]);
        self.aio.submit(server, Recv::into(vec![0; 8]), "receive").unwrap();
        self.aio.submit(client, Close::abort(), "close").unwrap();
        // The end of a Unix socket is seen before its close is told, or after.
        let mut contexts = Vec::with_capacity(2);
        while contexts.len() < 2 {
            let mut batch = Vec::with_capacity(2);
            self.aio.turn(&mut batch, None).unwrap();
            contexts.extend(batch.into_iter().map(|done| done.context));
        }
        let told = self.aio.peer_addr(server).map(|peer| match peer {
            Address::Internet(peer) => peer.ip().to_string(),
            other => other.to_string(),
        });
        self.note("the peer after it is gone", told.unwrap_or_else(|error| addr_error(&error)));
        let gone = self.aio.local_addr(client).unwrap_err();
        self.note("what is closed", addr_error(&gone));
        self.aio.close(server);
        listener
    }

    fn ask_unix(&mut self, path: &Address) {
        let listener = self.ask(&Listen::on(path.clone()));
        self.aio.close(listener);
        self.aio.turn(&mut Vec::new(), Some(std::time::Duration::ZERO)).unwrap();
        self.refusal("a stale path", &Listen::on(path.clone()));
        self.refusal("a stale path, removed", &Listen::on(path.clone()).unlink_stale(true));
        self.refusal("a path that is too long", &Listen::on(Address::unix(vec![b'x'; 200])));
    }

    fn ask_internet(&mut self, ip: IpAddr) {
        let any_port = Listen::on(SocketAddr::new(ip, 0));
        let listener = self.ask(&any_port.clone().nodelay(true));
        let address = self.aio.local_addr(listener).unwrap();
        self.refusal(
            "a port to be shared with one who does not",
            &Listen::on(address.clone()).reuse_port(true),
        );
        self.aio.close(listener);
        self.aio.turn(&mut Vec::new(), Some(std::time::Duration::ZERO)).unwrap();
        let shared = Listen::on(address).reuse_port(true);
        let first = self.aio.listen(&shared).unwrap();
        self.refusal("a port that is shared", &shared);
        self.aio.close(first);
        if ip.is_ipv4() {
            self.refusal("v6only of IPv4", &any_port.v6only(true));
        }
    }
}

fn ask<S: System>(mut aio: Proactor<&'static str, S>, case: &Case) -> Answers {
    let foreign =
        Proactor::<()>::new().unwrap().listen(&Listen::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    assert_eq!(aio.local_addr(foreign.unwrap()), Err(AddrError::Foreign));
    let mut asked = Asked { aio, answers: Vec::new() };
    match case {
        Case::Internet(ip) => asked.ask_internet(*ip),
        Case::Unix(path) => asked.ask_unix(path),
    }
    asked.aio.check().unwrap();
    asked.answers
}

#[derive(Debug)]
enum Case {
    Internet(IpAddr),
    Unix(Address),
}

#[test]
fn the_simulator_answers_as_the_operating_system_does() {
    let path: PathBuf = std::env::temp_dir().join(format!("aio-listening-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut cases = vec![Case::Internet(Ipv4Addr::LOCALHOST.into()), Case::Unix(path.clone().into())];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        cases.push(Case::Internet(Ipv6Addr::LOCALHOST.into()));
    } else {
        eprintln!("SKIPPED: no IPv6");
    }
    for case in &cases {
        let real = ask(Proactor::new().unwrap(), case);
        assert!(real.len() >= 9, "{real:?}");
        for engine in EngineKind::ALL {
            let net = Net::calm();
            let system = SimOs::new(net.clone(), *engine);
            let simulated = ask(Proactor::<&'static str>::builder().build_on(system).unwrap(), case);
            assert_eq!(simulated, real, "{case:?}, {engine:?}");
            assert_eq!((net.violations(), net.descriptors()), (vec![], 0));
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_can_not_be_taken_in_leaves_nothing() {
    let mut aio: Proactor<()> = Proactor::<()>::builder().connections_max(1).build().unwrap();
    let path = std::env::temp_dir().join(format!("aio-listening-limit-{}", std::process::id()));
    let any_port = Listen::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    assert_eq!(aio.listen(&any_port.clone().backlog(0)), Err(InvalidListen::NoBacklog.into()));
    let other = Listen::on(SocketAddr::from(([192, 0, 2, 1], 0)));
    let Err(ListenError::System(error)) = aio.listen(&other) else { panic!("no machine has it") };
    assert_eq!((error.kind(), aio.stats().connections), (SystemErrorKind::AddressNotAvailable, 0));

    aio.listen(&any_port).unwrap();
    let full = aio.listen(&Listen::on(path.as_path()));
    assert_eq!(full, Err(aio::OpenError::Busy(Limit::Connections).into()));
    assert!(!path.exists());
    aio.shut_down();
    assert_eq!(aio.listen(&any_port), Err(aio::OpenError::ShutDown.into()));
    while aio.turn(&mut Vec::new(), None).unwrap() {}
    aio.check().unwrap();
}

#[test]
fn a_listener_that_can_not_be_watched_is_closed() {
    let net = Net::calm();
    let mut aio: Proactor<(), SimOs> =
        Proactor::<()>::builder().build_on(SimOs::new(net.clone(), EngineKind::Epoll)).unwrap();
    let listen = Listen::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
    net.set_faults(Faults { adopt_refused: Odds::ALWAYS, ..Faults::NONE });
    let Err(ListenError::System(error)) = aio.listen(&listen) else { panic!("it is refused") };
    assert_eq!(error.kind(), SystemErrorKind::OutOfMemory);
    assert_eq!((net.descriptors(), aio.stats().connections), (0, 0));
    net.set_faults(Faults::NONE);
    net.set_descriptors_max(0);
    let Err(ListenError::System(error)) = aio.listen(&listen) else { panic!("it is refused") };
    assert_eq!(error.kind(), SystemErrorKind::DescriptorsExhausted);
    net.set_descriptors_max(1);
    let conn = aio.listen(&listen).unwrap();
    aio.close(conn);
    aio.turn(&mut Vec::new(), Some(std::time::Duration::ZERO)).unwrap();
    assert_eq!(aio.local_addr(conn), Err(AddrError::Stale));
    assert_eq!(net.descriptors(), 0);
    aio.check().unwrap();
}
