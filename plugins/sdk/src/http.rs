//! Requests to where the operator allows.
//!
//! ```no_run
//! # use switchboard_plugin::{http, ToolError, json::Value};
//! # fn slots() -> Result<Value, ToolError> {
//! let response = http::get("https://api.example.com/v2/slots")
//!     .query("date", "2026-12-01")
//!     .credential("Authorization", "Bearer ", "BOOKING_TOKEN")
//!     .send()?;
//! # response.json()
//! # }
//! ```
//!
//! Needs `http("https://api.example.com/v2/*")`, and `secret("BOOKING_TOKEN")` for the credential.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::tools::switchboard::plugin::http as host;
use crate::{HAS_HOST, NO_HOST, ToolError};

pub use host::{Error, Method, Response};

/// A request that is being put together.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    inner: host::Request,
}

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    request(Method::Get, url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> Request {
    request(Method::Post, url)
}

/// A `PUT` request.
pub fn put(url: impl Into<String>) -> Request {
    request(Method::Put, url)
}

/// A `PATCH` request.
pub fn patch(url: impl Into<String>) -> Request {
    request(Method::Patch, url)
}

/// A `DELETE` request.
pub fn delete(url: impl Into<String>) -> Request {
    request(Method::Delete, url)
}

/// A request of any method.
pub fn request(method: Method, url: impl Into<String>) -> Request {
    let url = url.into();
    let inner =
        host::Request { method, url, headers: Vec::new(), body: None, timeout_ms: None, credential: None };
    Request { inner }
}

impl Request {
    /// Adds a parameter to the address, escaped.
    pub fn query(mut self, name: &str, value: &str) -> Request {
        let url = &mut self.inner.url;
        url.push(if url.contains('?') { '&' } else { '?' });
        escape(url, name);
        url.push('=');
        escape(url, value);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.inner.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has the host put a secret into a header, behind a prefix. The plugin never sees it.
    pub fn credential(mut self, header: &str, prefix: &str, secret: &str) -> Request {
        let (header, prefix, secret) = (header.to_owned(), prefix.to_owned(), secret.to_owned());
        self.inner.credential = Some(host::Credential { header, prefix, secret });
        self
    }

    /// The longest it should take; it is never longer than what is left of the tool call's own time.
    pub fn timeout(mut self, time: Duration) -> Request {
        self.inner.timeout_ms = Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.inner.body = Some(body.into());
        self
    }

    /// Sends this as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON, as a map with keys that are no texts.
    pub fn json<T: Serialize>(self, value: &T) -> Result<Request, ToolError> {
        Ok(self.header("Content-Type", "application/json").body(serde_json::to_vec(value)?))
    }

    /// Sends it, and waits for the response. Any status is a response.
    ///
    /// # Errors
    /// As the host says.
    pub fn send(self) -> Result<Response, Error> {
        if HAS_HOST { host::fetch(&self.inner) } else { Err(Error::Other(NO_HOST.to_owned())) }
    }
}

impl Response {
    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; what is no UTF-8 becomes `�`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// `Internal`, when it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ToolError> {
        let wrong = |error| ToolError::internal(format!("a response with status {}: {error}", self.status));
        serde_json::from_slice(&self.body).map_err(wrong)
    }
}

/// Appends a text as it may stand in a query, per RFC 3986.
fn escape(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => drop(write!(url, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Response, get, post};

    #[test]
    fn a_request_is_put_together() {
        let request = post("https://api.example.com/book?v=2")
            .query("at", "10:00 & later")
            .query("名", "花")
            .credential("Authorization", "Bearer ", "TOKEN")
            .json(&["a"])
            .expect("JSON")
            .inner;
        assert_eq!(
            request.url,
            "https://api.example.com/book?v=2&at=10%3A00%20%26%20later&%E5%90%8D=%E8%8A%B1"
        );
        assert_eq!(request.body.as_deref(), Some(&br#"["a"]"#[..]));
        assert_eq!(request.headers, [("Content-Type".to_owned(), "application/json".to_owned())]);
        assert_eq!(request.credential.map(|credential| credential.secret).as_deref(), Some("TOKEN"));
        assert_eq!(get("https://example.com").query("a", "b").inner.url, "https://example.com?a=b");
    }

    #[test]
    fn a_response_is_read() {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let response = Response { status: 201, headers, body: b"{\"id\":7}".to_vec() };
        assert!(response.is_success());
        assert_eq!(response.header("Content-Type"), Some("application/json"));
        assert_eq!(response.json::<serde_json::Value>().expect("JSON")["id"], 7);
        let page = Response { status: 502, headers: Vec::new(), body: b"<html>".to_vec() };
        let told = page.json::<serde_json::Value>().expect_err("no JSON").to_string();
        assert!(told.contains("status 502"), "{told}");
    }

    #[test]
    fn without_a_host_nothing_is_sent() {
        assert!(matches!(get("https://example.com").send(), Err(Error::Other(_))));
    }
}
