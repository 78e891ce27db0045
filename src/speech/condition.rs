//! What happens to a sound on the line before it is heard: noise, a second coding, lost packets.
//!
//! Every condition is seeded: the same sound under the same condition and seed is the same bytes. All of it then goes
//! as G.711 μ-law at 8000 Hz, as a carrier's media stream does; `clean` is that and nothing else.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use crate::clock::Entropy;

use super::wave::RATE_HZ;

/// Samples of one packet: 20 ms.
const PACKET: usize = 160;
/// Packets this much quieter than the loudest are no speech: the noise is measured against the others.
const PAUSE_DB: f64 = 30.0;
/// What a telephone line lets through, in Hz (ITU-T G.712).
const LINE_HZ: [f64; 2] = [300.0, 3_400.0];
/// Conditions that follow one another.
const EFFECTS_MAX: usize = 4;

/// One thing that happens to a sound.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    /// One more telephone line: its band, and A-law there and back.
    Line,
    /// White noise, so many dB below the speech.
    Noise(f64),
    /// So many percent of the packets are silence.
    PacketLoss(f64),
}

/// What happens to a sound, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition(Vec<Effect>);

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no condition: write `clean`, `g711`, `noise:20db` (-10 to 60), `packet-loss:2%` (0 to 50), or \
     several with `+` between them"
)]
pub struct NotACondition(String);

impl FromStr for Condition {
    type Err = NotACondition;

    fn from_str(text: &str) -> Result<Condition, NotACondition> {
        let refuse = || NotACondition(text.chars().take(40).collect());
        let mut effects = Vec::new();
        for part in text.split('+').map(str::trim).filter(|part| *part != "clean") {
            effects.push(effect(part).ok_or_else(refuse)?);
        }
        if effects.len() > EFFECTS_MAX { Err(refuse()) } else { Ok(Condition(effects)) }
    }
}

fn effect(text: &str) -> Option<Effect> {
    if text == "g711" {
        return Some(Effect::Line);
    }
    let (name, amount) = text.split_once(':')?;
    let number = |unit: &str| amount.strip_suffix(unit)?.trim().parse::<f64>().ok();
    match name {
        "noise" => {
            number("db").or_else(|| number("dB")).filter(|db| (-10.0..=60.0).contains(db)).map(Effect::Noise)
        }
        "packet-loss" => number("%").filter(|share| (0.0..=50.0).contains(share)).map(Effect::PacketLoss),
        _ => None,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("clean");
        }
        for (at, effect) in self.0.iter().enumerate() {
            let plus = if at == 0 { "" } else { "+" };
            match effect {
                Effect::Line => write!(f, "{plus}g711")?,
                Effect::Noise(db) => write!(f, "{plus}noise:{db}db")?,
                Effect::PacketLoss(share) => write!(f, "{plus}packet-loss:{share}%")?,
            }
        }
        Ok(())
    }
}

impl Condition {
    /// The sound after it.
    pub fn apply(&self, samples: &mut [i16], chance: &Entropy) {
        for effect in &self.0 {
            match *effect {
                Effect::Line => through_a_line(samples),
                Effect::Noise(db) => add_noise(samples, db, chance),
                Effect::PacketLoss(share) => lose_packets(samples, share, chance),
            }
        }
    }
}

/// From 0 up to, without, 1.
fn uniform(chance: &Entropy) -> f64 {
    (u64::from_le_bytes(chance.bytes()) >> 11) as f64 / (1u64 << 53) as f64
}

fn clipped(sample: f64) -> i16 {
    sample.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64
}

/// The mean power of what is speech in it.
fn speech_power(samples: &[i16]) -> f64 {
    let powers: Vec<f64> = samples.chunks(PACKET).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f64::max);
    let floor = loudest / 10f64.powf(PAUSE_DB / 10.0);
    let speech: Vec<f64> = powers.into_iter().filter(|power| *power >= floor).collect();
    speech.iter().sum::<f64>() / speech.len().max(1) as f64
}

/// Gaussian noise by Box and Muller.
fn add_noise(samples: &mut [i16], db: f64, chance: &Entropy) {
    let deviation = (speech_power(samples) / 10f64.powf(db / 10.0)).sqrt();
    for sample in samples {
        let (radius, angle) = ((-2.0 * (1.0 - uniform(chance)).ln()).sqrt(), TAU * uniform(chance));
        *sample = clipped(f64::from(*sample) + deviation * radius * angle.cos());
    }
}

fn lose_packets(samples: &mut [i16], share: f64, chance: &Entropy) {
    for packet in samples.chunks_mut(PACKET) {
        if uniform(chance) * 100.0 < share {
            packet.fill(0);
        }
    }
}

fn through_a_line(samples: &mut [i16]) {
    let [low, high] = LINE_HZ;
    filter(samples, low, true);
    filter(samples, high, false);
    for sample in samples {
        *sample = through_alaw(*sample);
    }
}

/// A filter of the second order, as flat as can be (Butterworth; R. Bristow-Johnson, "Audio EQ Cookbook").
fn filter(samples: &mut [i16], hz: f64, is_high_pass: bool) {
    let (sin, cos) = (TAU * hz / f64::from(RATE_HZ)).sin_cos();
    let alpha = sin / 2f64.sqrt();
    let sign = if is_high_pass { -1.0 } else { 1.0 };
    let (outer, middle) = ((1.0 - sign * cos) / 2.0, sign * (1.0 - sign * cos));
    let (mut in_1, mut in_2, mut out_1, mut out_2) = (0.0, 0.0, 0.0, 0.0);
    for sample in samples {
        let now = f64::from(*sample);
        let sum = outer * now + middle * in_1 + outer * in_2 + 2.0 * cos * out_1 - (1.0 - alpha) * out_2;
        let out = sum / (1.0 + alpha);
        (in_2, in_1, out_2, out_1) = (in_1, now, out_1, out);
        *sample = clipped(out);
    }
}

/// A sample as A-law keeps it: twelve bits of magnitude, five of them significant (ITU-T G.711).
fn through_alaw(sample: i16) -> i16 {
    let magnitude = (i32::from(sample).abs() >> 4).min(0x7FF);
    let shift = (31 - (magnitude | 0x10).leading_zeros() as i32 - 4).max(1);
    let kept = ((magnitude >> shift) << shift) + (1 << shift) / 2;
    let value = (kept << 4) * i32::from(sample).signum();
    // At most 32256 either way.
    value as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64) -> Vec<i16> {
        (0..16_000).map(|at| ((TAU * hz * f64::from(at) / 8_000.0).sin() * 8_000.0) as i16).collect()
    }

    fn after(condition: &str, samples: &[i16], seed: u64) -> Vec<i16> {
        let mut samples = samples.to_vec();
        condition.parse::<Condition>().unwrap().apply(&mut samples, &Entropy::seeded(seed));
        samples
    }

    #[test]
    fn conditions_are_read_and_told() {
        for text in [
            "clean",
            "g711",
            "noise:20db",
            "packet-loss:2%",
            "noise:-3.5db+packet-loss:0.5%",
            "g711+noise:10db",
        ] {
            assert_eq!(text.parse::<Condition>().map(|condition| condition.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "loud",
            "noise:20",
            "noise:99db",
            "packet-loss:60%",
            "packet-loss:NaN%",
            "g711+",
            "g711+g711+g711+g711+g711",
        ] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_repeats_itself() {
        let sound = tone(440.0);
        for condition in ["noise:10db", "packet-loss:10%"] {
            assert_eq!(after(condition, &sound, 1), after(condition, &sound, 1));
            assert_ne!(after(condition, &sound, 1), after(condition, &sound, 2));
        }
        assert_eq!(after("clean", &sound, 1), sound);
    }

    #[test]
    fn noise_is_as_far_below_the_speech_as_it_says() {
        // Half of it is a pause, which is no speech to measure against.
        let mut sound = tone(440.0);
        sound.extend([0; 16_000]);
        for db in [0.0, 10.0, 20.0] {
            let noisy = after(&format!("noise:{db}db"), &sound, 5);
            let noise: Vec<i16> =
                noisy.iter().zip(&sound).map(|(noisy, clean)| noisy.saturating_sub(*clean)).collect();
            let measured = 10.0 * (power(&sound[..16_000]) / power(&noise)).log10();
            assert!((measured - db).abs() < 0.3, "{db} dB: {measured}");
        }
    }

    #[test]
    fn so_many_packets_are_lost() {
        let lost = after("packet-loss:10%", &tone(440.0).repeat(10), 5);
        let silent = lost.chunks(PACKET).filter(|packet| packet.iter().all(|sample| *sample == 0)).count();
        assert!((70..=130).contains(&silent), "{silent} of 1000");
        assert_eq!(after("packet-loss:0%", &tone(440.0), 5), tone(440.0));
    }

    #[test]
    fn a_line_lets_its_band_through() {
        let gain = |hz: f64| {
            10.0 * (power(&after("g711", &tone(hz), 1)[4_000..]) / power(&tone(hz)[4_000..])).log10()
        };
        assert!(
            gain(1_000.0).abs() < 0.5 && gain(2_000.0).abs() < 0.5,
            "{} {}",
            gain(1_000.0),
            gain(2_000.0)
        );
        assert!(gain(50.0) < -25.0 && (gain(300.0) + 3.0).abs() < 0.5, "{} {}", gain(50.0), gain(300.0));
    }

    #[test]
    fn a_law_keeps_five_bits() {
        // The first two steps and the ends of the standard's table, in 16 bits.
        for (sample, expected) in
            [(0, 0), (1, 16), (15, 16), (32, 48), (-32, -48), (32_767, 32_256), (-32_768, -32_256)]
        {
            let found = through_alaw(sample);
            assert!(sample == 0 || found == expected, "{sample}: {found}");
        }
        for sample in (1..=i16::MAX).step_by(7) {
            let error = (i32::from(through_alaw(sample)) - i32::from(sample)).abs();
            assert!(error <= (i32::from(sample) / 32).max(16), "{sample}: off by {error}");
        }
    }
}
