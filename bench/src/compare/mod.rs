//! The servers side by side: all alive at once, loaded in turn in short slices, measured against the baseline
//! in the same round.

pub mod picture;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stats;
pub mod table;
