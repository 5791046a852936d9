//! Ctrl-C and SIGTERM as a flag that long loops look at. The default, dying at once, would leave
//! servers running and folders behind; an error that travels up lets every guard on its way clean
//! up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen, on a thread of its own that sleeps until a signal comes.
    pub(super) fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Registered here and not in the thread: from this line on a signal no longer kills us.
        let (mut ctrl_c, mut terminate) = {
            let _context = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let wait = move || {
            runtime.block_on(async {
                tokio::select! { _ = ctrl_c.recv() => {}, _ = terminate.recv() => {} }
            });
            flag.0.store(true, Ordering::Relaxed);
        };
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(wait)
            .context("a thread to wait for Ctrl-C cannot be started")?;
        Ok(interrupt)
    }

    /// An error once a signal has come.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}
