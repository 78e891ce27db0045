//! One form for every URL, so that what is compared is what is sent.
//!
//! Parsers disagree about odd URLs, and a disagreement between a check and a server is a way through the
//! check. So an odd URL is refused, and an ordinary one is brought into one form (lower-case host without
//! a dot at its end, no default port, no dot segments, no needless escapes) and used only in that form.

use reqwest::Url;

/// The longest URL; servers stop at about this as well.
const URL_BYTES_MAX: usize = 8 << 10;

/// How often a path is unescaped to see what a server that does so twice would see.
const UNESCAPED_TIMES: usize = 3;

/// Brings a URL into its one form.
///
/// # Errors
///
/// What is wrong, in words. The URL itself is not in them: it may hold what is not for a log.
pub(crate) fn normal(text: &str) -> Result<Url, String> {
    check_text(text)?;
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    normal_form(url)
}

/// As [`normal`], for a URL that was put together from another one.
pub(super) fn normal_form(mut url: Url) -> Result<Url, String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("a URL begins with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL names no user and no password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("a URL has no fragment".to_owned());
    }
    if url.port() == Some(0) {
        return Err("there is no port 0".to_owned());
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let plain = host.strip_suffix('.').unwrap_or(&host);
    if plain.is_empty() || plain.starts_with('.') || plain.ends_with('.') || plain.contains("..") {
        return Err("a URL names a host".to_owned());
    }
    if plain != host {
        url.set_host(Some(plain)).map_err(|error| format!("not a host: {error}"))?;
    }
    let path = plain_path(url.path())?;
    if path != url.path() {
        url.set_path(&path);
    }
    Ok(url)
}

/// A host in the form in which URLs have it; none for what is no host, or more than one.
pub(crate) fn normal_host(host: &str) -> Option<String> {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_v6 = inside.parse::<std::net::Ipv6Addr>().is_ok();
    if !is_v6 && host.contains([':', '/', '?', '#', '@', '*', '%']) {
        return None;
    }
    let written = if is_v6 { format!("[{inside}]") } else { host.to_owned() };
    normal(&format!("http://{written}/")).ok()?.host_str().map(str::to_owned)
}

fn check_text(text: &str) -> Result<(), String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("a URL has at most {} KiB", URL_BYTES_MAX >> 10));
    }
    // The parser would drop line ends and tabs, and take a backslash for a slash.
    if text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\') {
        return Err("a URL has no blanks, line ends or backslashes".to_owned());
    }
    let scheme_end = text.find("://").ok_or("a URL begins with https:// or http://")?;
    let behind = &text[scheme_end + 3..];
    let authority = &behind[..behind.find(['/', '?', '#']).unwrap_or(behind.len())];
    if authority.is_empty() {
        return Err("a URL names a host".to_owned());
    }
    if authority.contains('@') {
        return Err("a URL names no user and no password".to_owned());
    }
    Ok(())
}

/// The path without needless escapes.
///
/// # Errors
///
/// For a path that leads upwards once a server unescapes it (`..%2f`, `..%252f`, `..;/`), and for one with
/// a zero byte.
fn plain_path(path: &str) -> Result<String, String> {
    let mut unescaped = path.to_owned();
    for _ in 0..UNESCAPED_TIMES {
        let leads_upwards = unescaped.split(['/', '\\']).any(|segment| {
            matches!(segment.split_once(';').map_or(segment, |(before, _)| before), "." | "..")
        });
        if leads_upwards || unescaped.contains('\0') {
            return Err("a URL's path has no hidden `..` and no zero byte".to_owned());
        }
        unescaped = unescape(&unescaped, |_| true);
    }
    Ok(unescape(path, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)))
}

/// Resolves the escapes of those bytes that `is_meant` takes; the others are written in upper case.
fn unescape(text: &str, is_meant: impl Fn(u8) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut output = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at..at + 3).filter(|escape| escape[0] == b'%').and_then(|escape| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(escape[1])? * 16 + digit(escape[2])?).ok()
        });
        match escaped {
            Some(byte) if is_meant(byte) => output.push(byte),
            Some(_) => output.extend(bytes[at..at + 3].to_ascii_uppercase()),
            None => output.push(bytes[at]),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    // Bytes that are no text become marks; this form is only looked at.
    String::from_utf8_lossy(&output).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_url_becomes_one() {
        for (text, expected) in [
            ("HTTPS://API.Example.COM/v2/a", "https://api.example.com/v2/a"),
            ("https://api.example.com:443/v2/", "https://api.example.com/v2/"),
            ("http://api.example.com:80", "http://api.example.com/"),
            ("https://api.example.com:8443/", "https://api.example.com:8443/"),
            ("https://api.example.com./v2/a", "https://api.example.com/v2/a"),
            ("https://api.example.com/v2/../v3/./a", "https://api.example.com/v3/a"),
            ("https://api.example.com/v2/%2e%2E/v3", "https://api.example.com/v3"),
            ("https://api.example.com/%76%32/%7euser", "https://api.example.com/v2/~user"),
            ("https://api.example.com/a%3fb%c3%a4", "https://api.example.com/a%3Fb%C3%A4"),
            ("https://api.example.com/ä", "https://api.example.com/%C3%A4"),
            ("https://ex%61mple.com/", "https://example.com/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://017700000001/", "http://127.0.0.1/"),
            ("http://127.0.0.1./", "http://127.0.0.1/"),
            ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
            ("http://１２７.0.0.1/", "http://127.0.0.1/"),
            ("https://api.example.com/a?b=/../c", "https://api.example.com/a?b=/../c"),
        ] {
            assert_eq!(normal(text).map(String::from), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_odd_url_is_refused() {
        for text in [
            "",
            "api.example.com/v2",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https:example.com",
            "https:///example.com",
            "https://",
            "https://./",
            "https://example.com../",
            "https://a..example.com/",
            "https://user@example.com/",
            "https://@example.com/",
            "https://:@example.com/",
            "https://example.com\\@evil.example/",
            "https://example.com/a b",
            "https://example.com/a\r\nHost: x",
            "https://example.com/a\tb",
            "https://example.com/#top",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://[::1/",
            "https://example.com/v2/..%2fadmin",
            "https://example.com/v2/..%5Cadmin",
            "https://example.com/v2/%2e%2e%2fadmin",
            "https://example.com/v2/%252e%252e/admin",
            "https://example.com/v2/..%252fadmin",
            "https://example.com/v2/..;/admin",
            "https://example.com/v2/a%00",
        ] {
            assert!(normal(text).is_err(), "{text}: {:?}", normal(text));
        }
        assert!(normal(&format!("https://example.com/{}", "a".repeat(9_000))).is_err());
    }

    #[test]
    fn hosts_have_one_form() {
        for (host, expected) in [
            ("CRM.internal.", Some("crm.internal")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("a:80", None),
            ("a/b", None),
            ("*.example.com", None),
            ("", None),
        ] {
            assert_eq!(normal_host(host).as_deref(), expected, "{host}");
        }
    }
}
