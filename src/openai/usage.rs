//! What OpenAI reports as used, in our own words.
//!
//! Nothing is lost: tokens that the vendor's details do not explain are counted as text, and cached
//! tokens without details are taken from the text first. Facts: OpenAI API reference, "response.done",
//! and guide "Managing costs".

use crate::call::record::Usage;
use crate::wire::realtime::server::{CachedDetails, ResponseUsage, TokenDetails, TranscriptionUsage};

/// What one response used.
pub fn of_response(reported: &ResponseUsage) -> Usage {
    let nothing = TokenDetails::default();
    let read = reported.input_token_details.as_ref().unwrap_or(&nothing);
    let written = reported.output_token_details.as_ref().unwrap_or(&nothing);
    let (audio_in, image_in) = (count(read.audio_tokens), count(read.image_tokens));
    let text_in =
        with_rest(count(read.text_tokens), reported.input_tokens, audio_in.saturating_add(image_in));
    let audio_out = count(written.audio_tokens);
    let text_out = with_rest(count(written.text_tokens), reported.output_tokens, audio_out);
    let usage = Usage { text_in, audio_in, image_in, text_out, audio_out, ..Usage::default() };
    match &read.cached_tokens_details {
        Some(details) => with_cached(usage, details),
        None => with_cached_text_first(usage, count(read.cached_tokens)),
    }
}

/// What one transcription used.
pub fn of_transcription(reported: &TranscriptionUsage) -> Usage {
    Usage {
        transcription_s: reported.seconds.filter(|seconds| *seconds > 0.0).unwrap_or_default(),
        transcription_in: count(reported.input_tokens),
        transcription_out: count(reported.output_tokens),
        ..Usage::default()
    }
}

fn count(tokens: Option<u64>) -> u64 {
    tokens.unwrap_or_default()
}

/// `text`, and what of `total` neither `text` nor `others` explain.
fn with_rest(text: u64, total: Option<u64>, others: u64) -> u64 {
    text.max(count(total).saturating_sub(others))
}

fn with_cached(usage: Usage, details: &CachedDetails) -> Usage {
    Usage {
        text_cached: count(details.text_tokens),
        audio_cached: count(details.audio_tokens),
        image_cached: count(details.image_tokens),
        ..usage
    }
}

fn with_cached_text_first(usage: Usage, cached: u64) -> Usage {
    let text_cached = cached.min(usage.text_in);
    let audio_cached = (cached - text_cached).min(usage.audio_in);
    let image_cached = (cached - text_cached - audio_cached).min(usage.image_in);
    Usage { text_cached, audio_cached, image_cached, ..usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_json(json: &str) -> Usage {
        of_response(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_vendors_example() {
        let usage = of_json(
            r#"{"total_tokens":4046,"input_tokens":3610,"output_tokens":436,
                "input_token_details":{"text_tokens":3200,"audio_tokens":410,"image_tokens":0,"cached_tokens":3136,
                  "cached_tokens_details":{"text_tokens":2880,"audio_tokens":256,"image_tokens":0}},
                "output_token_details":{"text_tokens":96,"audio_tokens":340}}"#,
        );
        let expected = Usage {
            text_in: 3200,
            audio_in: 410,
            text_cached: 2880,
            audio_cached: 256,
            text_out: 96,
            audio_out: 340,
            ..Usage::default()
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn unexplained_tokens_are_text() {
        let usage =
            of_json(r#"{"input_tokens":10,"output_tokens":50,"output_token_details":{"audio_tokens":30}}"#);
        assert_eq!((usage.text_in, usage.text_out, usage.audio_out), (10, 20, 30));
    }

    #[test]
    fn details_beyond_the_total_are_believed() {
        let usage =
            of_json(r#"{"output_tokens":5,"output_token_details":{"text_tokens":4,"audio_tokens":3}}"#);
        assert_eq!((usage.text_out, usage.audio_out), (4, 3));
    }

    #[test]
    fn cached_tokens_without_details_are_text_first() {
        let usage = of_json(
            r#"{"input_tokens":100,"input_token_details":{"text_tokens":60,"audio_tokens":40,"cached_tokens":70}}"#,
        );
        assert_eq!((usage.text_cached, usage.audio_cached, usage.image_cached), (60, 10, 0));
    }

    #[test]
    fn more_cached_tokens_than_were_read_do_no_harm() {
        let usage = of_json(r#"{"input_token_details":{"text_tokens":6,"cached_tokens":70}}"#);
        assert_eq!((usage.text_cached, usage.audio_cached, usage.image_cached), (6, 0, 0));
    }

    #[test]
    fn a_transcription_is_counted_in_tokens_or_seconds() {
        let tokens = TranscriptionUsage { input_tokens: Some(32), output_tokens: Some(9), seconds: None };
        let usage = of_transcription(&tokens);
        assert_eq!((usage.transcription_in, usage.transcription_out), (32, 9));
        let duration = TranscriptionUsage { seconds: Some(1.2), ..TranscriptionUsage::default() };
        assert_eq!(of_transcription(&duration).transcription_s, 1.2);
        let nonsense = TranscriptionUsage { seconds: Some(-1.0), ..TranscriptionUsage::default() };
        assert_eq!(of_transcription(&nonsense), Usage::default());
    }
}
