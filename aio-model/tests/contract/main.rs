//! The contract, rule by rule: the test plays the operating system, one call at a time. Each test is named
//! after the rule that it pins.

mod backpressure;
mod bench;
mod broken_off;
mod closing;
mod connecting;
mod deadlines;
mod foreign;
mod many;
mod memory;
mod merging;
mod operations;
mod progress;
mod reentrancy;
mod rules;
mod share;
mod shortages;
mod together;
mod told_once;
mod waiting;
