//! Accepting connections: a poem acceptor that sends small answers at once.
//!
//! poem's own TCP acceptor leaves Nagle's algorithm on, which can hold back a small answer for tens of
//! milliseconds; every answer of ours is small. The gateway and the simulators both listen with this.

use std::io;
use std::net::SocketAddr;

use poem::Addr;
use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream};

/// A listening socket whose connections do not wait to fill a packet.
#[derive(Debug)]
pub struct PromptAcceptor {
    listener: TcpListener,
    address: SocketAddr,
}

impl PromptAcceptor {
    /// Listens on `address`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// The operating system's: the address is in use, not ours, or not allowed.
    pub async fn bind(address: SocketAddr) -> io::Result<PromptAcceptor> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(PromptAcceptor { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Acceptor for PromptAcceptor {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![LocalAddr(Addr::SocketAddr(self.address))]
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, peer) = self.listener.accept().await?;
        // Without it the connection works all the same, only slower.
        let _ = stream.set_nodelay(true);
        let local = LocalAddr(Addr::SocketAddr(self.address));
        Ok((stream, local, RemoteAddr(Addr::SocketAddr(peer)), Scheme::HTTP))
    }
}
