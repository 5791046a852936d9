//! Requests that are done once, however often they are sent (draft-ietf-httpapi-idempotency-key-header).
//!
//! A client that does not know whether its request was done sends it again, under the key it chose for it. For a quarter of an hour
//! it gets the first answer, byte for byte, the secret in it included; for the rest of a day it is told what was made and that the
//! answer is gone; then the key is forgotten. The answer is made before the change is committed and kept, sealed, in the same
//! transaction, so that nothing between the two can be lost. A request that was refused leaves no trace and may be mended.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keyward_core::key::Digest;
use keyward_store::{
    Answered, Answering, Change, Once, RequestKey, Revision, SealContext, StoreError,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Control;
use crate::{
    context::{Caller, Context},
    error::ControlError,
};

/// How long a repeat gets the answer.
const ANSWERED: Duration = Duration::from_secs(15 * 60);
/// How long it is known that the request was done.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What was answered, to be sent again. It may hold a secret, and is shown nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, JSON.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, …)", self.status)
    }
}

/// Requests that are being worked on.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<Mutex<HashSet<RequestKey>>>);

/// A request that is done once. As long as it lives, no repeat of it is let in.
#[derive(Debug)]
pub struct Ticket {
    request: RequestKey,
    /// What is asked for, under each pepper: the newest first.
    asked: Vec<Digest>,
    status: u16,
    running: Running,
    /// What became of the first request, where this is a repeat.
    before: Option<Answered>,
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        (&self.request, &self.asked) == (&other.request, &other.asked)
    }
}

impl Eq for Ticket {}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.request);
    }
}

impl Running {
    fn begin(&self, request: &RequestKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(request.clone())
    }
}

impl RequestText<'_> {
    /// Every part with its length before it, so that no two requests are the same bytes.
    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { method, target, body } = self;
        let room = method.len() + target.len() + body.len() + 3 * size_of::<u64>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        for part in [method.as_bytes(), target.as_bytes(), body] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// What a repeat must share with the first request.
#[derive(Clone, Copy)]
pub struct RequestText<'r> {
    /// The method.
    pub method: &'r str,
    /// Path and query.
    pub target: &'r str,
    /// The body, as it came.
    pub body: &'r [u8],
}

/// Who asks, as repeats are told apart by it: a person in any session, or a key.
fn caller(context: &Context) -> Option<String> {
    match &context.caller {
        Caller::Operator(user) => user.map(|user| user.to_string()),
        Caller::Person(user, _) => Some(user.to_string()),
        Caller::Key(record, _) => Some(record.key.id.to_string()),
        Caller::Visitor => None,
    }
}

impl Control {
    /// Begins a request that is done once under `key`, and will be answered with `status`. One that was done already is answered by
    /// its operation, see [`Self::repeat`].
    pub async fn begin_once(
        &self,
        context: &mut Context,
        running: &Running,
        key: &str,
        text: &RequestText<'_>,
        status: u16,
    ) -> Result<(), ControlError> {
        let caller = caller(context).ok_or(StoreError::NotAllowed(None))?;
        let request = RequestKey { caller, key: Sha256::digest(key.as_bytes()).into() };
        if !running.begin(&request) {
            return Err(ControlError::StillRunning);
        }
        let bytes = text.bytes();
        let asked = self.peppers.newest_first().map(|pepper| pepper.digest(&bytes)).collect();
        let mut ticket = Ticket { request, asked, status, running: running.clone(), before: None };
        ticket.before = self.store.answer(&ticket.request, context.now).await?;
        if ticket.before.as_ref().is_some_and(|before| !ticket.asked.contains(&before.asked)) {
            return Err(ControlError::AnotherRequest);
        }
        context.once = Some(Arc::new(ticket));
        Ok(())
    }

    /// A repeat of what was done ends here, as [`ControlError::Repeated`] with its answer. Called by each operation once it knows that
    /// the caller may do it, now: who was lowered or removed meanwhile is shown no secret again.
    pub(crate) fn repeat(&self, context: &Context) -> Result<(), ControlError> {
        let Some(ticket) = &context.once else { return Ok(()) };
        ticket.before.as_ref().map_or(Ok(()), |before| Err(self.repeated(ticket, before)))
    }

    /// Commits a change that makes `made` and is answered with what `answer` gives, once where the caller asked for that.
    pub(crate) async fn commit_answering<A: Serialize>(
        &self,
        context: &Context,
        change: Change,
        made: impl fmt::Display,
        answer: impl FnOnce(Revision) -> A + Send + 'static,
    ) -> Result<Revision, ControlError> {
        let Some(ticket) = &context.once else {
            return Ok(self.store.commit(&context.actor, context.now, change).await?);
        };
        let Some(asked) = ticket.asked.first().copied() else {
            return Err(ControlError::Interrupted);
        };
        let once = Once {
            request: ticket.request.clone(),
            asked,
            made: made.to_string(),
            answer: self.sealing(ticket, answer),
            answered_until: context.now.plus(ANSWERED),
            kept_until: context.now.plus(KEPT),
        };
        match self.store.commit_once(&context.actor, context.now, change, once).await {
            Ok(revision) => Ok(revision),
            // By another process, or by a request whose client went away while it was done.
            Err(StoreError::DoneBefore) => {
                let answered = self.store.answer(&ticket.request, context.now).await?;
                let answered = answered.ok_or(ControlError::StillRunning)?;
                Err(self.repeated(ticket, &answered))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn sealing<A: Serialize>(
        &self,
        ticket: &Ticket,
        answer: impl FnOnce(Revision) -> A + Send + 'static,
    ) -> Answering {
        let (sealer, place, status) = (self.sealer.clone(), place(&ticket.request), ticket.status);
        Box::new(move |revision| {
            let mut plain = Zeroizing::new(status.to_be_bytes().to_vec());
            let body = serde_json::to_vec(&answer(revision)).map(Zeroizing::new);
            let unwritable = |error: serde_json::Error| StoreError::Invalid {
                what: format!("the answer cannot be written as JSON ({error})"),
                remedy: "this is a defect of Keyward to report".to_owned(),
            };
            plain.extend_from_slice(&body.map_err(unwritable)?);
            sealer.seal(&SealContext::answer(&place), &plain)
        })
    }

    /// What whoever repeats a request is told.
    fn repeated(&self, ticket: &Ticket, answered: &Answered) -> ControlError {
        if !ticket.asked.contains(&answered.asked) {
            return ControlError::AnotherRequest;
        }
        let gone = || ControlError::AnswerGone(answered.made.clone());
        let Some(sealed) = &answered.answer else { return gone() };
        let place = place(&ticket.request);
        let opened = match self.sealer.open(&SealContext::answer(&place), sealed) {
            Ok(opened) => opened,
            Err(error) => return error.into(),
        };
        match opened.split_first_chunk::<2>() {
            Some((status, body)) => ControlError::Repeated(Answer {
                status: u16::from_be_bytes(*status),
                body: Zeroizing::new(body.to_vec()),
            }),
            None => gone(),
        }
    }
}

fn place(request: &RequestKey) -> String {
    let digits = request.key.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once(format!("{}/", request.caller)).chain(digits).collect()
}
