//! What came of tests as JUnit XML, which GitLab, GitHub's actions and Jenkins read (llg.cubic.org/docs/junit;
//! GitLab, "Unit test report examples").

use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::outcome::{Came, Case, Outcome};

/// The file's text.
pub(super) fn xml(outcome: &Outcome) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut suites = BytesStart::new("testsuites");
    attributes(&mut suites, "switchboard", &outcome.cases, outcome.took);
    writer.write_event(Event::Start(suites))?;
    let mut rest = &outcome.cases[..];
    // A suite for each file: cases of one stand together.
    while let Some(first) = rest.first() {
        let file = first.file.display().to_string();
        let count = rest.iter().take_while(|case| case.file == first.file).count();
        let (cases, others) = rest.split_at(count);
        rest = others;
        let mut suite = BytesStart::new("testsuite");
        let took = cases.iter().map(|case| case.took).sum();
        attributes(&mut suite, &file, cases, took);
        writer.write_event(Event::Start(suite))?;
        for case in cases {
            test_case(&mut writer, case, &file)?;
        }
        writer.write_event(Event::End(BytesEnd::new("testsuite")))?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuites")))?;
    let mut text = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

fn attributes(element: &mut BytesStart<'_>, name: &str, cases: &[Case], took: Duration) {
    let count = |is_so: fn(&Came) -> bool| cases.iter().filter(|case| is_so(&case.came)).count().to_string();
    element.push_attribute(("name", &*printable(name)));
    element.push_attribute(("tests", cases.len().to_string().as_str()));
    element.push_attribute(("failures", count(|came| matches!(came, Came::Failed(_))).as_str()));
    element.push_attribute(("errors", count(|came| matches!(came, Came::Broken(_))).as_str()));
    element.push_attribute(("skipped", count(|came| matches!(came, Came::NotRun)).as_str()));
    element.push_attribute(("time", seconds(took).as_str()));
}

fn test_case(writer: &mut Writer<Vec<u8>>, case: &Case, file: &str) -> io::Result<()> {
    let mut element = BytesStart::new("testcase");
    element.push_attribute(("name", &*printable(&case.name)));
    element.push_attribute(("classname", &*printable(file)));
    element.push_attribute(("file", &*printable(file)));
    element.push_attribute(("time", seconds(case.took).as_str()));
    writer.write_event(Event::Start(element))?;
    match &case.came {
        Came::Passed => {}
        Came::Failed(_) => {
            let told = case.problems();
            problem(writer, "failure", "mismatch", &told)?;
        }
        Came::Broken(_) => problem(writer, "error", "error", &case.problems())?,
        Came::NotRun => writer.write_event(Event::Empty(BytesStart::new("skipped")))?,
    }
    if let Some(transcript) = case.transcript() {
        with_text(writer, BytesStart::new("system-out"), &transcript)?;
    }
    writer.write_event(Event::End(BytesEnd::new("testcase")))
}

fn problem(writer: &mut Writer<Vec<u8>>, element: &str, kind: &str, told: &[String]) -> io::Result<()> {
    let mut start = BytesStart::new(element);
    start.push_attribute(("message", &*printable(told.first().map(String::as_str).unwrap_or_default())));
    start.push_attribute(("type", kind));
    with_text(writer, start, &told.join("\n"))
}

fn with_text(writer: &mut Writer<Vec<u8>>, element: BytesStart<'_>, text: &str) -> io::Result<()> {
    let end = element.to_end().into_owned();
    writer.write_event(Event::Start(element))?;
    writer.write_event(Event::Text(BytesText::new(&printable(text))))?;
    writer.write_event(Event::End(end))
}

fn seconds(span: Duration) -> String {
    format!("{:.3}", span.as_secs_f64())
}

/// What XML 1.0 can carry (part 2.2, "Char"): other control characters not even as references.
fn printable(text: &str) -> String {
    let is_good = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|letter| if is_good(letter) { letter } else { '\u{fffd}' }).collect()
}
