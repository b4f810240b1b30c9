//! The mailbox: where leases that are dropped on any thread wait for the proactor to fetch them.
//!
//! Ground rules. Everything is under one short lock; nothing that could block, call user code or free memory
//! happens while it is held. The proactor sleeps only after it has seen the mailbox empty *and*, under the
//! same lock, left word that it wants to be woken; whoever posts next takes that word and wakes it. So no
//! post is missed, and a proactor that nobody waits for is never woken.

use std::sync::{Arc, PoisonError};

use aio_model::{Home, PoolId, Returned, Wake};

use crate::sync::{Mutex, MutexGuard};

pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    posts: Vec<T>,
    /// How many may be in here at once.
    room: usize,
    /// The proactor wants to be woken by the next post.
    awaited: bool,
    /// Wakes the proactor. None once it is gone: posts are dropped then, and leases that live longer than
    /// their proactor keep no descriptor of it open.
    waker: Option<Arc<dyn Wake>>,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(waker: Arc<dyn Wake>) -> Mailbox<T> {
        let state = State { posts: Vec::new(), room: 0, awaited: false, waker: Some(waker) };
        Mailbox { state: Mutex::new(state) }
    }

    /// A panic can not leave the state half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, and wakes the proactor if it sleeps for want of it.
    pub(crate) fn post(&self, post: T) {
        let mut state = self.lock();
        if state.waker.is_none() {
            drop(state);
            drop(post);
            return;
        }
        state.posts.push(post);
        let awaited = std::mem::take(&mut state.awaited);
        let waker = if awaited { state.waker.clone() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes room for one more post to be in here at once, so that posting it allocates nothing. Returns
    /// false if there is no memory for that.
    pub(crate) fn make_room(&self) -> bool {
        let mut state = self.lock();
        let State { posts, room, .. } = &mut *state;
        let made = posts.try_reserve((*room + 1).saturating_sub(posts.len())).is_ok();
        *room += usize::from(made);
        made
    }

    /// Swaps everything that is in there against the empty `posts`. If nothing is, and the caller `waits`,
    /// the next post will wake it. Where there is no memory for `posts` to do as the room for the next ones,
    /// only as many are fetched as it has capacity for.
    pub(crate) fn fetch(&self, posts: &mut Vec<T>, waits: bool) {
        debug_assert!(posts.is_empty());
        let mut state = self.lock();
        if posts.capacity() >= state.room || posts.try_reserve(state.room).is_ok() {
            std::mem::swap(&mut state.posts, posts);
        } else {
            let count = state.posts.len().min(posts.capacity());
            posts.extend(state.posts.drain(..count));
        }
        state.awaited = waits && posts.is_empty();
    }

    /// How many posts are in there.
    pub(crate) fn len(&self) -> usize {
        self.lock().posts.len()
    }

    /// Drops what is in there, and from now on everything that comes.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        let waker = state.waker.take();
        let posts = std::mem::take(&mut state.posts);
        drop(state);
        drop((waker, posts));
    }
}

impl Home for Mailbox<Returned> {
    fn return_buffer(&self, buffer: Returned) {
        self.post(buffer);
    }

    fn make_room(&self, _: PoolId, _: usize) -> bool {
        Mailbox::make_room(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(loom)]
    use loom::{sync::atomic::AtomicUsize, thread};
    #[cfg(not(loom))]
    use std::{sync::atomic::AtomicUsize, thread};

    use std::sync::atomic::Ordering::SeqCst;

    /// Counts what a system's waker would do.
    struct Bell(Arc<AtomicUsize>);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn explore(test: impl Fn() + Sync + Send + 'static) {
        #[cfg(loom)]
        loom::model(test);
        #[cfg(not(loom))]
        (0..200).for_each(|_| test());
    }

    fn mailbox() -> (Arc<Mailbox<u32>>, Arc<AtomicUsize>) {
        let rings = Arc::new(AtomicUsize::new(0));
        (Arc::new(Mailbox::new(Arc::new(Bell(Arc::clone(&rings))))), rings)
    }

    fn post_from_thread(mailbox: &Arc<Mailbox<u32>>, post: u32) -> thread::JoinHandle<()> {
        let mailbox = Arc::clone(mailbox);
        thread::spawn(move || mailbox.post(post))
    }

    /// Whatever the interleaving: a proactor that found nothing and goes to sleep is woken, once.
    #[test]
    fn a_sleeper_is_woken_and_nothing_is_lost() {
        explore(|| {
            let (mailbox, rings) = mailbox();
            let posters = [post_from_thread(&mailbox, 1), post_from_thread(&mailbox, 2)];
            let mut fetched = Vec::new();
            mailbox.fetch(&mut fetched, true);
            let sleeps = fetched.is_empty();
            posters.into_iter().for_each(|poster| poster.join().unwrap());
            assert_eq!(rings.load(SeqCst), usize::from(sleeps), "woken if asleep, and only then");
            let mut rest = Vec::new();
            mailbox.fetch(&mut rest, false);
            fetched.append(&mut rest);
            fetched.sort_unstable();
            assert_eq!(fetched, [1, 2]);
        });
    }

    #[test]
    fn what_there_is_room_for_is_posted_without_memory() {
        explore(|| {
            let (mailbox, _) = mailbox();
            assert!((0..100).all(|_| mailbox.make_room()));
            let capacity = || mailbox.lock().posts.capacity();
            let before = capacity();
            (0..100).for_each(|post| mailbox.post(post));
            assert_eq!(before, capacity());
            let mut fetched = Vec::new();
            mailbox.fetch(&mut fetched, false);
            assert_eq!((fetched.len(), mailbox.len()), (100, 0));
            assert!(mailbox.lock().posts.capacity() >= 100, "the next hundred have room, too");
        });
    }

    #[test]
    fn one_that_waits_for_nothing_is_not_woken() {
        explore(|| {
            let (mailbox, rings) = mailbox();
            let poster = post_from_thread(&mailbox, 1);
            mailbox.fetch(&mut Vec::new(), false);
            poster.join().unwrap();
            assert_eq!(rings.load(SeqCst), 0);
        });
    }

    /// A proactor is dropped while leases are returned: the memory of each is freed.
    #[test]
    fn a_closed_mailbox_keeps_nothing() {
        explore(|| {
            let rings = Arc::new(AtomicUsize::new(0));
            let mailbox = Arc::new(Mailbox::new(Arc::new(Bell(rings))));
            let token = std::sync::Arc::new(());
            let poster = {
                let (mailbox, token) = (Arc::clone(&mailbox), std::sync::Arc::clone(&token));
                thread::spawn(move || mailbox.post(token))
            };
            mailbox.close();
            poster.join().unwrap();
            assert_eq!(mailbox.len(), 0);
            assert_eq!(std::sync::Arc::strong_count(&token), 1);
        });
    }
}
