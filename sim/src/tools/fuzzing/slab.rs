//! The slab against a map that remembers every key there ever was.

use std::collections::BTreeMap;

use aio_model::Key;
use aio_model::slab::Slab;

use super::Verdict;

/// Every two bytes put a value in, take one out, or look with a key, dead or alive; the slab holds what was
/// put in and not taken out, and no key is ever valid twice.
///
/// # Errors
///
/// Where it does not.
pub fn slab(bytes: &[u8]) -> Verdict {
    judge(&mut Slab::new(), bytes)
}

/// What is judged: the slab, or what a test makes of it.
trait Store {
    fn slab(&mut self) -> &mut Slab<u32>;

    fn insert(&mut self, value: u32) -> Key {
        self.slab().insert(value)
    }

    fn remove(&mut self, key: Key) -> Option<u32> {
        self.slab().remove(key)
    }

    fn look_up(&mut self, key: Key) -> Option<u32> {
        self.slab().get(key).copied()
    }
}

impl Store for Slab<u32> {
    fn slab(&mut self) -> &mut Slab<u32> {
        self
    }
}

/// The naive account.
#[derive(Default)]
struct Account {
    /// Every key that was ever given out, in that order.
    ever: Vec<Key>,
    alive: BTreeMap<Key, u32>,
    /// How often each place was taken.
    taken: Vec<u32>,
    /// The vacant places, the one that was freed last on top.
    vacant: Vec<u32>,
}

impl Account {
    /// Which key the next insertion returns: index and generation.
    fn next(&mut self) -> (u32, u32) {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.taken.push(0);
            u32::try_from(self.taken.len() - 1).unwrap_or(u32::MAX)
        });
        self.taken[index as usize] += 1;
        (index, self.taken[index as usize])
    }

    fn remove(&mut self, key: Key) -> Option<u32> {
        let value = self.alive.remove(&key)?;
        self.vacant.push(key.index());
        Some(value)
    }
}

fn judge(store: &mut impl Store, bytes: &[u8]) -> Verdict {
    let mut account = Account::default();
    for (serial, step) in (0..).zip(bytes.chunks_exact(2)) {
        let any = account.ever.get(usize::from(step[1]) % account.ever.len().max(1)).copied();
        let live = account.alive.keys().nth(usize::from(step[1]) % account.alive.len().max(1)).copied();
        match (step[0] % 8, any, live) {
            (0..=2, ..) => {
                let key = store.insert(serial);
                ensure!(!account.ever.contains(&key), "{key:?} was given out before");
                let (index, generation) = account.next();
                let same = (key.index(), key.generation().get()) == (index, generation);
                ensure!(same, "the key is {key:?}, not {index}v{generation}");
                account.ever.push(key);
                account.alive.insert(key, serial);
            }
            (3, Some(key), _) => {
                let (found, expected) = (store.remove(key), account.remove(key));
                ensure!(found == expected, "removing {key:?} gave {found:?}, not {expected:?}");
            }
            (4, _, Some(key)) => {
                let (found, expected) = (store.slab().remove_at(key.index()), account.remove(key));
                ensure!(Some(found) == expected, "removing {key:?} gave {found}, not {expected:?}");
            }
            (5, _, Some(key)) => {
                ensure!(store.slab().key_at(key.index()) == key, "{key:?} is not the key of its place");
                store.slab()[key.index()] = serial;
                account.alive.insert(key, serial);
            }
            (6, Some(key), _) => {
                if let Some(value) = store.slab().get_mut(key) {
                    *value = serial;
                }
                account.alive.entry(key).and_modify(|value| *value = serial);
            }
            (7, ..) => look_at_all(store, &account)?,
            _ => {}
        }
        if let Some(key) = any {
            let (found, expected) = (store.look_up(key), account.alive.get(&key).copied());
            ensure!(found == expected, "{key:?} is {found:?}, not {expected:?}");
        }
    }
    look_at_all(store, &account)
}

fn look_at_all(store: &mut impl Store, account: &Account) -> Verdict {
    for &key in &account.ever {
        let (found, expected) = (store.look_up(key), account.alive.get(&key).copied());
        ensure!(found == expected, "{key:?} is {found:?}, not {expected:?}");
    }
    let slab = store.slab();
    let found: Vec<(Key, u32)> = slab.iter().map(|(key, value)| (key, *value)).collect();
    // Keys are ordered by index first, as the slab is.
    let expected: Vec<(Key, u32)> = account.alive.iter().map(|(key, value)| (*key, *value)).collect();
    ensure!(found == expected, "the slab holds {found:?}, not {expected:?}");
    let sizes = (slab.len() as usize, slab.is_empty(), slab.index_bound() as usize);
    let expected = (account.alive.len(), account.alive.is_empty(), account.taken.len());
    ensure!(sizes == expected, "the sizes are {sizes:?}, not {expected:?}");
    let vacant = account.vacant.iter().find(|index| slab.at(**index).is_some());
    ensure!(vacant.is_none(), "the vacant place {vacant:?} holds a value");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fuzzing::property::{holds, rejects};

    #[test]
    fn the_slab_holds_what_is_put_in_and_no_key_comes_twice() {
        holds(slab, 300);
    }

    /// Forgets generations when it looks: an old key finds who came after.
    struct Forgetful(Slab<u32>);

    impl Store for Forgetful {
        fn slab(&mut self) -> &mut Slab<u32> {
            &mut self.0
        }

        fn look_up(&mut self, key: Key) -> Option<u32> {
            self.0.at(key.index()).copied()
        }
    }

    /// Leaves a hole behind each value that it takes out by key.
    struct Leaky(Slab<u32>);

    impl Store for Leaky {
        fn slab(&mut self) -> &mut Slab<u32> {
            &mut self.0
        }

        fn remove(&mut self, key: Key) -> Option<u32> {
            let value = self.0.remove(key)?;
            self.0.insert(0);
            Some(value)
        }
    }

    #[test]
    fn wrong_slabs_are_rejected() {
        rejects(|bytes| judge(&mut Forgetful(Slab::new()), bytes), 300);
        rejects(|bytes| judge(&mut Leaky(Slab::new()), bytes), 300);
    }
}
