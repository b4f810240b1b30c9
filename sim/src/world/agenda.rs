//! What is going to happen by itself, in the order of time, and within one instant in the order of planning.

use std::collections::BTreeMap;

use aio_model::Instant;

/// Things that are due at some time.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    /// The second part of the key counts, and keeps what is planned for one instant in order.
    items: BTreeMap<(Instant, u64), T>,
    planned: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Agenda<T> {
        Agenda { items: BTreeMap::new(), planned: 0 }
    }

    /// Plans something for an instant.
    pub(crate) fn plan(&mut self, at: Instant, item: T) {
        self.items.insert((at, self.planned), item);
        self.planned += 1;
    }

    /// When the next thing is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.items.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next thing that is due by `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        let first = self.items.first_entry()?;
        if first.key().0 > now { None } else { Some(first.remove()) }
    }

    /// Makes everything that is `wanted` due by `now`, in the order in which it would have come.
    pub(crate) fn hurry(&mut self, now: Instant, wanted: impl Fn(&T) -> bool) {
        for ((at, _), item) in std::mem::take(&mut self.items) {
            self.plan(if wanted(&item) { at.min(now) } else { at }, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_due_in_order() {
        let at = Instant::from_nanos;
        let mut agenda = Agenda::new();
        [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b'), (9, 'e')]
            .into_iter()
            .for_each(|(time, item)| agenda.plan(at(time), item));
        assert_eq!(agenda.next(), Some(at(3)));
        assert_eq!(agenda.take_due(at(2)), None);
        let due: String = std::iter::from_fn(|| agenda.take_due(at(5))).collect();
        assert_eq!(due, "abcd");
        assert_eq!((agenda.take_due(at(9)), agenda.next()), (Some('e'), None));
    }

    #[test]
    fn hurried_things_keep_their_order() {
        let at = Instant::from_nanos;
        let mut agenda = Agenda::new();
        [(9, 'z'), (7, 'Y'), (5, 'c'), (1, 'a')]
            .into_iter()
            .for_each(|(time, item)| agenda.plan(at(time), item));
        agenda.hurry(at(3), char::is_ascii_lowercase);
        let due: String = std::iter::from_fn(|| agenda.take_due(at(3))).collect();
        assert_eq!((due.as_str(), agenda.next()), ("acz", Some(at(7))));
    }
}
