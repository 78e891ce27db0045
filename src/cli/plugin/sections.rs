//! The sections of a WebAssembly file: read one after the other, and written again without those that
//! only a debugger reads.

/// The magic number and the version, before the first section.
const HEADER_BYTES: usize = 8;
const CUSTOM: u8 = 0;
/// Sections of a component that hold a module or a component of their own.
const MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// Components within components; more of them is no plugin.
const DEPTH_MAX: usize = 16;

/// The sections of a file, each with its id; none behind the first that is cut off.
pub(super) fn sections(file: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = file.get(HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (id, after) = rest.split_first()?;
        let (size, body) = number(after)?;
        let section = body.get(..size)?;
        rest = &body[size..];
        Some((*id, section))
    })
}

/// The contents of the custom section of this name.
pub(super) fn custom<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let customs = sections(file).filter(|(id, _)| *id == CUSTOM);
    customs
        .filter_map(|(_, section)| named(section))
        .find(|(own, _)| *own == name.as_bytes())
        .map(|(_, rest)| rest)
}

/// Adds a custom section at the end.
pub(super) fn add_custom(file: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let mut section = Vec::new();
    push_number(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(contents);
    push(file, CUSTOM, &section);
}

/// The component without names, producers and debug information, of itself and of all within: they are
/// for debuggers, and tell of the machine that built it. None for what is cut off or no WebAssembly.
pub(super) fn stripped(file: &[u8]) -> Option<Vec<u8>> {
    stripped_within(file, 0)
}

fn stripped_within(file: &[u8], depth: usize) -> Option<Vec<u8>> {
    let header = file.get(..HEADER_BYTES).filter(|header| header.starts_with(b"\0asm"))?;
    let is_component = header[6] == 1;
    let mut out = header.to_vec();
    let mut read = HEADER_BYTES;
    for (id, section) in sections(file) {
        read = section.as_ptr_range().end as usize - file.as_ptr() as usize;
        match id {
            CUSTOM if is_for_debuggers(section) => {}
            MODULE | COMPONENT if is_component && depth < DEPTH_MAX => {
                push(&mut out, id, &stripped_within(section, depth + 1)?);
            }
            id => push(&mut out, id, section),
        }
    }
    (read == file.len()).then_some(out)
}

fn is_for_debuggers(section: &[u8]) -> bool {
    named(section)
        .is_some_and(|(name, _)| name == b"name" || name == b"producers" || name.starts_with(b".debug_"))
}

/// A custom section's name and contents.
fn named(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(section)?;
    rest.split_at_checked(length)
}

fn push(out: &mut Vec<u8>, id: u8, section: &[u8]) {
    out.push(id);
    push_number(out, section.len());
    out.extend_from_slice(section);
}

fn push_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// An unsigned LEB128 number, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_debuggers_read_is_left_out_within_too() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        add_custom(&mut module, "name", &[7; 300]);
        add_custom(&mut module, "kept", b"x");
        let mut component = EMPTY_COMPONENT.to_vec();
        push(&mut component, MODULE, &module);
        add_custom(&mut component, "producers", b"a machine");
        add_custom(&mut component, "component-type", b"t");
        let small = stripped(&component).unwrap();
        assert!(small.len() < 80 && custom(&small, "producers").is_none());
        assert_eq!(custom(&small, "component-type"), Some(&b"t"[..]));
        let (_, inner) = sections(&small).next().unwrap();
        assert_eq!(custom(inner, "kept"), Some(&b"x"[..]));
        assert_eq!(stripped(&component[..component.len() - 1]), None, "cut off");
        assert_eq!(stripped(b"text"), None);
    }

    #[test]
    fn a_section_that_was_added_is_found() {
        let mut component = EMPTY_COMPONENT.to_vec();
        add_custom(&mut component, "long", &[1; 20_000]);
        add_custom(&mut component, "short", b"x");
        assert_eq!(custom(&component, "short"), Some(&b"x"[..]));
        assert_eq!(custom(&component, "long").unwrap().len(), 20_000);
        assert_eq!(custom(&component, "other"), None);
    }
}
