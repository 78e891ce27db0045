//! What a call uses and what that costs.
//!
//! The provider reports tokens or seconds; the price table of the configuration turns them into
//! money. Cached tokens are a part of the input tokens and are priced on their own.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use super::record::Usage;

/// US dollars per million tokens of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenPrice {
    /// Tokens read that were not cached.
    pub input: f64,
    /// Tokens read from the cache.
    pub cached: f64,
    /// Tokens written.
    pub output: f64,
}

/// What one model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Text tokens.
    pub text: TokenPrice,
    /// Audio tokens.
    pub audio: TokenPrice,
    /// Image tokens.
    pub image: TokenPrice,
    /// US dollars per minute of audio, for models billed by time.
    pub per_minute: f64,
}

/// What models cost, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices(pub BTreeMap<String, Price>);

impl Prices {
    /// What `usage` of `model` costs in US dollars; none when the table does not know the model.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<f64> {
        let price = self.0.get(model)?;
        let tokens =
            kind_cost(price.text, usage.text_in.saturating_add(usage.transcription_in), usage.text_cached)
                + kind_cost(price.audio, usage.audio_in, usage.audio_cached)
                + kind_cost(price.image, usage.image_in, usage.image_cached)
                + usage.text_out.saturating_add(usage.transcription_out) as f64 * price.text.output
                + usage.audio_out as f64 * price.audio.output;
        Some(tokens / 1e6 + usage.transcription_s / 60.0 * price.per_minute)
    }
}

fn kind_cost(price: TokenPrice, all_in: u64, cached: u64) -> f64 {
    all_in.saturating_sub(cached) as f64 * price.input + cached.min(all_in) as f64 * price.cached
}

impl AddAssign<&Usage> for Usage {
    fn add_assign(&mut self, more: &Usage) {
        self.text_in = self.text_in.saturating_add(more.text_in);
        self.audio_in = self.audio_in.saturating_add(more.audio_in);
        self.image_in = self.image_in.saturating_add(more.image_in);
        self.text_cached = self.text_cached.saturating_add(more.text_cached);
        self.audio_cached = self.audio_cached.saturating_add(more.audio_cached);
        self.image_cached = self.image_cached.saturating_add(more.image_cached);
        self.text_out = self.text_out.saturating_add(more.text_out);
        self.audio_out = self.audio_out.saturating_add(more.audio_out);
        self.transcription_s += more.transcription_s;
        self.transcription_in = self.transcription_in.saturating_add(more.transcription_in);
        self.transcription_out = self.transcription_out.saturating_add(more.transcription_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        let realtime = Price {
            text: TokenPrice { input: 4.0, cached: 0.4, output: 24.0 },
            audio: TokenPrice { input: 32.0, cached: 0.4, output: 64.0 },
            image: TokenPrice { input: 5.0, cached: 0.5, output: 0.0 },
            per_minute: 0.0,
        };
        let by_time = Price { per_minute: 0.017, ..Price::default() };
        Prices(
            [("gpt-realtime-2.1".to_owned(), realtime), ("gpt-live-transcribe".to_owned(), by_time)].into(),
        )
    }

    #[test]
    fn the_vendors_example_costs_what_the_vendor_says() {
        let usage = Usage {
            text_in: 3200,
            audio_in: 410,
            text_cached: 2880,
            audio_cached: 256,
            text_out: 96,
            audio_out: 340,
            ..Usage::default()
        };
        let cost = prices().cost("gpt-realtime-2.1", &usage).unwrap();
        assert!((cost - 0.031_526_4).abs() < 1e-12, "{cost}");
    }

    #[test]
    fn time_is_priced_by_the_minute() {
        let usage = Usage { transcription_s: 90.0, ..Usage::default() };
        let cost = prices().cost("gpt-live-transcribe", &usage).unwrap();
        assert!((cost - 0.0255).abs() < 1e-12, "{cost}");
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        assert_eq!(prices().cost("gpt-next", &Usage::default()), None);
    }
}
