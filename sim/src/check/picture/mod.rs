//! A picture of a run: one page that shows every connection's lanes over time, and the model at each step.
//!
//! `record` takes down what happens, `views` what there is to see after a step, `words` how to say it;
//! `page` writes it all into a page of HTML that needs nothing else, whose script and style are beside it.

mod page;
mod record;
mod rules;
#[cfg(test)]
mod tests;
mod views;
mod words;

pub use page::write;
pub use record::{Recording, run_recorded};

/// How many steps a page shows at most: the last ones.
pub const STEPS_MAX: usize = 5_000;
