//! That it is told, and waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{Stopping, Thread};

impl Stopping {
    /// Whether to stop as a test says.
    pub(crate) const fn of(stop: watch::Receiver<bool>) -> Self {
        Self(stop)
    }
}

#[test]
fn what_a_thread_does_on_its_way_out_is_done_when_it_is_dropped() {
    let done = Arc::new(AtomicBool::new(false));
    let noted = done.clone();
    let thread = Thread::start("test", "a test", async move |mut stopping| {
        stopping.asked().await;
        assert!(stopping.is_asked());
        noted.store(true, Ordering::SeqCst);
    });
    let thread = thread.unwrap();
    assert!(!done.load(Ordering::SeqCst));
    drop(thread);
    assert!(done.load(Ordering::SeqCst));
}

#[test]
fn a_task_that_a_thread_was_given_ends_with_it() {
    let thread =
        Thread::start("test", "a test", async |mut stopping| stopping.asked().await).unwrap();
    let (held, mut ended) = oneshot::channel::<()>();
    thread.runtime().spawn(async move {
        std::future::pending::<()>().await;
        drop(held);
    });
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    thread.finish();
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[test]
fn a_thread_that_panics_takes_nobody_along() {
    let thread = Thread::start("test", "a test", async |_| panic!("as the test wants it"));
    thread.unwrap().finish();
}

#[tokio::test]
async fn who_could_say_stop_is_gone_and_that_is_a_stop_as_well() {
    let (stop, stopping) = watch::channel(false);
    let mut stopping = Stopping::of(stopping);
    assert!(!stopping.is_asked() && !stopping.asked_within(Duration::ZERO).await);
    drop(stop);
    assert!(stopping.asked_within(Duration::ZERO).await);
}
