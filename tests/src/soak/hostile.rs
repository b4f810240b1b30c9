//! A peer of the worst kind, with the sockets of `std`: connects and vanishes, resets, talks garbage, never
//! reads.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use socket2::SockRef;

use super::Side;
use super::chance::Chance;
use super::control::{Control, SoakPhase};
use super::head::{Head, StreamFate};
use super::party::Addresses;
use crate::bytes::Bytes;

/// Vandalizes until the soak ends: how many connections it made.
pub(super) fn run(seed: u64, control: &Arc<Control>, addresses: &Addresses) -> u64 {
    let (mut chance, mut connections) = (Rng::with_seed(seed ^ 0xBAD), 0);
    while control.phase() == SoakPhase::Run {
        // Whatever fails, it is what was to be expected of such connections; the server's account tells.
        connections += u64::from(visit(&mut chance, addresses).is_ok());
        thread::sleep(Duration::from_millis(chance.size(60) as u64));
    }
    connections
}

fn visit(chance: &mut Rng, addresses: &Addresses) -> io::Result<()> {
    let mut stream = TcpStream::connect(addresses.tcp)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    if chance.one_in(2) {
        // Its end is a reset.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    let echo = chance.one_in(2);
    let head = Head { echo, fate: StreamFate::Wild, seed: chance.u64(..), up: 1 << 30, down: 1 << 30 };
    match chance.u64(..6) {
        0 => {}
        1 => stream.write_all(&head.to_bytes()[..chance.size(Head::BYTES - 1)])?,
        2 => stream.write_all(&Bytes::new(head.seed).take(64 << 10))?,
        3 => {
            stream.write_all(&head.to_bytes())?;
            let _ = stream.write(&Bytes::new(head.seed_of(Side::Client)).take(chance.size(1 << 20)));
        }
        4 => {
            stream.write_all(&head.to_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            thread::sleep(Duration::from_millis(chance.size(100) as u64));
        }
        _ => {
            stream.write_all(&head.to_bytes())?;
            let _ = stream.read(&mut vec![0; chance.size(64 << 10)]);
        }
    }
    Ok(())
}
