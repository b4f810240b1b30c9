//! Out of descriptors. Alone in its process, whose limit it lowers.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use aio_model::testing::{Ids, target};
use aio_model::{Address, Listen, Outcome, Readiness, Syscall, System, SystemErrorKind};
use aio_sys::{Os, PreparedSocket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const EVENTS_MAX: std::num::NonZeroU32 = aio_model::Limits::DEFAULT.turn_events_max;

#[test]
fn accepting_runs_short_and_goes_on() {
    let mut os = Os::new().unwrap();
    let mut ids = Ids::default();
    let (listener, conn) = (ids.open(), ids.open());
    os.adopt(listener, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into()).unwrap();
    let _peer = TcpStream::connect(os.local_addr(listener).unwrap().as_internet().unwrap()).unwrap();
    let mut ready = Readiness::NONE;
    while !ready.intersects(Readiness::READABLE) {
        os.wait(None, EVENTS_MAX, |_, readiness| ready |= readiness).unwrap();
    }

    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let prepared = PreparedSocket::new(socket, os.local_addr(listener).unwrap()).unwrap();
    let before = getrlimit(Resource::Nofile);
    let next = File::open("/dev/null").unwrap().as_raw_fd();
    let lowered = Rlimit { current: u64::try_from(next).ok(), ..before };
    setrlimit(Resource::Nofile, lowered).unwrap();
    for _ in 0..3 {
        match os.perform(Syscall::Accept { listener, conn }) {
            Outcome::Exhausted(error) => assert_eq!(error.kind(), SystemErrorKind::DescriptorsExhausted),
            other => panic!("{other:?}"),
        }
        // What could not be accepted is no reason to wake up.
        let until = os.now() + Duration::from_millis(2);
        assert!(os.wait(Some(until), EVENTS_MAX, |_, _| ()).unwrap() >= until);
    }
    assert!(Os::new().is_err());
    let path = std::env::temp_dir().join(format!("aio-sys-no-descriptor-{}", std::process::id()));
    for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(), Address::from(path.as_path())] {
        let error = os.listen(&Listen::on(address)).unwrap_err();
        assert_eq!(error.kind(), SystemErrorKind::DescriptorsExhausted);
    }
    assert!(!path.exists());
    // A socket that was prepared needs no other.
    let (made, prepared) = (ids.open(), target(prepared.connect()));
    let outcome = os.perform(Syscall::Connect { conn: made, target: &prepared });
    assert!(matches!(outcome, Outcome::Done | Outcome::WouldBlock), "{outcome:?}");

    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(os.perform(Syscall::Accept { listener, conn }), Outcome::Done);
}
