//! The load: prebuilt requests on keep-alive connections, one request in flight on each, driven
//! from one thread by one `epoll`. In a closed loop it asks for saturation; at a fixed rate it
//! measures latency from the moment a request was *meant* to be sent, so that a stall of the proxy
//! counts for every request it delayed (no coordinated omission).
//!
//! Every answer is read to its end and its status counted: a fast refusal must never pass for a
//! fast proxy.

mod connection;
mod http1;
mod http2;
mod schedule;
mod stream;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use rustls::ClientConfig;

use super::interrupt::Interrupt;
use super::socket::Skipper;
use connection::Connection;
pub(super) use http2::{Common, STREAMS, authorization};
use schedule::{Schedule, TICK};
use stream::Stream;

/// How long nothing may come before that counts as a stall.
const STALL: Duration = Duration::from_secs(5);
/// The event that stands for the timer; connections count up from 0.
const TIMER: u64 = u64::MAX;

/// What is sent, and how.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) connections: usize,
    /// Sent in turn: whole requests, or by HTTP/2 what each has of its own.
    pub(super) requests: &'a [Vec<u8>],
    /// Sent after each of them, where it is too large to be part of each.
    pub(super) body: &'a [u8],
    /// Whether a connection carries one request alone. It is closed by a reset: otherwise its port
    /// would not be free for a minute, and after two seconds there were none.
    pub(super) is_fresh: bool,
    /// The upstream, where each event of a stream is sent once it has been asked for.
    pub(super) asks: Option<SocketAddr>,
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    /// What all requests have in common, where they are sent by HTTP/2: several at once on each
    /// connection.
    pub(super) http2: Option<&'a Common>,
}

impl<'a> Load<'a> {
    /// Small requests on keep-alive connections.
    pub(super) const fn of(connections: usize, requests: &'a [Vec<u8>]) -> Self {
        Self {
            connections,
            requests,
            body: &[],
            is_fresh: false,
            asks: None,
            tls: None,
            http2: None,
        }
    }
}

/// One answer that has come to its end.
struct Answer {
    status: u16,
    request: usize,
    intended: Instant,
}

/// What has come and nobody has dealt with yet.
#[derive(Default)]
struct Received {
    answers: Vec<Answer>,
    events: u64,
    /// Of events, from the upstream to us, in nanoseconds.
    delays: Vec<u32>,
    /// The streams whose next event can be sent, as the upstream wants to be told.
    to_ask: Vec<u8>,
}

/// What came back in one phase.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) answers: u64,
    pub(super) events: u64,
    /// Answers that were not 200, by status.
    pub(super) others: BTreeMap<u16, u64>,
    /// In nanoseconds: at a fixed rate from the intended sending to the end of the answer; of events,
    /// from the upstream to us.
    pub(super) latencies: Vec<u32>,
}

pub(super) struct Generator<'a> {
    address: SocketAddr,
    load: Load<'a>,
    /// Counts on over all phases, so that every connection meets every key.
    next_request: usize,
    connections: Vec<Connection>,
    received: Received,
    asking: Option<TcpStream>,
    skipper: Skipper,
    epoll: Epoll,
    interrupt: &'a Interrupt,
}

impl<'a> Generator<'a> {
    pub(super) fn connect(
        address: SocketAddr,
        load: Load<'a>,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let mut generator = Self {
            address,
            load,
            next_request: 0,
            connections: Vec::new(),
            received: Received::default(),
            asking: load.asks.map(connect_to_ask).transpose()?,
            skipper: Skipper::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            interrupt,
        };
        for index in 0..load.connections {
            let connection = generator.open(index)?;
            generator.connections.push(connection);
        }
        Ok(generator)
    }

    fn open(&self, index: usize) -> Result<Connection> {
        let stream = Stream::open(self.address, self.load.tls)?;
        let connection = Connection::new(stream, &self.load);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        self.epoll.add(connection.socket(), event)?;
        Ok(connection)
    }

    /// Keeps one request in flight on every connection for `length`. What is in flight at the end
    /// is left there, for the next phase to go on with.
    pub(super) fn saturate(&mut self, length: Duration) -> Result<Tally> {
        let started = Instant::now();
        let mut tally = Tally::default();
        for index in 0..self.connections.len() {
            while self.connections.get(index).is_some_and(Connection::is_free) {
                self.add(index, started)?;
            }
            self.flush(index)?;
        }
        let mut events = self.room_for_events();
        let mut now = started;
        while now - started < length {
            let ready = self.wait(&mut events)?;
            now = Instant::now();
            for event in events.iter().take(ready) {
                let index = event.data() as usize;
                self.receive(index)?;
                while let Some(answer) = self.received.answers.pop() {
                    tally.count(answer.status);
                    self.add(index, now)?;
                }
                self.flush(index)?;
            }
            self.take_events(&mut tally)?;
        }
        Ok(tally)
    }

    /// Sends `total` requests in a closed loop and reads every answer; `each` is told which request was answered with which status.
    pub(super) fn count(
        &mut self,
        total: u64,
        mut each: impl FnMut(usize, u16) -> Result<()>,
    ) -> Result<()> {
        let (mut sent, mut answered) = (0, 0);
        for index in 0..self.connections.len() {
            if sent < total {
                self.add(index, Instant::now())?;
                self.flush(index)?;
                sent += 1;
            }
        }
        let mut events = self.room_for_events();
        while answered < total {
            let ready = self.wait(&mut events)?;
            for event in events.iter().take(ready) {
                let index = event.data() as usize;
                self.receive(index)?;
                while let Some(answer) = self.received.answers.pop() {
                    answered += 1;
                    each(answer.request, answer.status)?;
                    if sent < total {
                        self.add(index, Instant::now())?;
                        sent += 1;
                    }
                }
                self.flush(index)?;
            }
        }
        Ok(())
    }

    /// Sends `rate` requests per second for `warm_up` and then `length`, each on the first
    /// connection that is free, and records the latency of those meant to be sent in `length`.
    pub(super) fn pace(&mut self, rate: f64, warm_up: Duration, length: Duration) -> Result<Tally> {
        let mut schedule = Schedule::new(rate, warm_up + length);
        let timer = self.timer()?;
        let recorded_from = schedule.started + warm_up;
        let at_once = if self.load.http2.is_some() { STREAMS } else { 1 };
        let slots = self.connections.len() * at_once;
        let mut idle: Vec<usize> = (0..slots).map(|slot| slot / at_once).collect();
        let mut events = self.room_for_events();
        let mut tally = Tally::default();
        while !schedule.is_over() || idle.len() < slots {
            let ready = self.wait(&mut events)?;
            for event in events.iter().take(ready) {
                if event.data() == TIMER {
                    timer.wait()?;
                    continue;
                }
                let index = event.data() as usize;
                self.receive(index)?;
                self.flush(index)?;
                while let Some(answer) = self.received.answers.pop() {
                    tally.count(answer.status);
                    if answer.intended >= recorded_from {
                        let nanoseconds = answer.intended.elapsed().as_nanos();
                        tally.latencies.push(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
                    }
                    idle.push(index);
                }
            }
            schedule.advance(Instant::now());
            while let Some(index) = idle.pop() {
                let Some(intended) = schedule.due.pop_front() else {
                    idle.push(index);
                    break;
                };
                self.add(index, intended)?;
                self.flush(index)?;
            }
        }
        self.epoll.delete(&timer)?;
        Ok(tally)
    }

    /// Sends one request on each connection, one after the other.
    pub(super) fn send_one_each(&mut self) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut events = [EpollEvent::empty()];
        for index in 0..self.connections.len() {
            self.add(index, Instant::now())?;
            self.flush(index)?;
            while tally.answers <= index as u64 {
                let ready = self.wait(&mut events)?;
                for event in events.iter().take(ready) {
                    let index = event.data() as usize;
                    self.receive(index)?;
                    self.flush(index)?;
                    while let Some(answer) = self.received.answers.pop() {
                        tally.count(answer.status);
                    }
                }
            }
        }
        Ok(tally)
    }

    /// Sends nothing for `length`; an error when a connection is closed meanwhile.
    pub(super) fn rest(&mut self, length: Duration) -> Result<()> {
        let started = Instant::now();
        let mut events = [EpollEvent::empty()];
        while let Some(left) = length.checked_sub(started.elapsed()) {
            self.interrupt.check()?;
            // A millisecond more, since it is cut to whole ones.
            let limit = EpollTimeout::try_from(left + Duration::from_millis(1))
                .context("no valid time-out")?;
            let ready = match self.epoll.wait(&mut events, limit) {
                Err(Errno::EINTR) => 0,
                outcome => outcome.context("epoll failed")?,
            };
            for event in events.iter().take(ready) {
                let index = event.data() as usize;
                self.receive(index)?;
                self.flush(index)?;
            }
        }
        Ok(())
    }

    /// Started after the schedule, so that it fires just after each burst is due, never just
    /// before. (`epoll`'s own time-out counts milliseconds.)
    fn timer(&self) -> Result<TimerFd> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        let every = Expiration::Interval(TimeSpec::from_duration(TICK));
        timer.set(every, TimerSetTimeFlags::empty())?;
        self.epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(timer)
    }

    fn room_for_events(&self) -> Vec<EpollEvent> {
        vec![EpollEvent::empty(); self.connections.len() + 1]
    }

    fn wait(&self, events: &mut [EpollEvent]) -> Result<usize> {
        self.interrupt.check()?;
        let limit = EpollTimeout::try_from(STALL).context("no valid time-out")?;
        match self.epoll.wait(events, limit) {
            Err(Errno::EINTR) => Ok(0),
            Ok(0) => {
                self.interrupt.check()?;
                bail!("the proxy stalled: no answer for {} s", STALL.as_secs())
            }
            outcome => outcome.context("epoll failed"),
        }
    }

    /// Has the next request sent on a connection by the next [`flush`](Self::flush).
    fn add(&mut self, index: usize, intended: Instant) -> Result<()> {
        if self.load.is_fresh && self.connections.get(index).is_some_and(Connection::was_used) {
            let fresh = self.open(index)?;
            let used = self.connections.get_mut(index).map(|used| std::mem::replace(used, fresh));
            used.map(Connection::reset).transpose()?;
        }
        let number = self.next_request % self.load.requests.len().max(1);
        let request = self.load.requests.get(number);
        let (Some(request), Some(connection)) = (request, self.connections.get_mut(index)) else {
            bail!("no request or no connection {index} to send");
        };
        self.next_request += 1;
        connection.add((number, request), &self.load, intended)
    }

    /// Sends what there is room for, and waits for room for the rest.
    fn flush(&mut self, index: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        connection.flush(&self.load)?;
        let waits = connection.has_more_to_send();
        if waits == connection.waits_for_room {
            return Ok(());
        }
        connection.waits_for_room = waits;
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, waits);
        let mut event = EpollEvent::new(flags, index as u64);
        self.epoll.modify(connection.socket(), &mut event).context("epoll failed")
    }

    /// Reads what has come on a connection; answers that are complete stand in `received`.
    fn receive(&mut self, index: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(index) else {
            bail!("an event for connection {index}, which does not exist");
        };
        connection.receive(&mut self.received, &mut self.skipper)?;
        if self.load.is_fresh && !self.received.answers.is_empty() {
            // That it is closed is no news.
            self.epoll.delete(connection.socket())?;
        }
        Ok(())
    }

    /// Counts the events that have come, and asks for those that follow.
    fn take_events(&mut self, tally: &mut Tally) -> Result<()> {
        tally.events += std::mem::take(&mut self.received.events);
        tally.latencies.append(&mut self.received.delays);
        if let Some(asking) = &mut self.asking {
            asking.write_all(&self.received.to_ask).context("the upstream cannot be asked")?;
        }
        self.received.to_ask.clear();
        Ok(())
    }
}

fn connect_to_ask(upstream: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(upstream)?;
    stream.set_nodelay(true)?;
    stream.write_all(b"POST /next HTTP/1.1\r\n\r\n")?;
    Ok(stream)
}

impl Tally {
    fn count(&mut self, status: u16) {
        self.answers += 1;
        if status != 200 {
            *self.others.entry(status).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    /// Answers every request at once with `answer`, on as many connections as come.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const REFUSED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";

    fn requests() -> Vec<Vec<u8>> {
        vec![b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()]
    }

    #[test]
    fn a_closed_loop_counts_every_answer() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let mut generator =
            Generator::connect(server(OK), Load::of(2, &requests), &interrupt).unwrap();
        let tally = generator.saturate(Duration::from_millis(100)).unwrap();
        assert!(tally.answers > 2 && tally.others.is_empty());
    }

    #[test]
    fn every_request_of_a_total_is_told_once() {
        let mut all = requests();
        all.push(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
        let interrupt = Interrupt::default();
        let mut generator = Generator::connect(server(OK), Load::of(3, &all), &interrupt).unwrap();
        let mut counts = [0; 2];
        let each = |request: usize, status| {
            assert_eq!(status, 200);
            counts[request] += 1;
            Ok(())
        };
        generator.count(100, each).unwrap();
        assert_eq!(counts, [50, 50]);
    }

    #[test]
    fn connections_rest_after_one_request_each() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let mut generator =
            Generator::connect(server(OK), Load::of(3, &requests), &interrupt).unwrap();
        assert_eq!(generator.send_one_each().unwrap().answers, 3);
        generator.rest(Duration::from_millis(20)).unwrap();
    }

    #[test]
    fn each_request_has_a_connection_of_its_own_where_that_is_asked_for() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let load = Load { is_fresh: true, ..Load::of(2, &requests) };
        let mut generator = Generator::connect(server(OK), load, &interrupt).unwrap();
        let ports = |generator: &Generator<'_>| {
            let sockets = generator.connections.iter().map(Connection::socket);
            sockets.map(|socket| socket.local_addr().unwrap().port()).collect::<Vec<_>>()
        };
        let before = ports(&generator);
        let tally = generator.saturate(Duration::from_millis(50)).unwrap();
        assert!(tally.answers > 2 && tally.others.is_empty());
        assert!(ports(&generator).iter().all(|port| !before.contains(port)));
    }

    #[test]
    fn answers_other_than_200_are_told_apart() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let mut generator =
            Generator::connect(server(REFUSED), Load::of(2, &requests), &interrupt).unwrap();
        let tally = generator.saturate(Duration::from_millis(50)).unwrap();
        assert_eq!(tally.others.get(&401), Some(&tally.answers));
    }

    #[test]
    fn a_fixed_rate_sends_what_was_planned_and_no_more() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let mut generator =
            Generator::connect(server(OK), Load::of(4, &requests), &interrupt).unwrap();
        let (warm_up, length) = (Duration::from_millis(50), Duration::from_millis(200));
        let tally = generator.pace(400.0, warm_up, length).unwrap();
        assert_eq!(tally.answers, 100);
        assert!((78..=81).contains(&tally.latencies.len()), "{}", tally.latencies.len());
    }
}
