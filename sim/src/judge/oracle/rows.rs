//! A map of a few entries: rows in the order of their keys.
//!
//! The oracle looks at all of its connections and operations after every turn, and there are seldom more than
//! ten. What is found by walking a vector is found sooner than by descending a tree.

use std::ops::Index;

/// A map as sorted rows.
#[derive(Debug, Clone)]
pub(super) struct Rows<K, V> {
    rows: Vec<(K, V)>,
}

impl<K: Ord + Copy, V> Rows<K, V> {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Where a key is, or where it would be. Most of what is asked for, or added, is new.
    fn find(&self, key: K) -> Result<usize, usize> {
        let at = self.rows.iter().rposition(|(other, _)| *other <= key);
        match at {
            Some(at) if self.rows[at].0 == key => Ok(at),
            _ => Err(at.map_or(0, |at| at + 1)),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.find(*key).ok().map(|at| &self.rows[at].1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(*key).ok().map(|at| &mut self.rows[at].1)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.find(*key).is_ok()
    }

    /// Adds a row, in place of the one with that key, if there was one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(at) => self.rows[at].1 = value,
            Err(at) => self.rows.insert(at, (key, value)),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.find(*key).ok().map(|at| self.rows.remove(at).1)
    }

    /// All rows, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, value)| (key, value))
    }

    /// The same, to change the values.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.rows.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.iter().map(|(_, value)| value)
    }
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Rows<K, V> {
        Rows { rows: Vec::new() }
    }
}

impl<K: Ord + Copy, V> Index<&K> for Rows<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("there is a row with that key")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::world::choice::Choice;

    #[test]
    fn rows_are_what_a_sorted_map_is() {
        let mut choice = Choice::seeded(4);
        let (mut rows, mut map) = (Rows::default(), BTreeMap::new());
        for value in 0..5_000 {
            let key = choice.below(24);
            match choice.below(4) {
                0 => assert_eq!(rows.remove(&key), map.remove(&key)),
                1 => assert_eq!(rows.get_mut(&key), map.get_mut(&key)),
                _ => {
                    rows.insert(key, value);
                    map.insert(key, value);
                }
            }
            assert!(rows.iter().eq(map.iter()) && rows.values().eq(map.values()));
            assert!((0..24).all(|key| rows.get(&key) == map.get(&key)));
            assert_eq!((rows.contains_key(&key), rows.len()), (map.contains_key(&key), map.len()));
        }
    }
}
