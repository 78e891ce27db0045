//! The SIP URI inside `<Sip>`: address, parameters, and the headers the INVITE will carry.

/// `sip:user@host;transport=tls?X-Name=value`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri {
    /// What the INVITE is addressed to: without headers, and without the parameters that the carrier
    /// keeps to itself (`edge`, `region`).
    pub request_uri: String,
    /// The URI before its `?`, as written.
    pub address: String,
    /// The headers to add, percent-decoded, in order.
    pub headers: Vec<(String, String)>,
}

/// Twilio's limits ("TwiML Voice: <Sip>").
const ADDRESS_CHARS_MAX: usize = 254;
const HEADERS_CHARS_MAX: usize = 1023;

/// Standard headers that may be sent besides those that begin with `X-`.
const STANDARD_HEADERS: [&str; 4] =
    ["User-to-User", "Remote-Party-ID", "P-Preferred-Identity", "P-Called-Party-ID"];

const EDGES: [&str; 8] =
    ["ashburn", "san-jose", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney"];
const REGIONS: [&str; 8] = ["us1", "us2", "ie1", "de1", "sg1", "jp1", "br1", "au1"];

impl SipUri {
    /// Reads `text` by the grammar of Twilio's "TwiML Voice: <Sip>". The error says what is wrong.
    pub fn read(text: &str) -> Result<SipUri, String> {
        if let Some(c) = text.chars().find(|c| c.is_control() || c.is_whitespace() || !c.is_ascii()) {
            return Err(format!("{c:?} may not stand in a SIP URI"));
        }
        let (address, query) = match text.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (text, None),
        };
        if address.len() > ADDRESS_CHARS_MAX {
            return Err(format!(
                "{} characters before the headers, at most {ADDRESS_CHARS_MAX}",
                address.len()
            ));
        }
        let request_uri = request_uri(address)?;
        let headers = query.map(headers).transpose()?.unwrap_or_default();
        Ok(SipUri { request_uri, address: address.to_owned(), headers })
    }
}

fn request_uri(address: &str) -> Result<String, String> {
    let mut parts = address.split(';');
    let base = parts.next().unwrap_or_default();
    let rest = base.strip_prefix("sip:").ok_or("it does not begin with `sip:`")?;
    let (user, host) = rest.split_once('@').ok_or("there is no `user@host`")?;
    if user.is_empty() || user.contains([':', '/']) {
        return Err(format!("`{user}` is no user"));
    }
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':')) {
        return Err(format!("`{host}` is no host"));
    }
    let mut uri = base.to_owned();
    for parameter in parts {
        let is_known = match parameter.split_once('=') {
            Some(("transport", value)) => ["udp", "tcp", "tls"].contains(&value),
            Some(("secure", value)) => ["true", "false"].contains(&value),
            Some(("edge", value)) => EDGES.contains(&value),
            Some(("region", value)) => REGIONS.contains(&value),
            _ => false,
        };
        if !is_known {
            return Err(format!("`;{parameter}` is no parameter of a SIP URI"));
        }
        if !parameter.starts_with("edge=") && !parameter.starts_with("region=") {
            uri.push(';');
            uri.push_str(parameter);
        }
    }
    Ok(uri)
}

fn headers(query: &str) -> Result<Vec<(String, String)>, String> {
    if query.len() > HEADERS_CHARS_MAX {
        return Err(format!("{} characters of headers, at most {HEADERS_CHARS_MAX}", query.len()));
    }
    query.split('&').map(header).collect()
}

fn header(pair: &str) -> Result<(String, String), String> {
    let (name, value) = pair.split_once('=').ok_or_else(|| format!("header `{pair}` has no `=`"))?;
    let is_custom = name.len() > 2 && name[..2].eq_ignore_ascii_case("x-");
    let is_token = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_token || !(is_custom || STANDARD_HEADERS.contains(&name)) {
        return Err(format!("header `{name}` may not be sent (only `X-…` may)"));
    }
    if let Some(c) = value.chars().find(|c| matches!(c, '=' | ';' | ',' | '?')) {
        return Err(format!("header `{name}`: `{c}` must be percent-encoded"));
    }
    let value = percent_decoded(value).ok_or_else(|| format!("header `{name}`: broken percent-encoding"))?;
    if value.chars().any(char::is_control) {
        return Err(format!("header `{name}` has a control character"));
    }
    Ok((name.to_owned(), value))
}

/// `text` with each `%XX` replaced; none when one is broken or the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_headers_are_taken_apart() {
        let uri = SipUri::read("sip:proj_demo123@sip.api.openai.com;transport=tls;secure=true;edge=tokyo?X-Gw-Call=c_01J9&x-note=a%3Db%20%E5%B1%B1").unwrap();
        assert_eq!(uri.request_uri, "sip:proj_demo123@sip.api.openai.com;transport=tls;secure=true");
        assert_eq!(
            uri.headers,
            [("X-Gw-Call".to_owned(), "c_01J9".to_owned()), ("x-note".to_owned(), "a=b 山".to_owned())]
        );
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for (text, expected) in [
            ("tel:+81", "`sip:`"),
            ("sip:host.example", "user@host"),
            ("sip:@host.example", "no user"),
            ("sip:a@ho st", "may not stand"),
            ("sip:a@host_x", "no host"),
            ("sip:a@b;transport=ws", "transport=ws"),
            ("sip:a@b;edge=osaka", "edge=osaka"),
            ("sip:a@b;lr", "`;lr`"),
            ("sip:a@b?Subject=x", "may not be sent"),
            ("sip:a@b?X-A", "no `=`"),
            ("sip:a@b?X-A=b;c", "percent-encoded"),
            ("sip:a@b?X-A=%0d%0aVia", "control character"),
            ("sip:a@b?X-A=%4", "broken"),
            ("sip:a@b?X-A=%+1", "broken"),
            ("sip:a@b?X-A=%FF", "broken"),
        ] {
            let error = SipUri::read(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(SipUri::read(&format!("sip:{}@b", "a".repeat(250))).is_err());
        assert!(SipUri::read(&format!("sip:a@b?X-A={}", "b".repeat(1020))).is_err());
    }
}
