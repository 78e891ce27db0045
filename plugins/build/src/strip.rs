//! Takes out of a component what only a debugger reads: names and debug information of the modules within.

use anyhow::{Context, Result, ensure};

const HEADER_LEN: usize = 8;
const CUSTOM: u8 = 0;
/// Sections of a component that hold a module or a component of their own.
const MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// The component without the custom sections `name`, `producers` and `.debug_*` of itself and of all within.
pub fn component(bytes: &[u8]) -> Result<Vec<u8>> {
    let is_component = bytes.get(6) == Some(&1);
    ensure!(bytes.starts_with(b"\0asm"), "it is no WebAssembly");
    let mut out = bytes[..HEADER_LEN].to_vec();
    let mut rest = &bytes[HEADER_LEN..];
    while let [id, after @ ..] = rest {
        let (size, body) = number(after).context("a section without a size")?;
        let section = body.get(..size).context("a section that is cut off")?;
        rest = &body[size..];
        match *id {
            CUSTOM if is_for_debuggers(section) => continue,
            MODULE | COMPONENT if is_component => push(&mut out, *id, &component(section)?),
            id => push(&mut out, id, section),
        }
    }
    Ok(out)
}

fn is_for_debuggers(section: &[u8]) -> bool {
    let name = number(section).and_then(|(length, named)| named.get(..length));
    name.is_some_and(|name| name == b"name" || name == b"producers" || name.starts_with(b".debug_"))
}

fn push(out: &mut Vec<u8>, id: u8, section: &[u8]) {
    out.push(id);
    let mut size = section.len();
    while size >= 0x80 {
        out.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
    out.extend_from_slice(section);
}

/// An unsigned LEB128 number, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, &bytes[end + 1..]))
}
