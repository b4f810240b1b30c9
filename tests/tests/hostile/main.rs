//! Peers that mean harm, or die at the worst moment. What takes a network of its own is in `tests/netns`.

mod crowds;
mod guarded_server;
mod resets;
mod slow;
