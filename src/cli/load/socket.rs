//! Frames of a WebSocket, as little of RFC 6455 as bridged calls need: whole text messages of a few hundred bytes, fifty
//! a second and direction, written from a buffer that is reused and read without a copy.
//!
//! The handshake is tungstenite's; behind it a general library would cost more than everything else here. A
//! message in several frames, or one that is too long, is an error.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;

/// The longest message that is read: no event of a call is nearly as long.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Some frames' worth; it grows for a longer message.
const BUFFER_BYTES: usize = 4 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole text message.
    Text,
    /// The other side closes.
    Close,
    /// The other side asks whether somebody is there.
    Ping,
    /// The answer to that.
    Pong,
}

impl Kind {
    const fn opcode(self) -> u8 {
        match self {
            Kind::Text => 1,
            Kind::Close => 8,
            Kind::Ping => 9,
            Kind::Pong => 10,
        }
    }
}

/// Who writes: a client's frames are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Masks what it writes.
    Client,
    /// Does not.
    Server,
}

/// Appends a frame, whose payload the closure appends. It is masked with a key of zeros, which changes nothing: the key
/// guards proxies on the way against scripts of a page, and there are neither.
pub(super) fn put(out: &mut Vec<u8>, side: Side, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) {
    let mask = if side == Side::Client { 0x80 } else { 0 };
    let at = out.len();
    // Always with a length of 16 bits: at most 65,535 bytes are written, and a payload is not moved afterwards.
    out.extend_from_slice(&[0x80 | kind.opcode(), mask | 126, 0, 0]);
    if mask != 0 {
        out.extend_from_slice(&[0; 4]);
    }
    let begin = out.len();
    payload(out);
    let length = u16::try_from(out.len() - begin).unwrap_or(u16::MAX);
    if length > 125 {
        out[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
        return;
    }
    // A short one must say so in the shortest way.
    out[at + 1] = mask | length as u8;
    out.drain(at + 2..at + 4);
}

/// Reads frames.
pub(super) struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    /// What is in the buffer and was not taken.
    begin: usize,
    end: usize,
}

/// Where a frame's payload stands in the buffer.
struct Found {
    kind: Kind,
    payload: std::ops::Range<usize>,
}

impl Reader {
    /// Of a socket behind its handshake.
    pub fn new(stream: OwnedReadHalf) -> Reader {
        Reader { stream, buffer: vec![0; BUFFER_BYTES], begin: 0, end: 0 }
    }

    /// The next frame; none when the socket is at its end.
    ///
    /// # Errors
    ///
    /// The socket's, and frames that are not expected.
    pub async fn next(&mut self) -> io::Result<Option<(Kind, &[u8])>> {
        loop {
            if let Some(found) = self.find()? {
                return Ok(Some((found.kind, &self.buffer[found.payload])));
            }
            if self.begin == self.end {
                (self.begin, self.end) = (0, 0);
            } else if self.end == self.buffer.len() {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
                if self.end == self.buffer.len() {
                    self.buffer.resize(2 * self.end, 0);
                }
            }
            match self.stream.read(&mut self.buffer[self.end..]).await? {
                0 => return Ok(None),
                count => self.end += count,
            }
        }
    }

    /// A whole frame of the buffer, unmasked.
    fn find(&mut self) -> io::Result<Option<Found>> {
        let held = &mut self.buffer[self.begin..self.end];
        let Some((head, length)) = header(held)? else { return Ok(None) };
        if held.len() < head + length {
            return Ok(None);
        }
        let kind = match held[0] {
            0x81 => Kind::Text,
            0x88 => Kind::Close,
            0x89 => Kind::Ping,
            0x8a => Kind::Pong,
            other => return Err(invalid(format!("a frame that begins with {other:#x}"))),
        };
        if held[1] & 0x80 != 0 {
            let key = [held[head - 4], held[head - 3], held[head - 2], held[head - 1]];
            for chunk in held[head..head + length].chunks_mut(4) {
                chunk.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            }
        }
        let payload = self.begin + head..self.begin + head + length;
        self.begin = payload.end;
        Ok(Some(Found { kind, payload }))
    }
}

/// How long a frame's head is, and its payload; none until enough of it is there.
fn header(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let [_, second, rest @ ..] = bytes else { return Ok(None) };
    let (wide, length) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (8, usize::try_from(length).unwrap_or(usize::MAX))
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (0, usize::from(length)),
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!("a message of {length} bytes")));
    }
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    Ok(Some((2 + wide + mask, length)))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// What we write a library reads, and the other way round, whoever is the client.
    #[tokio::test]
    async fn a_library_at_the_other_end_agrees() {
        for (side, role) in [(Side::Client, Role::Server), (Side::Server, Role::Client)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (ours, theirs) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (read, mut write) = ours.unwrap().into_split();
            let mut library = WebSocketStream::from_raw_socket(theirs.unwrap().0, role, None).await;
            let mut reader = Reader::new(read);
            for length in [0, 1, 125, 126, 400, 5_000, 60_000] {
                let text = "a".repeat(length);
                let mut out = Vec::new();
                put(&mut out, side, Kind::Text, |out| out.extend_from_slice(text.as_bytes()));
                write.write_all(&out).await.unwrap();
                assert_eq!(library.next().await.unwrap().unwrap(), Message::from(text.clone()));
                library.send(Message::from(text.clone())).await.unwrap();
                assert_eq!(reader.next().await.unwrap(), Some((Kind::Text, text.as_bytes())), "{length}");
            }
            library.send(Message::Ping("x".into())).await.unwrap();
            assert_eq!(reader.next().await.unwrap(), Some((Kind::Ping, &b"x"[..])));
            library.close(None).await.unwrap();
            assert!(matches!(reader.next().await.unwrap(), Some((Kind::Close, _))));
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_before_it_is_there() {
        let mut head = vec![0x81, 127];
        head.extend_from_slice(&(1u64 << 40).to_be_bytes());
        assert!(header(&head).is_err());
        assert!(matches!(header(&head[..5]), Ok(None)));
    }
}
