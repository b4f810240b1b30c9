//! The examples, run as a user runs them.

mod buffers;
mod loops;
mod program;
mod unix;
