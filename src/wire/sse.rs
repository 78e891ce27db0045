//! Server-sent events, read: bytes in whatever pieces they come, events out (WHATWG HTML, "Server-sent events", 9.2.6).
//!
//! `retry` is not obeyed, and a carriage return alone ends no line: nobody we read from sends either.

/// The longest event in bytes: the longest line of a transcript or output of a tool, escaped, has room in it.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSent {
    /// The id of the last event that had one, this one included.
    pub id: String,
    /// What it is called; `message` where it is not.
    pub name: String,
    /// What it tells.
    pub data: String,
}

/// The event is longer than anybody means.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes")]
pub struct TooLong;

/// A stream of events as far as it was read.
#[derive(Debug, Default)]
pub struct Reader {
    unread: Vec<u8>,
    id: String,
    name: String,
    data: Option<String>,
    /// The id of the last event that was read whole.
    seen: Option<String>,
}

impl Reader {
    /// A stream that goes on behind the event of this id.
    pub fn after(seen: Option<String>) -> Reader {
        Reader { id: seen.clone().unwrap_or_default(), seen, ..Reader::default() }
    }

    /// What to ask for when the connection breaks now: the id behind which nothing was read whole.
    pub fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    /// The events that are whole with these bytes.
    ///
    /// # Errors
    ///
    /// An event is longer than anybody means; the stream is not to be read further.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<ServerSent>, TooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unread.extend_from_slice(piece);
            if self.unread.len() + self.data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.unread);
                let line = String::from_utf8_lossy(&line);
                events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<ServerSent> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "event" => self.name = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment, or what we do not know.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<ServerSent> {
        // Also where there is no event: what was skipped for us need not be sent again.
        self.seen = Some(self.id.clone()).filter(|id| !id.is_empty());
        let name = std::mem::take(&mut self.name);
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(ServerSent { id: self.id.clone(), name, data: self.data.take()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "id: a-1\nevent: hello\ndata: {}\n\n:\nid: a-4\n\nid: a-5\r\nevent: line\r\ndata: は\r\ndata:い\r\n\r\ndata: more\n\nid: a-6\nevent: cut";

    fn event(id: &str, name: &str, data: &str) -> ServerSent {
        ServerSent { id: id.to_owned(), name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_the_same_in_whatever_pieces_they_come() {
        for size in 1..STREAM.len() {
            let mut reader = Reader::default();
            let read: Vec<_> =
                STREAM.as_bytes().chunks(size).flat_map(|piece| reader.feed(piece).unwrap()).collect();
            let expected = [
                event("a-1", "hello", "{}"),
                event("a-5", "line", "は\nい"),
                event("a-5", "message", "more"),
            ];
            assert_eq!(read, expected, "in pieces of {size}");
            assert_eq!(reader.seen(), Some("a-5"), "what is not whole was not seen");
        }
    }

    #[test]
    fn what_was_skipped_is_seen_and_what_never_ends_is_refused() {
        let mut reader = Reader::after(Some("a-1".to_owned()));
        assert_eq!(reader.feed(b":\nid: a-3\n"), Ok(vec![]));
        assert_eq!(reader.seen(), Some("a-1"));
        assert_eq!(reader.feed(b"\n"), Ok(vec![]));
        assert_eq!(reader.seen(), Some("a-3"));
        let long = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(reader.feed(&long), Err(TooLong));
        let mut lines = Reader::default();
        let line = [&b"data: "[..], &vec![b'x'; EVENT_BYTES_MAX / 2], b"\n"].concat();
        assert_eq!(lines.feed(&line), Ok(vec![]));
        assert_eq!(lines.feed(&line), Err(TooLong));
    }
}
