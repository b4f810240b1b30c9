//! The simulator against the kernel: the same scripts on both, and whatever the kernel does the simulator
//! must be able to do.
//!
//! ```text
//!   seed ──▶ script ──▶ real ──▶ history ──▶ follow ──▶ a difference, or none
//!                        │ kernel              │ simulator
//!                        └▶ KnownReadiness    └▶ steered to where the kernel went
//! ```
//!
//! A [script](Script) is a list of steps of both ends of a few connections. It is played on real sockets, and
//! what was done and seen becomes a [history](History). The [follower](mod@follow) then does the same to a
//! simulated system. The kernel is free in much: how much it takes at once, and when what was sent arrives.
//! So before each call the follower chooses faults of the simulator that could lead to what was seen, and if
//! it answers something else all the same, that is a difference: a thing that happens and that no simulated
//! run has. What is allowed is thus the simulator itself, not a second description of it.
//!
//! Events are held to more than that. While the kernel is played, [`KnownReadiness`](sim::KnownReadiness) is
//! kept as the model keeps it: a direction is drained when an answer said so, and ready again when an event
//! said so. If the kernel is ready and it is not known to be, an event has to come ([`History::broken`] if
//! none does). And what the simulator promises, the kernel must give: an edge that only the simulator has is
//! a difference too.
//!
//! Half of the scripts are disturbed: the peer breaks a connection off, and calls and a stranger who asks for
//! `SO_ERROR` follow in any order, as the kernel tells an error once; signals interrupt the thread; this end
//! stalls, or sleeps in its wait; and another holder of a socket makes it blocking, which must not make a
//! call of ours block.
//!
//! | room | what is in it |
//! |---|---|
//! | `script` | the steps, drawn from a seed |
//! | `history` | what was done to either system, and what came of it |
//! | `book` | which step makes sense when, and what to do for it |
//! | `caller` | the calls of either system, in few words |
//! | `real` | scripts on real sockets; in it `hosts`, who listens, `promises`, what the kernel owes, and `others` and `signals`, who disturb |
//! | `follow` | histories in the simulator |
//! | `campaign` | many scripts: counted, compared, and made short when they differ |

mod book;
mod caller;
pub mod campaign;
pub mod follow;
pub mod history;
pub mod real;
pub mod script;

pub use campaign::{Case, ScriptTally, shorten, shrink};
pub use follow::{Difference, follow};
pub use history::{Deed, History, Name, PeerSaw, Seen};
pub use real::{Hosts, play};
pub use script::{Script, Step};
