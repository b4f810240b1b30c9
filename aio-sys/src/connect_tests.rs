//! What comes of a connect, number by number.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Progress, Refusal, progress};
use crate::errno;

#[test]
fn every_number_of_a_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    for number in 1..200 {
        let errno = Errno::from_raw_os_error(number);
        let error = errno::from_errno(errno);
        let expected = match errno {
            Errno::INPROGRESS | Errno::INTR => Ok(Progress::UnderWay),
            // A Unix listener's queue is full.
            Errno::AGAIN => Err(Refusal::Full(error)),
            // Whatever else passes is the caller's to know.
            _ => Err(Refusal::Failed(error)),
        };
        assert_eq!(progress(Err(errno), stream.as_fd()), expected, "{errno}");
    }
    assert_eq!(progress(Ok(()), stream.as_fd()), Ok(Progress::Made));
}
