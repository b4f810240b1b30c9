//! SIGPIPE never reaches the process (K7). Alone in its process, whose handler it sets.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aio_model::testing::Ids;
use aio_model::{Outcome, Syscall, System, SystemErrorKind};
use aio_sys::Os;

#[test]
fn a_send_into_a_broken_pipe_is_an_error_and_nothing_else() {
    let caught = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::clone(&caught)).unwrap();
    let mut os = Os::new().unwrap();
    let conn = Ids::default().open();
    let (ours, peer) = UnixStream::pair().unwrap();
    os.adopt(conn, ours.into()).unwrap();
    drop(peer);
    match os.perform(Syscall::Send { conn, bytes: b"anyone?" }) {
        Outcome::Failed(error) => assert_eq!(error.kind(), SystemErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
    assert!(!caught.load(Ordering::SeqCst), "SIGPIPE");

    // The canary: a plain write would have raised it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    rustix::io::write(&writer, b"anyone?").unwrap_err();
    assert!(caught.load(Ordering::SeqCst), "the test can not fail");
}
