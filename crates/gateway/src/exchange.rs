//! A request's way, top to bottom: guard, route, credential, decide, reserve, forward, record.

use std::{future::poll_fn, net::IpAddr, rc::Rc, sync::Arc, task::Poll, time::Duration};

use keyward_core::{
    decide::{self, Body, Caller, Identity, Progress, Silent, Suspect},
    declared,
    metering::Metered,
    policy::Api,
    profile::{Exposed, Profile},
    reserve::{self, Asking, Foreseen},
    route::{Route, RouteMatch},
    snapshot::Snapshot,
    usage::Exposure,
    verdict::{Denial, Outage, Permit, Reason, Verdict},
};

use smallvec::SmallVec;

use crate::{
    body::{ClientBody, Upload, UploadState},
    clock,
    connection::Connection,
    forward, guard,
    meter::Meter,
    record::{AT_ONCE, Ticket},
    refusal::{self, Refused},
    reply::Reply,
    request::RequestHead,
    settings::Compiled,
    slow::{Checked, Full},
    stretch::{Stretch, Words},
    wire::{client::WireFault, fields::Name},
    worker::{Held, NoRoom, Worker},
};

/// A body of so many bytes, which its sender has declared, is taken whole before it is forwarded: it comes with its head or right
/// behind it, and goes on with the head in one write.
const SMALL_BODY: u64 = 16 * 1024;
/// What is read of a refused request's body, so that its client gets to read the answer.
const DISCARD_BYTES: u64 = 16 * 1024 * 1024;
const DISCARD: Duration = Duration::from_secs(5);

/// Answers one request, from its upstream or with a refusal. It never fails: every way ends in one answer and one record.
///
/// With a `fault`, what came was no request, and `head` stands in for it.
pub(crate) async fn exchange(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    head: Box<RequestHead>,
    body: ClientBody,
    fault: Option<WireFault>,
) -> Reply {
    let snapshot = worker.snapshot();
    let settings = worker.settings();
    let mut ticket = Ticket::open(&worker, connection.begin());
    let origin = guard::origin(&connection, &head, &settings.trusted_proxies);
    let (client, secure) = *origin.as_ref().unwrap_or(&(connection.peer, connection.secure));

    let mut exchange = Exchange {
        worker: &worker,
        connection: &connection,
        snapshot: &snapshot,
        settings: &settings,
        head: &head,
        fault,
        api: None,
        client,
        secure,
        request_id: RequestId::new(),
    };
    let mut body = Some(body);
    let reply = match exchange.answer(&mut body, origin.err(), &mut ticket).await {
        Ok(forwarding) => forwarding.into_reply(ticket),
        Err(denial) => {
            let unread = match body {
                Some(body) => Box::pin(exchange.discard(body)).await,
                None => false,
            };
            exchange.refuse(&denial, unread, ticket)
        }
    };
    worker.buffers.keep_head(head);
    reply
}

/// The profile's prefix and 32 hexadecimal digits.
type RequestId = SmallVec<[u8; 56]>;

/// The facts of a request, as they are decided on.
type Facts<'f> = decide::Request<'f, RequestHead>;

/// Leave to forward, and the body where it was read for that.
struct Decided {
    permit: Permit,
    whole: Option<Whole>,
}

/// How long bodies may be.
#[derive(Clone, Copy)]
struct Bodies {
    /// At all.
    most: Option<u64>,
    /// To be taken whole though nothing is decided on them.
    taken: u64,
}

/// A body that was read to its end.
struct Whole {
    body: Held,
    /// Whether time passed over it.
    waited: bool,
}

/// One request and everything it is answered from.
struct Exchange<'w> {
    worker: &'w Rc<Worker>,
    connection: &'w Connection,
    snapshot: &'w Arc<Snapshot>,
    settings: &'w Compiled,
    head: &'w RequestHead,
    fault: Option<WireFault>,
    /// Known once it was routed.
    api: Option<&'w Api>,
    client: IpAddr,
    secure: bool,
    request_id: RequestId,
}

impl<'w> Exchange<'w> {
    /// The way itself.
    async fn answer(
        &mut self,
        body: &mut Option<ClientBody>,
        unknown_origin: Option<Box<Denial>>,
        ticket: &mut Ticket,
    ) -> Result<forward::Forwarding, Box<Denial>> {
        let host = guard::check(self.connection, &self.settings.limits, self.head, self.fault);
        let api =
            host.as_ref().ok().and_then(|host| self.snapshot.policy().find(host, self.head.path()));
        self.name(api);
        if self.settings.log_requests {
            ticket.log(self.request_id_text(), self.head, self.client);
        }
        host?;
        unknown_origin.map_or(Ok(()), Err)?;
        let api = api.ok_or_else(|| {
            Box::new(Denial::new(Reason::UnknownApi, "No API is served at this host and path."))
        })?;

        let facts = self.facts(api);
        let route = match api.routes.find(facts.method, facts.path) {
            RouteMatch::Found(route) => Some(route),
            _ => None,
        };
        ticket.reached(api, route);
        let caller = self.identify(&facts, ticket).await?;
        let most = route.and_then(|route| route.body_limit).or(self.settings.limits.body_bytes);
        let bodies = Bodies { most, taken: self.taken_whole(api, route) };
        let asking = Asking {
            caller: caller.whose(),
            api,
            route: route.map_or("", |route| route.pattern.as_str()),
            model: None,
            calls_any_model: false,
        };
        let decided = self.decide(&facts, &caller, body, bodies, ticket).await;
        let Decided { permit, whole } =
            decided.inspect_err(|denial| self.tell_limits(&asking, denial, ticket))?;
        let mut upload = match (whole, body.take()) {
            (Some(whole), _) => Upload::whole(whole.body),
            (None, Some(stream)) => {
                Upload::stream(stream, most.unwrap_or(u64::MAX), ticket.upload.clone())
            }
            (None, None) => return Err(undecided()),
        };
        let model = permit.model();
        let upgrades = forward::wanted_upgrade(self.head).is_some();
        let calls_any_model =
            route.is_some_and(|route| route.calls_any_model(facts.method, upgrades, model));
        let asking = Asking { model, calls_any_model, ..asking };
        self.meter(route, &asking, &mut upload, ticket);
        if let Err(denial) = self.reserve(&permit, route, &asking, ticket) {
            if ticket.limits.is_empty() {
                self.tell_limits(&asking, &denial, ticket);
            }
            *body = upload.into_stream();
            return Err(denial);
        }
        let way = forward::Way {
            worker: self.worker,
            connection: self.connection,
            snapshot: self.snapshot,
            settings: self.settings,
            head: self.head,
            api,
            client: self.client,
            secure: self.secure,
            request_id: &self.request_id,
            limits_told: route.map_or_else(Default::default, |route| route.limits_told),
        };
        forward::forward(way, permit, upload, ticket).await
    }

    /// Gives the request the API's words and a number in its form.
    fn name(&mut self, api: Option<&'w Api>) {
        self.api = api;
        let number = self.worker.next_request_id();
        self.request_id = request_id(&self.profile().request_id.prefix, number);
    }

    fn request_id_text(&self) -> &str {
        std::str::from_utf8(&self.request_id).unwrap_or_default()
    }

    fn profile(&self) -> &'w Profile {
        self.api.map_or_else(|| self.snapshot.policy().fallback(), |api| &api.profile)
    }

    fn facts(&self, api: &'w Api) -> Facts<'w> {
        decide::Request {
            api,
            method: self.head.method.as_str().parse().ok(),
            path: self.head.path(),
            query: self.head.query(),
            headers: self.head,
            client: self.client,
            secure: self.secure,
        }
    }

    /// Who calls, by the credential.
    async fn identify(
        &self,
        facts: &Facts<'_>,
        ticket: &mut Ticket,
    ) -> Result<Caller, Box<Denial>> {
        if let Some(outage) = decide::outage(self.snapshot, ticket.began(), &mut Silent) {
            return Err(Box::new(outage_denial(outage)));
        }
        let identity = decide::identify(self.snapshot, facts)
            .inspect_err(|denial| self.tell_exposed(facts.api, denial))?;
        let caller = match identity {
            Identity::Known(caller) => caller,
            Identity::Unproven(suspect) => {
                let proven = Box::pin(self.prove(facts, *suspect)).await;
                ticket.waited();
                proven?
            }
        };
        ticket.caller(caller.key(), Some(caller.organization()), self.snapshot);
        Ok(caller)
    }

    /// Whether the caller may. The body is read only for one who holds everything else.
    async fn decide(
        &self,
        facts: &Facts<'_>,
        caller: &Caller,
        body: &mut Option<ClientBody>,
        Bodies { most, taken }: Bodies,
        ticket: &mut Ticket,
    ) -> Result<Decided, Box<Denial>> {
        // Finding the caller may have taken time.
        let now = if ticket.took() > AT_ONCE { clock::now() } else { ticket.began() };
        let mut whole = None;
        let mut progress = decide::authorize(self.snapshot, facts, caller, Body::NotRead, now);
        match (&progress, body.as_mut()) {
            (Progress::BodyWanted, Some(body)) => {
                let decided =
                    Box::pin(self.decide_on_body(facts, body, most, &ticket.upload)).await;
                ticket.waited();
                let (decided, read) = decided?;
                progress = decided;
                whole = Some(read);
            }
            (Progress::Decided(Verdict::Permit(_)), Some(body)) if is_up_to(body, taken) => {
                check_length(body, most)?;
                let read = self.read_whole(body, taken, &ticket.upload).await?;
                if read.waited {
                    ticket.waited();
                    if ticket.took() > AT_ONCE {
                        progress = self.decide_again(facts, Body::NotRead)?;
                    }
                }
                whole = Some(read);
            }
            _ => {}
        }
        match progress {
            Progress::Decided(Verdict::Permit(permit)) => {
                // Who may not is told so, whatever the size of what it sends; who may, before it is taken.
                body.as_ref().map_or(Ok(()), |body| check_length(body, most))?;
                ticket.accepted(permit.key(), permit.secret(), permit.model(), self.client, now);
                if let Some(upgrade) = decide::upgrade(self.snapshot, facts, caller) {
                    self.worker.recorder.borrow_mut().upgraded(upgrade);
                }
                Ok(Decided { permit, whole })
            }
            Progress::Decided(Verdict::Denial(denial)) => Err(denial),
            Progress::Decided(Verdict::Outage(outage)) => Err(Box::new(outage_denial(outage))),
            Progress::BodyWanted => Err(undecided()),
        }
    }

    /// Reads what the request will use, and what of it its answer tells.
    fn meter(
        &self,
        route: Option<&Route>,
        asking: &Asking<'_>,
        upload: &mut Upload,
        ticket: &mut Ticket,
    ) {
        let policy = self.snapshot.policy();
        let price = asking.model.and_then(|model| reserve::price(self.snapshot, model));
        let most_output = price.as_ref().and_then(|price| price.most_output);
        let meters = &self.worker.meters;
        ticket.meter =
            Meter::open(meters, policy, asking.api, route, upload, self.head, most_output);
        ticket.price = price.filter(|_| ticket.meter.is_some());
    }

    /// Every limit that applies must have room.
    fn reserve(
        &self,
        permit: &Permit,
        route: Option<&Route>,
        asking: &Asking<'_>,
        ticket: &mut Ticket,
    ) -> Result<(), Box<Denial>> {
        let now = ticket.moment();
        let wall = now.wall;
        let mut lines = Vec::new();
        let mut cuts_streams = false;
        let upgrades = || forward::wanted_upgrade(self.head).is_some();
        let estimate = ticket.meter.as_ref().map(|meter| meter.estimate());
        let is_masked = || asking.api.profile.metering.is_masked(self.head.query(), self.head);
        let foreseen = || Foreseen::of(asking.api, route, estimate, upgrades(), is_masked());
        let reservation = reserve::reserve(
            self.snapshot,
            &self.worker.counters,
            asking,
            foreseen,
            now,
            |stand| {
                lines = self.worker.buffers.write();
                stand.write_headers(&mut lines, asking.api, wall);
                cuts_streams = stand.cuts_streams();
            },
        );
        ticket.limits = lines;
        ticket.reservation = reservation?;
        if let Some(meter) = ticket.meter.as_ref().filter(|_| cuts_streams) {
            let allowed = meter.estimate().written;
            let words = Words {
                request_id: self.request_id_text().into(),
                method: self.head.method.as_str().into(),
                path: self.head.path().into(),
            };
            ticket.stretch = Some(Box::new(Stretch::new(permit.owner(), asking, allowed, words)));
        }
        Ok(())
    }

    /// Who is known and refused for something else hears of the limits too.
    fn tell_limits(&self, asking: &Asking<'_>, denial: &Denial, ticket: &mut Ticket) {
        if self.profile().refusals.status(denial.reason) == 401 {
            return;
        }
        let now = ticket.moment();
        let wall = now.wall;
        reserve::look(self.snapshot, &self.worker.counters, asking, now, |stand| {
            stand.write_headers(&mut ticket.limits, asking.api, wall);
        });
    }

    /// How long a body may be that is taken whole though nothing is decided on it: longer where what it will use is estimated from it.
    fn taken_whole(&self, api: &Api, route: Option<&Route>) -> u64 {
        let is_estimated = |metered| matches!(metered, Metered::Input | Metered::Both);
        let estimated = route.is_some_and(|route| is_estimated(route.metered));
        match estimated && !api.profile.metering.is_empty() {
            true => u64::try_from(self.settings.limits.decided_body_bytes).unwrap_or(u64::MAX),
            false => SMALL_BODY,
        }
    }

    /// Finds a caller who showed what may be an imported secret, of which only a slow hash is known.
    async fn prove(&self, facts: &Facts<'_>, suspect: Suspect) -> Result<Caller, Box<Denial>> {
        match self.worker.slow.check(&suspect).await {
            Err(Full) => return Err(suspect.unchecked()),
            Ok(Checked::None) => return Err(suspect.unknown()),
            Ok(Checked::Is(candidate)) => suspect.prove(self.snapshot, &candidate),
        }
        self.identify_again(facts)
    }

    /// While something was waited for, time passed and the key may have been revoked: what counts is the moment of forwarding.
    fn identify_again(&self, facts: &Facts<'_>) -> Result<Caller, Box<Denial>> {
        if !Arc::ptr_eq(&self.worker.snapshot(), self.snapshot) {
            // What this request began with is followed no longer: a revocation since then would not show in it.
            let mut denial = Denial::new(
                Reason::Unavailable,
                "The configuration was replaced while the request waited; send it again.",
            );
            denial.retry_after = Some(Duration::from_secs(1));
            return Err(Box::new(denial));
        }
        match decide::identify(self.snapshot, facts)? {
            Identity::Known(caller) => Ok(caller),
            // What was proven is another secret meanwhile.
            Identity::Unproven(suspect) => Err(suspect.unchecked()),
        }
    }

    /// Reads what a refused client still sends, within bounds; says whether something is left unread.
    ///
    /// An answer that comes before its request has ended is lost on many clients: the connection is reset under
    /// them (HTTP/1.1), or the stream is, and they throw the answer away (HTTP/2).
    async fn discard(&self, mut body: ClientBody) -> bool {
        // A client that waits to be told to go on has sent nothing, and is not told.
        let waits = self.head.has(Name::Expect);
        if waits || self.fault.is_some() || body.has_ended() {
            return waits || self.fault.is_some();
        }
        if body.left().is_some_and(|left| left > DISCARD_BYTES) {
            return true;
        }
        let watch = self.worker.watchdog.watch();
        watch.arm(DISCARD);
        let mut left = DISCARD_BYTES;
        loop {
            let piece = poll_fn(|cx| match body.poll_piece(cx) {
                Poll::Pending if watch.overdue(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(piece) => Poll::Ready(Some(piece)),
            });
            let Some(Some(Ok(piece))) = piece.await else { return !body.has_ended() };
            body.take(piece);
            match left.checked_sub(u64::try_from(piece).unwrap_or(u64::MAX)) {
                Some(rest) => left = rest,
                None => return true,
            }
        }
    }

    async fn decide_on_body(
        &self,
        facts: &Facts<'_>,
        body: &mut ClientBody,
        most: Option<u64>,
        state: &UploadState,
    ) -> Result<(Progress, Whole), Box<Denial>> {
        let most_decided =
            u64::try_from(self.settings.limits.decided_body_bytes).unwrap_or(u64::MAX);
        let most = most.unwrap_or(u64::MAX).min(most_decided);
        check_length(body, Some(most))?;
        let whole = self.read_whole(body, most, state).await?;
        let known = match declared::unreadable(facts.headers) {
            Some(why) => Body::Unreadable(why),
            None => Body::Json(&whole.body),
        };
        Ok((self.decide_again(facts, known)?, whole))
    }

    fn decide_again(&self, facts: &Facts<'_>, body: Body<'_>) -> Result<Progress, Box<Denial>> {
        let caller = self.identify_again(facts)?;
        Ok(decide::authorize(self.snapshot, facts, &caller, body, clock::now()))
    }

    async fn read_whole(
        &self,
        body: &mut ClientBody,
        most: u64,
        state: &UploadState,
    ) -> Result<Whole, Box<Denial>> {
        let mut whole = Whole { body: self.worker.hold(), waited: false };
        let mut left = usize::try_from(most).unwrap_or(usize::MAX);
        loop {
            let piece = poll_fn(|cx| {
                let piece = body.poll_piece(cx);
                whole.waited |= piece.is_pending();
                piece
            });
            let Some(piece) = piece.await else { return Ok(whole) };
            let length = piece.map_err(|fault| fault.denial())?;
            left = left.checked_sub(length).ok_or_else(|| too_large(most))?;
            let added = body.with_piece(|piece| whole.body.add(piece));
            added.map_err(|NoRoom| too_much_held())?;
            state.count(length);
            body.take(length);
        }
    }

    fn tell_exposed(&self, api: &Api, denial: &Denial) {
        let (Reason::InsecureTransport, Some(key)) = (denial.reason, denial.known_key) else {
            return;
        };
        let disable = api.profile.exposed == Exposed::Disable;
        let exposure = Exposure { key, at: clock::now(), from: self.client, disable };
        self.worker.recorder.borrow_mut().exposed(exposure);
    }

    fn refuse(&self, denial: &Denial, unread: bool, mut ticket: Ticket) -> Reply {
        if let Some(key) = denial.known_key {
            ticket.caller(key, denial.known_organization, self.snapshot);
        }
        let refused = Refused {
            request_id: self.request_id_text(),
            // What stands in for a request is nothing the client sent.
            method: self.fault.map_or(self.head.method.as_str(), |_| "this method"),
            path: self.head.path(),
            problem: self.wants_problem(),
            exact_status: self.fault.and_then(guard::exact_status),
            close: unread,
        };
        refusal::answer(self.profile(), denial, &refused, clock::now(), ticket)
    }

    /// Whether the client names `application/problem+json` (RFC 9457) among what it accepts.
    fn wants_problem(&self) -> bool {
        let mut accepted = self.head.all(Name::Accept);
        accepted.any(|value| memchr::memmem::find(value, b"application/problem+json").is_some())
    }
}

fn request_id(prefix: &str, number: u128) -> RequestId {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |of: u8| DIGITS.get(usize::from(of & 15)).copied().unwrap_or_default();
    let digits = number.to_be_bytes().map(|byte| [digit(byte >> 4), digit(byte)]);
    let mut id = RequestId::from_slice(prefix.as_bytes());
    id.extend_from_slice(digits.as_flattened());
    id
}

fn outage_denial(outage: Outage) -> Denial {
    tracing::warn!(age = ?outage.age, "a request was answered with 503: the state is too old to decide from");
    let mut denial =
        Denial::new(Reason::Unavailable, "The request cannot be decided on now; try again.");
    denial.retry_after = Some(std::time::Duration::from_secs(5));
    denial
}

fn too_large(most: u64) -> Box<Denial> {
    Box::new(Denial::new(Reason::BodyTooLarge, format!("The body is larger than {most} bytes.")))
}

/// Whether the body's length is declared, and no more than this.
fn is_up_to(body: &ClientBody, most: u64) -> bool {
    body.left().is_some_and(|length| (1..=most).contains(&length))
}

fn too_much_held() -> Box<Denial> {
    let mut denial = Denial::new(
        Reason::Unavailable,
        "Too many request bodies are being read at once; try again.",
    );
    denial.retry_after = Some(Duration::from_secs(1));
    Box::new(denial)
}

fn undecided() -> Box<Denial> {
    Box::new(Denial::new(Reason::Internal, "The request could not be decided on."))
}

/// Refuses by the declared length, before a byte of the body is read.
fn check_length(body: &ClientBody, most: Option<u64>) -> Result<(), Box<Denial>> {
    match most {
        Some(most) if body.left().is_some_and(|left| left > most) => Err(too_large(most)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F, A, B, C, D, E, R>(_: F) -> usize
    where
        F: FnOnce(A, B, C, D, E) -> R,
    {
        size_of::<R>()
    }

    #[test]
    fn an_exchange_is_small_enough_to_be_moved_cheaply() {
        let bytes = size(exchange);
        assert!(bytes <= 3072, "{bytes} bytes");
    }
}
