//! What runs the rest: campaigns, walks through everything, seeded bugs, fuzzers' scripts, and the command
//! line (`main`, a program of its own).

pub mod bugs;
pub mod campaign;
pub mod exhaust;
pub mod fuzzing;
pub mod summary;
