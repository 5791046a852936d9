//! The load: prebuilt requests on keep-alive connections, one request in flight on each, driven
//! from one thread by one `epoll`. In a closed loop it asks for saturation; at a fixed rate it
//! measures latency from the moment a request was *meant* to be sent, so that a stall of the proxy
//! counts for every request it delayed (no coordinated omission).
//!
//! Every answer is read to its end and its status counted: a fast refusal must never pass for a
//! fast proxy.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::interrupt::Interrupt;
use super::message;

/// Room for one answer.
const BUFFER: usize = 16 * 1024;
/// How long nothing may come before that counts as a stall.
const STALL: Duration = Duration::from_secs(5);
/// The event that stands for the timer; connections count up from 0.
const TIMER: u64 = u64::MAX;
/// At a fixed rate, requests are due in small bursts this far apart. A timer per request would keep
/// the load's core busier than the proxy's, and what was measured would be the generator's queue.
const TICK: Duration = Duration::from_micros(100);

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// Which request is in flight.
    request: usize,
    /// When the request in flight was meant to be sent; `None` when none is.
    in_flight: Option<Instant>,
}

/// What came back in one phase.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) answers: u64,
    /// Answers that were not 200, by status.
    pub(super) others: BTreeMap<u16, u64>,
    /// From the intended sending to the end of the answer, nanoseconds; at a fixed rate only.
    pub(super) latencies: Vec<u32>,
}

pub(super) struct Generator<'a> {
    requests: &'a [Vec<u8>],
    /// Counts on over all phases, so that every connection meets every key.
    next_request: usize,
    connections: Vec<Connection>,
    epoll: Epoll,
    interrupt: &'a Interrupt,
}

impl<'a> Generator<'a> {
    pub(super) fn connect(
        address: SocketAddr,
        connections: usize,
        requests: &'a [Vec<u8>],
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut generator =
            Self { requests, next_request: 0, connections: Vec::new(), epoll, interrupt };
        for index in 0..connections {
            let stream = TcpStream::connect(address)
                .with_context(|| format!("connection {index} to {address} cannot be made"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            generator.epoll.add(&stream, event)?;
            let buffer = vec![0; BUFFER];
            let connection = Connection { stream, buffer, filled: 0, request: 0, in_flight: None };
            generator.connections.push(connection);
        }
        Ok(generator)
    }

    /// Keeps one request in flight on every connection for `length`. What is in flight at the end
    /// is left there, for the next phase to go on with.
    pub(super) fn saturate(&mut self, length: Duration) -> Result<Tally> {
        let started = Instant::now();
        let mut tally = Tally::default();
        for index in 0..self.connections.len() {
            if self.connections.get(index).is_some_and(|c| c.in_flight.is_none()) {
                self.send(index, started)?;
            }
        }
        let mut events = vec![EpollEvent::empty(); self.connections.len()];
        let mut now = started;
        while now - started < length {
            let ready = self.wait(&mut events)?;
            now = Instant::now();
            for event in events.iter().take(ready) {
                let index = event.data() as usize;
                if let Some((status, _)) = self.receive(index)? {
                    tally.count(status);
                    self.send(index, now)?;
                }
            }
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
                self.send(index, Instant::now())?;
                sent += 1;
            }
        }
        let mut events = vec![EpollEvent::empty(); self.connections.len()];
        while answered < total {
            let ready = self.wait(&mut events)?;
            for event in events.iter().take(ready) {
                let index = event.data() as usize;
                let request = self.connections.get(index).map_or(0, |one| one.request);
                let Some((status, _)) = self.receive(index)? else { continue };
                answered += 1;
                each(request, status)?;
                if sent < total {
                    self.send(index, Instant::now())?;
                    sent += 1;
                }
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
        let mut idle: Vec<usize> = (0..self.connections.len()).collect();
        let mut events = vec![EpollEvent::empty(); self.connections.len() + 1];
        let mut tally = Tally::default();
        while !schedule.is_over() || idle.len() < self.connections.len() {
            let ready = self.wait(&mut events)?;
            for event in events.iter().take(ready) {
                if event.data() == TIMER {
                    timer.wait()?;
                    continue;
                }
                let index = event.data() as usize;
                if let Some((status, intended)) = self.receive(index)? {
                    tally.count(status);
                    if intended >= recorded_from {
                        let nanoseconds = intended.elapsed().as_nanos();
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
                self.send(index, intended)?;
            }
        }
        self.epoll.delete(&timer)?;
        Ok(tally)
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

    fn send(&mut self, index: usize, intended: Instant) -> Result<()> {
        let request = self.requests.get(self.next_request % self.requests.len().max(1));
        let connection = self.connections.get_mut(index);
        let (Some(request), Some(connection)) = (request, connection) else {
            bail!("no request or no connection {index} to send");
        };
        connection.request = self.next_request % self.requests.len().max(1);
        self.next_request += 1;
        connection.in_flight = Some(intended);
        let sent = connection.stream.write(request).context("the proxy closed a connection")?;
        if sent < request.len() {
            bail!("the socket took only {sent} bytes of a request: make the requests smaller");
        }
        Ok(())
    }

    /// Reads once; an answer's status and the time it was meant to be asked for when it is
    /// complete.
    fn receive(&mut self, index: usize) -> Result<Option<(u16, Instant)>> {
        let Some(connection) = self.connections.get_mut(index) else {
            bail!("an event for connection {index}, which does not exist");
        };
        let room = connection.buffer.get_mut(connection.filled..).unwrap_or_default();
        match connection.stream.read(room) {
            Ok(0) if connection.filled == connection.buffer.len() => {
                bail!("an answer is longer than {BUFFER} bytes")
            }
            Ok(0) => bail!("the proxy closed a keep-alive connection"),
            Ok(read) => connection.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("reading an answer failed"),
        }
        let received = connection.buffer.get(..connection.filled).unwrap_or_default();
        let Some(head) = message::head(received)? else { return Ok(None) };
        let status = message::status(received)?;
        let Some(body) = head.content_length else {
            bail!("an answer ({status}) without Content-Length");
        };
        if connection.filled < head.length + body {
            return Ok(None);
        }
        let Some(intended) = connection.in_flight.take() else {
            bail!("an answer ({status}) that nobody asked for");
        };
        connection.filled = 0;
        Ok(Some((status, intended)))
    }
}

impl Tally {
    fn count(&mut self, status: u16) {
        self.answers += 1;
        if status != 200 {
            *self.others.entry(status).or_default() += 1;
        }
    }
}

/// When each request is meant to be sent, and which of those are waiting for a free connection.
struct Schedule {
    started: Instant,
    per_tick: f64,
    /// Ticks that have passed, and those in which requests are sent at all.
    tick: u32,
    last_tick: u32,
    planned: u64,
    due: VecDeque<Instant>,
}

impl Schedule {
    fn new(rate: f64, length: Duration) -> Self {
        Self {
            started: Instant::now(),
            per_tick: rate * TICK.as_secs_f64(),
            tick: 0,
            last_tick: (length.as_secs_f64() / TICK.as_secs_f64()) as u32,
            planned: 0,
            due: VecDeque::new(),
        }
    }

    /// Adds what has become due by `now`.
    fn advance(&mut self, now: Instant) {
        while self.tick < self.last_tick {
            let intended = self.started + TICK * (self.tick + 1);
            if intended > now {
                return;
            }
            self.tick += 1;
            let planned = (self.per_tick * f64::from(self.tick)).round() as u64;
            self.due.extend((self.planned..planned).map(|_| intended));
            self.planned = planned;
        }
    }

    fn is_over(&self) -> bool {
        self.tick == self.last_tick && self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
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
        let mut generator = Generator::connect(server(OK), 2, &requests, &interrupt).unwrap();
        let tally = generator.saturate(Duration::from_millis(100)).unwrap();
        assert!(tally.answers > 2 && tally.others.is_empty());
    }

    #[test]
    fn every_request_of_a_total_is_told_once() {
        let mut all = requests();
        all.push(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
        let interrupt = Interrupt::default();
        let mut generator = Generator::connect(server(OK), 3, &all, &interrupt).unwrap();
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
    fn answers_other_than_200_are_told_apart() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let mut generator = Generator::connect(server(REFUSED), 2, &requests, &interrupt).unwrap();
        let tally = generator.saturate(Duration::from_millis(50)).unwrap();
        assert_eq!(tally.others.get(&401), Some(&tally.answers));
    }

    #[test]
    fn a_fixed_rate_sends_what_was_planned_and_no_more() {
        let (requests, interrupt) = (requests(), Interrupt::default());
        let mut generator = Generator::connect(server(OK), 4, &requests, &interrupt).unwrap();
        let (warm_up, length) = (Duration::from_millis(50), Duration::from_millis(200));
        let tally = generator.pace(400.0, warm_up, length).unwrap();
        assert_eq!(tally.answers, 100);
        assert!((78..=81).contains(&tally.latencies.len()), "{}", tally.latencies.len());
    }

    #[test]
    fn a_request_that_waits_is_timed_from_when_it_was_due() {
        let mut schedule = Schedule::new(5_000.0, Duration::from_secs(1));
        schedule.advance(schedule.started + TICK * 7);
        let due: Vec<_> = schedule.due.iter().map(|due| *due - schedule.started).collect();
        assert_eq!(due, [1, 3, 5, 7].map(|tick| TICK * tick));
    }

    #[test]
    fn a_schedule_ends_with_exactly_what_was_asked() {
        let mut schedule = Schedule::new(32_607.0, Duration::from_secs(2));
        schedule.advance(schedule.started + Duration::from_secs(3));
        assert_eq!(schedule.due.len(), 65_214);
    }
}
