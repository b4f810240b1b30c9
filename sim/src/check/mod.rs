//! What makes a failure readable: the tape that plays it again, made short, and the page that shows it.

pub mod picture;
pub mod shrink;
pub mod tape;
