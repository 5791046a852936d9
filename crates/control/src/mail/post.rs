//! Sending: a thread of its own, a task a mail, a few at a time, again and again with longer and longer pauses.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{MailSecurity, MailServer, MailSettings, MailWay, letter::Letter};
use crate::thread::{Stopping, Thread};

/// How many mails may wait, those that wait for another try included.
pub(super) const MOST_WAITING: u32 = 1_000;
/// How many are sent at once: a server that hangs does not hold up all others.
const AT_ONCE: usize = 4;
/// For a command of the mail server.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pauses between tries: some four hours in all.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
];

/// A place among the mails that wait.
pub(super) type Place = OwnedSemaphorePermit;

/// A mail server, or a folder.
enum Way {
    Server(Box<AsyncSmtpTransport<Tokio1Executor>>),
    Folder(PathBuf),
}

/// Why a mail was not sent.
struct Failure {
    why: String,
    /// Whether another try would end the same way.
    is_final: bool,
}

/// See the module.
pub(super) struct Post {
    settings: MailSettings,
    way: Arc<Way>,
    waiting: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    /// Runs the tasks, which say what they have not sent when it ends.
    thread: Thread,
}

impl Post {
    pub(super) fn start(settings: MailSettings) -> io::Result<Self> {
        let way = match &settings.way {
            MailWay::Server(server) => Way::Server(Box::new(connect(server)?)),
            MailWay::Folder(folder) => {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                Way::Folder(folder.clone())
            }
        };
        // A name that is being looked up is not waited for at its end.
        let run = async |mut stopping: Stopping| stopping.asked().await;
        let thread = Thread::start("mail", "the thread that sends mails", run)?;
        Ok(Self {
            settings,
            way: Arc::new(way),
            waiting: Arc::new(Semaphore::new(MOST_WAITING as usize)),
            sending: Arc::new(Semaphore::new(AT_ONCE)),
            thread,
        })
    }

    pub(super) const fn settings(&self) -> &MailSettings {
        &self.settings
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    pub(super) fn take(&self, place: Place, letter: Letter) {
        let unsent = Unsent { letter, is_done: false };
        let (way, sending) = (self.way.clone(), self.sending.clone());
        self.thread.runtime().spawn(async move {
            deliver(&way, &sending, unsent).await;
            drop(place);
        });
    }

    pub(super) fn finish(&self, limit: Duration) {
        let (waiting, (done, sent)) = (self.waiting.clone(), std::sync::mpsc::channel());
        self.thread.runtime().spawn(async move {
            // All places are free when nothing waits.
            let all = waiting.acquire_many(MOST_WAITING).await;
            drop(all);
            let _ = done.send(());
        });
        // What is not sent by then is logged when its task is dropped.
        let _ = sent.recv_timeout(limit);
    }
}

/// A mail until it is sent; dropped before that, it says so in the log.
struct Unsent {
    letter: Letter,
    is_done: bool,
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if !self.is_done {
            let Letter { to, kind, .. } = &self.letter;
            tracing::error!(%to, mail = kind, "a mail is not sent: Keyward ends before it could be");
        }
    }
}

async fn deliver(way: &Way, sending: &Semaphore, mut unsent: Unsent) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let turn = sending.acquire().await;
        let sent = way.send(&unsent.letter).await;
        drop(turn);
        let Letter { to, kind, .. } = &unsent.letter;
        let Err(Failure { why, is_final }) = sent else {
            tracing::debug!(%to, mail = kind, "a mail is sent");
            break;
        };
        match pauses.next().filter(|_| !is_final) {
            Some(pause) => {
                tracing::warn!(%to, mail = kind, why, "a mail could not be sent and is tried again in {} s", pause.as_secs());
                tokio::time::sleep(pause).await;
            }
            None => {
                tracing::error!(%to, mail = kind, why, "a mail is not sent: see to the cause, and do again what it tells of");
                break;
            }
        }
    }
    unsent.is_done = true;
}

impl Way {
    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        match self {
            Self::Server(server) => match server.send(letter.message.clone()).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    Err(Failure { why: with_causes(&error), is_final: error.is_permanent() })
                }
            },
            Self::Folder(folder) => write(folder, &letter.message.formatted())
                .map_err(|error| Failure { why: error.to_string(), is_final: false }),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        cause = error.source();
    }
    why
}

fn connect(server: &MailServer) -> io::Result<AsyncSmtpTransport<Tokio1Executor>> {
    let parameters = || TlsParameters::new_rustls(server.host.clone()).map_err(io::Error::other);
    let tls = match server.security {
        MailSecurity::Tls => Tls::Wrapper(parameters()?),
        MailSecurity::StartTls => Tls::Required(parameters()?),
        MailSecurity::Clear => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(PATIENCE));
    let builder = match &server.login {
        Some((user, password)) => {
            builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()))
        }
        None => builder,
    };
    Ok(builder.build())
}

/// A file appears whole, under its name, or not at all; nobody else may read it.
fn write(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = crate::mint::random::<16>().map_err(io::Error::other)?;
    let name = format!("{:032x}", u128::from_be_bytes(name));
    let (hidden, shown) = (folder.join(format!(".{name}")), folder.join(format!("{name}.eml")));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&hidden, &shown));
    if written.is_err() {
        // Whatever of it stands is of no use to anybody.
        let _ = fs::remove_file(&hidden);
    }
    written
}
