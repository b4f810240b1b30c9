//! What the figures were, and whether they still are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures by name, and the compiler that made the program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What `rustc --version` says.
    pub rustc: String,
    /// Each is a cost: less is better.
    pub figures: BTreeMap<String, f64>,
}

/// How far a figure may be from its baseline, to either side: what is better by more is to be written down,
/// or the next loss would go unseen.
const TOLERANCE: f64 = 0.02;

/// The same for what is resident of an idle connection. Chance has a part in it: which turn met how many
/// connections, and over how many ticks their deadlines are spread, hence how many nodes the timers need.
/// What each connection takes by design stands in figures of its own, to the byte.
const RESIDENT_TOLERANCE: f64 = 0.08;
/// The end of their names.
pub const RESIDENT: &str = "resident bytes per idle connection";

/// The end of the names of figures that depend on the compiler.
pub const INSTRUCTIONS: &str = "instructions per echo";
/// The same of operations, of which there is nothing by hand to compare with.
pub const PER_OPERATION: &str = "instructions per operation";

/// Of these only the ratio is compared when the compiler is another one.
const RATIO: [&str; 2] = ["aio: instructions per echo", "mio_raw: instructions per echo"];

/// What is wrong, a line each; nothing if all is well.
pub fn check(now: &Figures, baseline: &Figures) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut now, mut then) = (now.clone(), baseline.clone());
    if now.rustc != then.rustc {
        for figures in [&mut now, &mut then] {
            figures.instructions_as_ratio();
        }
    }
    for (name, &then) in &then.figures {
        match now.figures.get(name) {
            None => wrong.push(format!("{name}: {then:.3} in the baseline, not measured now")),
            Some(&now) if (now - then).abs() > tolerance(name) * then.abs() => {
                wrong.push(format!("{name}: {now:.3}, {then:.3} in the baseline{}", percent(now, then)));
            }
            Some(_) => {}
        }
    }
    let added = now.figures.keys().filter(|name| !then.figures.contains_key(*name));
    wrong.extend(added.map(|name| format!("{name}: not in the baseline")));
    wrong
}

impl Figures {
    fn instructions_as_ratio(&mut self) {
        let [ours, baseline] = RATIO.map(|name| self.figures.get(name).copied());
        self.figures.retain(|name, _| !name.ends_with(INSTRUCTIONS) && !name.ends_with(PER_OPERATION));
        if let (Some(ours), Some(baseline)) = (ours, baseline) {
            self.figures.insert("aio/mio_raw: instructions per echo".to_owned(), ours / baseline);
        }
    }
}

fn tolerance(name: &str) -> f64 {
    if name.ends_with(RESIDENT) { RESIDENT_TOLERANCE } else { TOLERANCE }
}

fn percent(now: f64, then: f64) -> String {
    if then == 0.0 { String::new() } else { format!(" ({:+.1} %)", (now / then - 1.0) * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rustc: &str, list: &[(&str, f64)]) -> Figures {
        let figures = list.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        Figures { rustc: rustc.to_owned(), figures }
    }

    fn of(ours: f64, allocations: f64) -> Figures {
        let list = [
            ("aio: instructions per echo", ours),
            ("mio_raw: instructions per echo", 100.0),
            ("aio: allocations per echo", allocations),
        ];
        figures("rustc 1.95.0", &list)
    }

    #[test]
    fn what_is_within_two_percent_passes() {
        for ours in [200.0, 203.9, 196.1] {
            assert_eq!(check(&of(ours, 0.0), &of(200.0, 0.0)), Vec::<String>::new());
        }
    }

    #[test]
    fn what_is_off_by_three_percent_fails_on_either_side() {
        for ours in [206.0, 194.0] {
            let wrong = check(&of(ours, 0.0), &of(200.0, 0.0));
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(wrong[0].starts_with("aio: instructions per echo"), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_resident_may_differ_by_more_yet_not_by_a_tenth() {
        let of = |bytes| figures("rustc 1.95.0", &[("aio: resident bytes per idle connection", bytes)]);
        assert_eq!(check(&of(214.0), &of(200.0)), Vec::<String>::new());
        for bytes in [220.0, 180.0] {
            assert_eq!(check(&of(bytes), &of(200.0)).len(), 1);
        }
    }

    #[test]
    fn of_nothing_nothing_is_tolerated() {
        let wrong = check(&of(200.0, 0.0001), &of(200.0, 0.0));
        assert!(wrong.len() == 1 && wrong[0].contains("allocations"), "{wrong:?}");
    }

    #[test]
    fn what_is_missing_on_one_side_fails() {
        let few = figures("rustc 1.95.0", &[("aio: instructions per echo", 200.0)]);
        assert_eq!(check(&few, &of(200.0, 0.0)).len(), 2);
        assert_eq!(check(&of(200.0, 0.0), &few).len(), 2);
    }

    #[test]
    fn with_another_compiler_the_ratio_counts() {
        let then = of(200.0, 0.0);
        let mut now = of(220.0, 0.0);
        now.rustc = "rustc 1.96.0".to_owned();
        now.figures.insert("mio_raw: instructions per echo".to_owned(), 110.0);
        now.figures.insert("model: instructions per operation".to_owned(), 400.0);
        assert_eq!(check(&now, &then), Vec::<String>::new(), "both grew by a tenth");
        now.figures.insert("mio_raw: instructions per echo".to_owned(), 100.0);
        let wrong = check(&now, &then);
        assert!(wrong.len() == 1 && wrong[0].starts_with("aio/mio_raw"), "{wrong:?}");
    }
}
