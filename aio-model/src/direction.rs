//! The two directions of a connection.

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Receives, or a listener's accepts.
    Receive = 0,
    /// Sends, and the connect before them.
    Send = 1,
}

impl Direction {
    pub(crate) const BOTH: [Direction; 2] = [Direction::Receive, Direction::Send];
}
