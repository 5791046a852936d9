//! The listener of the management API, on a thread of its own: what people do never waits for requests, nor requests for them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use super::{Management, router};

/// For requests in flight when it is asked to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// A management API that is listened for.
pub struct Server {
    address: SocketAddr,
    management: Management,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `address`; port 0 takes a free one.
    pub fn start(address: SocketAddr, management: Management) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        let served = management.clone();
        let thread =
            std::thread::Builder::new().name("management".to_owned()).spawn(move || {
                if let Err(error) = runtime.block_on(serve(listener, served, stopping)) {
                    tracing::error!(%error, "the management API has ended");
                }
                // A password that is being hashed is not waited for.
                runtime.shutdown_background();
            })?;
        Ok(Self { address, management, stop, thread: Some(thread) })
    }

    /// Where it listens, with its real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its endpoints work on.
    pub const fn management(&self) -> &Management {
        &self.management
    }

    /// Takes no more requests, and lets those in flight end. Blocking, for five seconds at most.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the management API ended by a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(
    listener: TcpListener,
    management: Management,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = router(management).into_make_service_with_connect_info::<SocketAddr>();
    let mut asked = stopping.clone();
    let served = axum::serve(listener, service).with_graceful_shutdown(async move {
        // Whoever could stop it is gone: that is a stop as well.
        let _ = asked.wait_for(|stop| *stop).await;
    });
    tokio::select! {
        served = served => served,
        () = async {
            let _ = stopping.wait_for(|stop| *stop).await;
            tokio::time::sleep(DRAIN).await;
        } => Ok(()),
    }
}
