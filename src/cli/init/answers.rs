//! What `init` wants to know: asked one after the other, with something proposed for each.

use std::io::{BufRead, Write};

use crate::phone::{CallingCode, E164};
use crate::routing::Target;

/// After so many unusable answers to one question nobody is asked again.
const TRIES_MAX: usize = 5;
/// The longest answer, in bytes: some sentences.
const ANSWER_BYTES_MAX: u64 = 2_000;

/// What is known; none: nothing is said about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub name: Option<String>,
    pub language: Option<String>,
    pub greeting: Option<String>,
    pub number: Option<String>,
    pub forward: Option<String>,
    pub url: Option<String>,
}

/// All that `init` must know.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What callers know the business as.
    pub name: String,
    /// Two letters.
    pub language: String,
    /// The first words.
    pub greeting: String,
    /// The number that people call.
    pub number: Option<E164>,
    /// Whom callers are sent to when no model can answer.
    pub forward: Option<Target>,
    /// The public address; none: it comes from the environment.
    pub url: Option<String>,
}

/// Somebody who can be asked, or nobody.
pub(super) struct Asking<R, W> {
    input: R,
    output: W,
    is_somebody: bool,
}

impl<R: BufRead, W: Write> Asking<R, W> {
    pub fn new(input: R, output: W, is_somebody: bool) -> Asking<R, W> {
        Asking { input, output, is_somebody }
    }

    pub fn is_possible(&self) -> bool {
        self.is_somebody
    }

    /// The answer that was given already, or else is asked for; an empty one takes what is proposed.
    fn answer<T>(
        &mut self,
        given: Option<String>,
        question: &str,
        proposed: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        if let Some(given) = given {
            return read(given.trim()).map_err(|why| format!("{question} `{}`: {why}", given.escape_debug()));
        }
        if !self.is_somebody {
            return read(proposed);
        }
        for _ in 0..TRIES_MAX {
            let hint = if proposed.is_empty() { "none".to_owned() } else { proposed.to_owned() };
            let _ = write!(self.output, "{question} [{hint}]: ").and_then(|()| self.output.flush());
            let mut line = Vec::new();
            let mut bounded = std::io::Read::take(&mut self.input, ANSWER_BYTES_MAX);
            match bounded.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return Err("the answers ended too early; nothing is written".to_owned()),
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line);
            let answer = if line.trim().is_empty() { proposed } else { line.trim() };
            match read(answer) {
                Ok(known) => return Ok(known),
                Err(why) => drop(writeln!(self.output, "  {why}")),
            }
        }
        Err("no usable answer; nothing is written".to_owned())
    }
}

impl Answers {
    /// Asks for what is not known yet.
    ///
    /// # Errors
    ///
    /// What is wrong with an answer, or that there is none.
    pub fn complete<R: BufRead, W: Write>(self, asking: &mut Asking<R, W>) -> Result<Known, String> {
        let name = asking.answer(self.name, "What callers know the business as", "our company", words)?;
        let language = asking.answer(
            self.language,
            "Language in which calls are opened, two letters",
            "en",
            language,
        )?;
        let proposed = greeting(&language, &name);
        let greeting = asking.answer(self.greeting, "The first words that callers hear", &proposed, words)?;
        let number =
            asking.answer(self.number, "The number that people call, such as +4930123456", "", number)?;
        let forward = asking.answer(
            self.forward,
            "A number for callers whom no model can answer, or sip:…",
            "",
            target,
        )?;
        let url = asking.answer(self.url, "The gateway's public address, https://…", "", url)?;
        Ok(Known { name, language, greeting, number, forward, url })
    }
}

fn words(text: &str) -> Result<String, String> {
    match text {
        "" => Err("say something".to_owned()),
        text if text.chars().any(char::is_control) => Err("write it on one line".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn language(text: &str) -> Result<String, String> {
    let is_code = text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_lowercase());
    if is_code { Ok(text.to_owned()) } else { Err("write two lower-case letters, such as en".to_owned()) }
}

fn number(text: &str) -> Result<Option<E164>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    // With its `+` a number means the same in every country.
    let read = text.starts_with('+').then(|| E164::parse(text, CallingCode::JAPAN).ok()).flatten();
    read.map(Some).ok_or_else(|| "write it with + and country code, such as +4930123456".to_owned())
}

fn target(text: &str) -> Result<Option<Target>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match number(text) {
        Ok(Some(number)) => Ok(Some(Target::Number(number.as_str().to_owned()))),
        _ => Target::parse(text).map(Some).map_err(|error| error.to_string()),
    }
}

fn url(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = reqwest::Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    match parsed {
        Some(_) => Ok(Some(text.trim_end_matches('/').to_owned())),
        None => Err("write it as https://voice.example.com".to_owned()),
    }
}

/// The first words in the languages that are known here, else in English.
fn greeting(language: &str, name: &str) -> String {
    match language {
        "de" => format!("Guten Tag, hier ist {name}. Was kann ich für Sie tun?"),
        "ja" => format!("お電話ありがとうございます。{name}でございます。"),
        _ => format!("Thank you for calling {name}. How can I help you?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answers: &str) -> (Result<Known, String>, String) {
        let mut output = Vec::new();
        let known = Answers::default().complete(&mut Asking::new(answers.as_bytes(), &mut output, true));
        (known, String::from_utf8(output).unwrap())
    }

    #[test]
    fn what_cannot_be_is_asked_again_and_nothing_takes_what_is_proposed() {
        let (known, output) =
            told("Da Vinci\n\n\n030 1234\n+49 30 123456\n+49-30-999\nhttp://x\nhttps://voice.example.com/\n");
        let known = known.unwrap();
        assert_eq!((known.name.as_str(), known.language.as_str()), ("Da Vinci", "en"));
        assert_eq!(known.greeting, "Thank you for calling Da Vinci. How can I help you?");
        assert_eq!(known.number.unwrap().as_str(), "+4930123456");
        assert_eq!(known.forward.unwrap().to_string(), "tel:+4930999");
        assert_eq!(known.url.as_deref(), Some("https://voice.example.com"));
        assert!(output.contains("  write it with + and country code"), "{output}");
        assert!(output.contains("  write it as https://"), "{output}");
    }

    #[test]
    fn answers_that_end_or_never_fit_are_no_answers() {
        assert!(told("Da Vinci\n").0.is_err());
        let (known, output) = told("Da Vinci\nEnglish\nEnglish\nEnglish\nEnglish\nEnglish\nEnglish\n");
        assert!(known.is_err());
        assert_eq!(output.matches("write two lower-case letters").count(), TRIES_MAX);
    }
}
