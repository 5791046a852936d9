//! Deadlines without timers: one tick a core looks through everything that waits.
//!
//! A request has half a dozen deadlines, nearly all of which are never reached. A runtime's timer costs a
//! registration each time one is moved; here moving one is a store to memory, and a sweep every 100 ms wakes what is overdue.
//! Deadlines are therefore met up to two ticks late and never early.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

/// How often it looks.
pub(crate) const TICK: Duration = Duration::from_millis(100);
const NONE: u64 = u64::MAX;

/// Everything on one core that waits with a deadline.
pub(crate) struct Watchdog {
    started: Instant,
    /// Milliseconds since it started, as of the last tick.
    now: Cell<u64>,
    entries: RefCell<Vec<Rc<Entry>>>,
}

struct Entry {
    due: Cell<u64>,
    dropped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Watchdog {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            now: Cell::new(0),
            entries: RefCell::new(Vec::new()),
        })
    }

    /// Something that will wait.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        let entry = Rc::new(Entry {
            due: Cell::new(NONE),
            dropped: Cell::new(false),
            waker: RefCell::new(None),
        });
        self.entries.borrow_mut().push(entry.clone());
        Watch(Deadline { watchdog: self.clone(), entry })
    }

    /// Wakes what is overdue and forgets what is gone.
    pub(crate) fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NONE - 1);
        self.now.set(now);
        self.sweep(|entry| entry.due.get() <= now);
    }

    /// Wakes everything: something that all must notice has happened.
    pub(crate) fn wake_all(&self) {
        self.sweep(|_| true);
    }

    fn sweep(&self, wake: impl Fn(&Entry) -> bool) {
        let mut wakers = Vec::new();
        let mut entries = self.entries.borrow_mut();
        entries.retain(|entry| {
            if entry.dropped.get() {
                return false;
            }
            if wake(entry) {
                wakers.extend(entry.waker.borrow_mut().take());
            }
            true
        });
        drop(entries);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One deadline of one thing that waits. It is forgotten when this is dropped.
pub(crate) struct Watch(Deadline);

/// Moves a deadline, whoever waits for it.
#[derive(Clone)]
pub(crate) struct Deadline {
    watchdog: Rc<Watchdog>,
    entry: Rc<Entry>,
}

impl Deadline {
    /// Sets the deadline to `limit` from now.
    pub(crate) fn arm(&self, limit: Duration) {
        let limit = u64::try_from(limit.saturating_add(TICK).as_millis()).unwrap_or(NONE);
        let due = limit.saturating_add(self.watchdog.now.get());
        self.entry.due.set(due);
    }

    /// There is no deadline.
    pub(crate) fn disarm(&self) {
        self.entry.due.set(NONE);
    }
}

impl Watch {
    /// See [`Deadline::arm`].
    pub(crate) fn arm(&self, limit: Duration) {
        self.0.arm(limit);
    }

    /// There is no deadline.
    pub(crate) fn disarm(&self) {
        self.0.disarm();
    }

    /// The deadline, for another part of the exchange to move.
    pub(crate) fn deadline(&self) -> Deadline {
        self.0.clone()
    }

    /// Whether the deadline has passed; if not, the task is woken when it does.
    pub(crate) fn overdue(&self, cx: &Context<'_>) -> bool {
        let Deadline { entry, watchdog } = &self.0;
        if entry.due.get() <= watchdog.now.get() {
            return true;
        }
        let mut waker = entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|own| own.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.entry.dropped.set(true);
    }
}
