//! A peer that does not read has a buffer of the pool only until its send's deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::program::{ECHO, Program};

/// How long a client writes in vain until it takes its echo to be stuck.
const STUCK: Duration = Duration::from_millis(300);

/// A client that sends until its echo is stuck in the server, and never reads.
fn hog(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(STUCK)).unwrap();
    let piece = vec![7; 256 << 10];
    loop {
        match stream.write(&piece) {
            Ok(_) => (),
            // Nothing is read any more: or the server has broken it off already.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return stream,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return stream;
            }
        }
    }
}

fn is_served(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"hello")?;
    let mut echo = [0; 5];
    stream.read_exact(&mut echo)?;
    assert_eq!(&echo, b"hello");
    Ok(())
}

#[test]
fn clients_that_never_read_do_not_keep_later_ones_from_being_served() {
    let arguments = ["--listen", "127.0.0.1:0", "--buffers", "4", "--timeout", "2"];
    let echo = Program::start(ECHO, &arguments).ok().unwrap();
    for round in 0..2 {
        let hogs: Vec<_> = std::thread::scope(|scope| {
            let hogs: Vec<_> = (0..4).map(|_| scope.spawn(|| hog(echo.address()))).collect();
            hogs.into_iter().map(|hog| hog.join().unwrap()).collect()
        });
        // Those who come at once wait for a buffer together, and get one in time.
        std::thread::scope(|scope| {
            let later: Vec<_> = (0..8).map(|_| scope.spawn(|| is_served(echo.address()))).collect();
            for served in later {
                served.join().unwrap().unwrap_or_else(|error| panic!("round {round}: {error}"));
            }
        });
        drop(hogs);
    }
    assert!(echo.stop().status.success());
}
