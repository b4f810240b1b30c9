//! `Os` on real sockets: every call, every kind of readiness, identity, adoption, waiting.
//!
//! No test sleeps to make something come true: each waits for the event that says so.

mod rig;

mod adopt;
mod connecting;
mod identity;
mod listener;
mod listening;
mod others;
mod preparing;
mod stream;
mod wait;
