//! What the programs that measure have in common, in `tests` and in `bench`: [quantiles](stats) and
//! [drawings](svg). It has no dependencies, so that either workspace can use it.
#![forbid(unsafe_code)]

pub mod stats;
pub mod svg;
