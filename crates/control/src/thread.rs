//! A thread of its own: for work that lasts as long as Keyward runs, and that neither waits for requests nor holds them up.
//!
//! Each has a runtime of its own, on which its one future runs. It is told to stop when its [`Thread`] is dropped, which waits
//! for it: what it has to bring to an end is at its end by then. Work that it left on other threads is not waited for. A panic
//! is logged, and ends nothing else.
//!
//! Rejected: tasks on a runtime for all. One that computes for a while would hold up the others, and each says for itself how
//! long its end may take.

#[cfg(test)]
mod tests;

use std::{io, thread::JoinHandle, time::Duration};

use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
    time::timeout,
};

/// A thread that runs. Dropped, it is told to stop and waited for.
pub(crate) struct Thread {
    /// What the log calls it.
    what: &'static str,
    runtime: Handle,
    stop: watch::Sender<bool>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts a thread of this name, and on it what `run` makes of whether it shall stop. `what` it does is how the log calls it.
    pub(crate) fn start<F: Future<Output = ()>>(
        name: &str,
        what: &'static str,
        run: impl FnOnce(Stopping) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        let (running, stopping) = (runtime.handle().clone(), Stopping(stopping));
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async { run(stopping).await });
            runtime.shutdown_background();
        })?;
        Ok(Self { what, runtime: running, stop, handle: Some(handle) })
    }

    /// What runs on it. Tasks that are given to it end with it.
    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Tells it to stop, and waits until it has. Blocking.
    pub(crate) fn finish(self) {
        drop(self);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::error!("{} ended by a panic", self.what);
        }
    }
}

/// Whether a thread shall stop.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits until it shall. Whoever could say so is gone: that is a stop as well.
    pub(crate) async fn asked(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it shall within this time, which passes if not.
    pub(crate) async fn asked_within(&mut self, pause: Duration) -> bool {
        timeout(pause, self.asked()).await.is_ok()
    }

    /// Whether it shall by now.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}
