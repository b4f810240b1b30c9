//! The mailbox: where leases that are dropped on any thread wait for the proactor to fetch them.
//!
//! Ground rules. Everything is under one short lock; nothing that could block, call user code or free memory
//! happens while it is held. The proactor sleeps only after it has seen the mailbox empty *and*, under the same
//! lock, left word that it wants to be woken; whoever posts next takes that word and wakes it. So no post is
//! missed, and a proactor that nobody waits for is never woken.

use std::sync::{Arc, PoisonError};

use aio_model::{Home, Returned, Wake};

use crate::sync::{Mutex, MutexGuard};

pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    waker: Arc<dyn Wake>,
}

struct State<T> {
    posts: Vec<T>,
    /// The proactor wants to be woken by the next post.
    awaited: bool,
    /// The proactor is gone; posts are dropped.
    closed: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(waker: Arc<dyn Wake>) -> Mailbox<T> {
        let state = State { posts: Vec::new(), awaited: false, closed: false };
        Mailbox { state: Mutex::new(state), waker }
    }

    /// A panic can not leave the state half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, and wakes the proactor if it sleeps for want of it.
    pub(crate) fn post(&self, post: T) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(post);
            return;
        }
        state.posts.push(post);
        let awaited = std::mem::take(&mut state.awaited);
        drop(state);
        if awaited {
            self.waker.wake();
        }
    }

    /// Swaps everything that is in there against the empty `posts`. If nothing is, and the caller `waits`, the
    /// next post will wake it.
    pub(crate) fn fetch(&self, posts: &mut Vec<T>, waits: bool) {
        debug_assert!(posts.is_empty());
        let mut state = self.lock();
        std::mem::swap(&mut state.posts, posts);
        state.awaited = waits && posts.is_empty();
    }

    /// How many posts are in there.
    pub(crate) fn len(&self) -> usize {
        self.lock().posts.len()
    }

    /// Drops what is in there, and from now on everything that comes.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let posts = std::mem::take(&mut state.posts);
        drop(state);
        drop(posts);
    }
}

impl Home for Mailbox<Returned> {
    fn come_home(&self, buffer: Returned) {
        self.post(buffer);
    }
}
