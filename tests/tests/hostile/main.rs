//! Peers that mean harm, or die at the worst moment. What takes a network of its own is in `tests/netns`.

mod crowds;
mod door;
mod resets;
mod slow;
