//! Accepting connections: a poem acceptor that sends small answers at once, and that strangers cannot use up.
//!
//! poem's own TCP acceptor leaves Nagle's algorithm on, which can hold back a small answer for tens of
//! milliseconds; every answer of ours is small. The gateway and the simulators both listen with this.
//!
//! A listener for strangers has [`Guards`]: so many connections at once, each of which must have sent its whole
//! request within some seconds and must not be idle for long. Where one more comes than there is room for, the
//! connection that has kept us waiting longest for a request makes room: whoever says what it wants is served, also in a flood of
//! those who do not. HTTP/2 is not spoken: one connection could ask for any number of things at once.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poem::Addr;
use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// After an error that is not a connection's own, such as too few file descriptors, it is tried again after this
/// long: the connection still waits, and asking again at once would only burn the processor.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// So many connections wait at most until they are accepted.
const BACKLOG: u32 = 1024;
/// How an answer begins after which a connection is no longer HTTP.
const SWITCHED: &[u8] = b"HTTP/1.1 101 ";
/// How HTTP/2 begins on a connection without TLS (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2";

/// What strangers may use up of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Guards {
    /// Connections at once. One that became a WebSocket does not count: calls are counted elsewhere.
    pub connections_max: usize,
    /// How long a new connection's first request may take until it is answered.
    pub first_within: Duration,
    /// The same for the next request on it, with the time until that begins.
    pub next_within: Duration,
}

/// A listening socket whose connections do not wait to fill a packet.
#[derive(Debug)]
pub struct PromptAcceptor {
    listener: TcpListener,
    address: SocketAddr,
    guards: Option<Arc<Room>>,
}

/// The room for connections, and who takes it up without having been answered.
#[derive(Debug)]
struct Room {
    guards: Guards,
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// Connections of which a request is awaited, by a number that grows: the first has kept us waiting longest.
#[derive(Debug, Default)]
struct Waiting {
    by_turn: BTreeMap<u64, CancellationToken>,
    turns: u64,
}

impl PromptAcceptor {
    /// Listens on `address`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// The operating system's: the address is in use, not ours, or not allowed.
    pub async fn bind(address: SocketAddr) -> io::Result<PromptAcceptor> {
        PromptAcceptor::on(listen(address)?)
    }

    /// Accepts on a socket that listens already; only within a runtime.
    ///
    /// # Errors
    ///
    /// The operating system's: it is no such socket.
    pub fn on(socket: std::net::TcpListener) -> io::Result<PromptAcceptor> {
        let listener = TcpListener::from_std(socket)?;
        let address = listener.local_addr()?;
        Ok(PromptAcceptor { listener, address, guards: None })
    }

    /// The same for strangers.
    pub fn guarded(self, guards: Guards) -> PromptAcceptor {
        let places = Arc::new(Semaphore::new(guards.connections_max.min(Semaphore::MAX_PERMITS)));
        let room = Room { guards, places, waiting: Mutex::default() };
        PromptAcceptor { guards: Some(Arc::new(room)), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn next(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "connections cannot be accepted at the moment");
                    sleep(TRY_AGAIN_AFTER).await;
                }
            }
        }
    }
}

/// A socket that listens on `address`, for [`PromptAcceptor::on`]; only within a runtime.
///
/// # Errors
///
/// The operating system's: the address is in use, not ours, or not allowed.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // An address can be used again at once after a restart.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Acceptor for PromptAcceptor {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![LocalAddr(Addr::SocketAddr(self.address))]
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, peer) = self.next().await;
        // Without it the connection works all the same, only slower.
        let _ = stream.set_nodelay(true);
        let guard = match &self.guards {
            Some(room) => Some(Guard::new(room, room.place().await)),
            None => None,
        };
        let local = LocalAddr(Addr::SocketAddr(self.address));
        let connection = Connection { stream, guard };
        Ok((connection, local, RemoteAddr(Addr::SocketAddr(peer)), Scheme::HTTP))
    }
}

impl Room {
    /// A place for one more connection, if need be that of the one that has kept us waiting longest.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        if let Some((_, longest)) = self.waiting().by_turn.pop_first() {
            longest.cancel();
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection awaits its turn (again).
    fn enter(&self, token: &CancellationToken) -> u64 {
        let mut waiting = self.waiting();
        waiting.turns += 1;
        let turn = waiting.turns;
        waiting.by_turn.insert(turn, token.clone());
        turn
    }
}

/// An accepted connection.
pub struct Connection {
    stream: TcpStream,
    /// None where it is not a stranger's, or not HTTP any more.
    guard: Option<Guard>,
}

/// What holds a connection to its time.
struct Guard {
    room: Arc<Room>,
    _place: Option<OwnedSemaphorePermit>,
    token: CancellationToken,
    turn: u64,
    until: Pin<Box<Sleep>>,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    /// So many of the first bytes are those of [`HTTP_2`]; none: others came.
    preface: Option<usize>,
    /// An answer is being written: its first bytes have been looked at.
    is_answering: bool,
}

impl Guard {
    fn new(room: &Arc<Room>, place: Option<OwnedSemaphorePermit>) -> Guard {
        let token = CancellationToken::new();
        Guard {
            turn: room.enter(&token),
            _place: place,
            until: Box::pin(sleep_until(Instant::now() + room.guards.first_within)),
            evicted: Box::pin(token.clone().cancelled_owned()),
            token,
            room: Arc::clone(room),
            preface: Some(0),
            is_answering: false,
        }
    }

    /// An error once the connection's time is up.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let is_over =
            self.until.as_mut().poll(context).is_ready() || self.evicted.as_mut().poll(context).is_ready();
        if is_over { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Bytes came.
    fn on_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.is_answering = false;
        }
        let Some(seen) = self.preface else { return Ok(()) };
        let expected = &HTTP_2[seen..];
        let common = expected.len().min(bytes.len());
        self.preface = (expected[..common] == bytes[..common]).then_some(seen + common);
        if self.preface == Some(HTTP_2.len()) { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }

    /// A piece of an answer went out: whatever comes next has its own time. Claims that it was the first piece.
    fn on_write(&mut self) -> bool {
        self.until.as_mut().reset(Instant::now() + self.room.guards.next_within);
        if self.is_answering {
            return false;
        }
        self.is_answering = true;
        self.room.waiting().by_turn.remove(&self.turn);
        self.turn = self.room.enter(&self.token);
        true
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.room.waiting().by_turn.remove(&self.turn);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(guard) = &mut self.guard {
            guard.check(context)?;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(guard) = &mut self.guard {
            guard.on_read(&buffer.filled()[before..])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        if self.guard.as_mut().is_some_and(Guard::on_write) && bytes.starts_with(SWITCHED) {
            self.guard = None;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.guard.is_none() {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(context, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.guard.is_none()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
