//! XML as a small tree, read without forgiveness: everything the carrier might stumble over is an
//! error with its byte offset.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::Problem;

/// TwiML is four levels deep; more is a mistake and would only cost stack.
const DEPTH_MAX: usize = 16;

/// One element: its name, its attributes in order, what is inside.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// All text directly inside, entities resolved.
    pub text: String,
}

/// Reads the one root element of `text`.
pub(super) fn read(text: &str) -> Result<Element, Problem> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let at = reader.buffer_position();
        let wrong = |what: String| Problem::new(12100, format!("{what} (at byte {at})"));
        match reader.read_event().map_err(|error| wrong(error.to_string()))? {
            Event::Start(start) => {
                if open.len() >= DEPTH_MAX {
                    return Err(wrong(format!("elements nest more than {DEPTH_MAX} deep")));
                }
                open.push(element(&start).map_err(wrong)?);
            }
            Event::Empty(start) => {
                close(element(&start).map_err(wrong)?, &mut open, &mut root).map_err(wrong)?
            }
            Event::End(_) => {
                let ended = open.pop().ok_or_else(|| wrong("an end tag without its start".into()))?;
                close(ended, &mut open, &mut root).map_err(wrong)?;
            }
            Event::Text(text) => write(&text, &mut open).map_err(wrong)?,
            Event::CData(text) => write(&text, &mut open).map_err(wrong)?,
            Event::GeneralRef(entity) => {
                let text = resolve(&entity).map_err(wrong)?;
                write(&text, &mut open).map_err(wrong)?;
            }
            Event::Decl(_) if at == 0 => {}
            Event::Comment(_) => {}
            Event::Decl(_) | Event::DocType(_) | Event::PI(_) => {
                return Err(wrong("only an XML declaration may stand there, and only at the start".into()));
            }
            Event::Eof if !open.is_empty() => return Err(wrong(format!("<{}> is not closed", open[0].name))),
            Event::Eof => return root.ok_or_else(|| wrong("no root element".into())),
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let name = start.name().0.to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("<{name}>: {error}"))?;
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|error| format!("<{name} {}>: {error}", attribute.key.0))?;
        legal(&value)?;
        attributes.push((attribute.key.0.to_owned(), value.into_owned()));
    }
    Ok(Element { name, attributes, ..Element::default() })
}

/// Puts an element that has ended where it belongs.
fn close(ended: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => parent.children.push(ended),
        None if root.is_some() => return Err(format!("<{}> is a second root element", ended.name)),
        None => *root = Some(ended),
    }
    Ok(())
}

fn write(text: &str, open: &mut [Element]) -> Result<(), String> {
    legal(text)?;
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("text outside the root element".into()),
    }
    Ok(())
}

fn resolve(entity: &BytesRef<'_>) -> Result<String, String> {
    match entity.resolve_char_ref().map_err(|error| error.to_string())? {
        Some(character) => Ok(character.to_string()),
        None => resolve_xml_entity(entity)
            .map(str::to_owned)
            .ok_or_else(|| format!("`&{};` is no entity of XML", &**entity)),
    }
}

/// XML 1.0, "Characters": most control characters cannot be written at all.
fn legal(text: &str) -> Result<(), String> {
    let is_illegal =
        |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    match text.chars().find(|&c| is_illegal(c)) {
        Some(c) => Err(format!("U+{:04X} is not a character of XML", u32::from(c))),
        None => Ok(()),
    }
}
