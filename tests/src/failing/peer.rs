//! The other ends: peers that do one thing after the other, as far as their sockets let them, without
//! blocking.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use socket2::Socket;

use super::stage::Seeds;
use crate::bytes::Bytes;

/// What a peer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerStep {
    /// Says so many bytes.
    Say(usize),
    /// Hears so many.
    Hear(usize),
    /// Hears all there is, to the end of the stream.
    HearEnd,
    /// Says no more.
    FallSilent,
    /// Waits until the program has given so many cues.
    Cue(u32),
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerEnding {
    /// Everything was done.
    Whole,
    /// The stream ended first.
    CutShort,
}

/// A peer, and how far it is.
#[derive(Debug)]
pub struct ScenarioPeer {
    socket: Socket,
    says: Bytes,
    hears: Bytes,
    steps: VecDeque<PeerStep>,
    heard: u64,
    unsaid: Vec<u8>,
    broken: bool,
    wrong: bool,
}

impl ScenarioPeer {
    /// The peer at this end, with the seeds of what it says and hears, and what it does.
    ///
    /// # Errors
    ///
    /// When the socket can not be made non-blocking.
    pub fn new(socket: Socket, (says, hears): Seeds, steps: &[PeerStep]) -> io::Result<ScenarioPeer> {
        socket.set_nonblocking(true)?;
        // A Unix socket refuses it. On TCP nothing is to wait for an acknowledgement, which takes 40 ms.
        let _ = socket.set_tcp_nodelay(true);
        let (says, hears) = (Bytes::new(says), Bytes::new(hears));
        let steps = steps.iter().copied().collect();
        Ok(ScenarioPeer {
            socket,
            says,
            hears,
            steps,
            heard: 0,
            unsaid: Vec::new(),
            broken: false,
            wrong: false,
        })
    }

    /// The bytes it has heard.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Whether it heard other bytes than were sent to it.
    pub fn is_wrong(&self) -> bool {
        self.wrong
    }

    /// How it went, once it is over.
    pub fn ending(&self) -> Option<PeerEnding> {
        self.steps.is_empty().then_some(if self.broken { PeerEnding::CutShort } else { PeerEnding::Whole })
    }

    /// Goes on as far as it can.
    pub fn go_on(&mut self, cues: u32) {
        while let Some(step) = self.steps.front().copied() {
            match self.take(step, cues) {
                Ok(true) => drop(self.steps.pop_front()),
                Ok(false) => return,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if self.broken => self.steps.clear(),
                Err(_) => self.give_up(),
            }
        }
    }

    /// The stream has broken off: whatever can still be heard is heard, so that no reset is this side's
    /// doing.
    fn give_up(&mut self) {
        self.broken = true;
        self.unsaid.clear();
        self.steps = [PeerStep::HearEnd].into();
    }

    /// Does a part of a step. Whether it is done.
    fn take(&mut self, step: PeerStep, cues: u32) -> io::Result<bool> {
        match step {
            PeerStep::Cue(count) => Ok(cues >= count),
            PeerStep::FallSilent => self.socket.shutdown(Shutdown::Write).map(|()| true),
            PeerStep::Say(count) => {
                if self.unsaid.is_empty() {
                    self.unsaid = self.says.take(count);
                }
                let said = (&self.socket).write(&self.unsaid)?;
                self.unsaid.drain(..said);
                let left = self.unsaid.len();
                self.steps[0] = PeerStep::Say(left);
                Ok(left == 0)
            }
            PeerStep::Hear(count) => {
                let heard = self.hear(count)?;
                if heard == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                self.steps[0] = PeerStep::Hear(count - heard);
                Ok(heard == count)
            }
            PeerStep::HearEnd => Ok(self.hear(PIECE)? == 0),
        }
    }

    fn hear(&mut self, count: usize) -> io::Result<usize> {
        let mut bytes = [0; PIECE];
        let count = (&self.socket).read(&mut bytes[..count.min(PIECE)])?;
        self.wrong |= !self.hears.matches(&bytes[..count]);
        self.heard += count as u64;
        Ok(count)
    }
}

const PIECE: usize = 16 * 1024;
