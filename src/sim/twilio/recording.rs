//! Recordings of dials: made while the leg is up, told of by callbacks, kept for the REST API.
//!
//! The sound is made up, but it is a real WAV file: 8 kHz, 16 bits, the caller on the first channel and the
//! other end on the second, two tones that belong to the recording's id, so that each has its own digest.

use std::time::Duration;

use super::call::{CallRun, short};
use super::courier::Errand;
use super::form::{Fields, pairs, rfc_2822};
use super::leg::Leg;
use super::report::RequestKind;
use super::rest::Tape;
use super::web::sid;
use crate::clock::Timestamp;
use crate::sim::twiml::{Dial, Recording, Request};

/// From the end of a call to the callback about its recording.
const CALLBACK_DELAY: Duration = Duration::from_secs(2);
/// Longer recordings have the duration they should, and sound of so many seconds.
const SOUND_SECONDS_MAX: u64 = 20;
/// Samples per second, as on the telephone.
const RATE: u32 = 8_000;

/// A recording that is being made.
pub(super) struct Recorded {
    sid: String,
    started: Timestamp,
    seconds: u64,
    channels: u16,
}

impl CallRun {
    /// The leg was answered: recording begins, if the dial says so and there is a place for it.
    pub(super) async fn begin_recording(&mut self, dial: &Dial, leg: &mut Leg) {
        let Some(recording) = dial.recording.as_ref().filter(|_| self.shared.rest.is_some()) else { return };
        let is_dual = recording.is_dual && !self.caller.faults.recording.mono;
        let recorded = Recorded {
            sid: sid("RE", &self.entropy),
            started: self.shared.options.clock.now(),
            seconds: 0,
            channels: if is_dual { 2 } else { 1 },
        };
        if recording.events.iter().any(|event| event == "in-progress")
            && let Some(callback) = &recording.callback
        {
            let errand =
                self.recording_errand(&recorded, callback, RequestKind::RecordingStarted, "in-progress");
            self.courier.queue(errand).await;
        }
        leg.recording = Some(recorded);
    }

    /// The leg is over: the recording is whole, and will be told of when the call is over too.
    pub(super) fn end_recording(&mut self, dial: &Dial, leg: &mut Leg) {
        let seconds = leg.seconds(self).unwrap_or(0);
        let Some(recorded) = &mut leg.recording else { return };
        recorded.seconds = seconds;
        let faults = self.caller.faults.recording.clone();
        if let Some(rest) = &self.shared.rest {
            let wav = wav(&recorded.sid, seconds.min(SOUND_SECONDS_MAX), recorded.channels);
            rest.keep(Tape {
                sid: recorded.sid.clone(),
                call_sid: self.sid.clone(),
                started: recorded.started,
                seconds,
                channels: recorded.channels,
                is_absent: faults.absent,
                is_garbled: faults.garbled,
                not_ready: faults.not_ready,
                cut: faults.cut,
                wav,
            });
        }
        self.report.recordings.push(recorded.sid.clone());
        let status = if faults.absent { "absent" } else { "completed" };
        let is_wanted = |recording: &&Recording| recording.events.iter().any(|event| event == status);
        let callback =
            dial.recording.as_ref().filter(is_wanted).and_then(|recording| recording.callback.as_ref());
        if let (Some(callback), Some(recorded)) = (callback, &leg.recording) {
            let errand = self.recording_errand(recorded, callback, RequestKind::RecordingCompleted, status);
            self.late.push(errand);
        }
    }

    /// A caller has left a message of so many seconds after a beep. It is whole at once; gives its fields.
    pub(super) fn keep_message(&mut self, seconds: u64) -> Fields {
        let id = sid("RE", &self.entropy);
        if let Some(rest) = &self.shared.rest {
            rest.keep(Tape {
                sid: id.clone(),
                call_sid: self.sid.clone(),
                started: self.shared.options.clock.now(),
                seconds,
                channels: 1,
                is_absent: false,
                is_garbled: false,
                not_ready: self.caller.faults.recording.not_ready,
                cut: self.caller.faults.recording.cut,
                wav: wav(&id, seconds.min(SOUND_SECONDS_MAX), 1),
            });
        }
        self.report.recordings.push(id.clone());
        pairs(&[
            ("RecordingSid", &id),
            ("RecordingUrl", &self.recording_url(&id)),
            ("RecordingDuration", &seconds.to_string()),
        ])
    }

    /// Tells of the recordings of a call that is over.
    pub(super) async fn tell_of_recordings(&mut self) {
        if self.late.is_empty() {
            return;
        }
        self.shared.pass(CALLBACK_DELAY).await;
        for errand in std::mem::take(&mut self.late) {
            self.courier.queue(errand).await;
        }
    }

    /// What the end of a dial and of its leg tell of the recording.
    pub(super) fn recording_fields(&self, leg: &Leg) -> Fields {
        let faults = &self.caller.faults.recording;
        match leg.recording.as_ref().filter(|_| !faults.unnamed && !faults.absent) {
            Some(recorded) => pairs(&[
                ("RecordingSid", &recorded.sid),
                ("RecordingUrl", &self.recording_url(&recorded.sid)),
                ("RecordingDuration", &recorded.seconds.to_string()),
            ]),
            None => Fields::new(),
        }
    }

    fn recording_errand(
        &self,
        recorded: &Recorded,
        callback: &Request,
        kind: RequestKind,
        status: &str,
    ) -> Errand {
        let options = &self.shared.options;
        let mut fields = pairs(&[
            ("AccountSid", &options.account_sid),
            ("CallSid", &self.sid),
            ("RecordingSid", &recorded.sid),
            ("RecordingUrl", &self.recording_url(&recorded.sid)),
            ("RecordingStatus", status),
            ("RecordingChannels", &recorded.channels.to_string()),
            ("RecordingStartTime", &rfc_2822(recorded.started)),
            ("RecordingSource", "DialVerb"),
            ("RecordingTrack", "both"),
            ("ErrorCode", "0"),
        ]);
        if status == "completed" {
            fields.push(("RecordingDuration".to_owned(), recorded.seconds.to_string()));
        }
        let note = format!("{}  recording {status}", short(&self.sid));
        self.errand(kind, callback, fields, note)
    }

    fn recording_url(&self, sid: &str) -> String {
        let account = &self.shared.options.account_sid;
        let elsewhere = self.caller.faults.recording.url.clone();
        elsewhere.unwrap_or_else(|| {
            let base = self.shared.rest.as_ref().map(super::CarrierRest::base_url).unwrap_or_default();
            format!("{base}/2010-04-01/Accounts/{account}/Recordings/{sid}")
        })
    }
}

/// A WAV file of so many seconds; the tones belong to `sid`.
fn wav(sid: &str, seconds: u64, channels: u16) -> Vec<u8> {
    let samples = u32::try_from(seconds).unwrap_or(0) * RATE;
    let block = 2 * u32::from(channels);
    let data_bytes = samples * block;
    let mut file = Vec::with_capacity(44 + data_bytes as usize);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&channels.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * block).to_le_bytes());
    file.extend_from_slice(&u16::try_from(block).unwrap_or(4).to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    let own = sid.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 40;
    for n in 0..samples {
        for channel in 0..u32::from(channels) {
            file.extend_from_slice(&triangle(n, 20 + own + 40 * channel).to_le_bytes());
        }
    }
    file
}

/// One sample of a tone whose period is `period` samples.
fn triangle(n: u32, period: u32) -> i16 {
    let place = i32::try_from(n % period).unwrap_or(0);
    let half = i32::try_from(period / 2).unwrap_or(1).max(1);
    let height = if place < half { place } else { 2 * half - place };
    i16::try_from(height * 8_000 / half - 4_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_long_as_it_says_and_its_channels_differ() {
        let file = wav("RE00000000000000000000000000000001", 2, 2);
        assert_eq!(file.len(), 44 + 2 * 8_000 * 4);
        let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!((u32_at(4) as usize + 8, u32_at(24), u32_at(28)), (file.len(), 8_000, 32_000));
        assert_eq!(u32_at(40) as usize + 44, file.len());
        let (caller, other): (Vec<_>, Vec<_>) =
            file[44..].chunks(4).map(|frame| (&frame[..2], &frame[2..])).unzip();
        assert_ne!(caller, other);
        assert_ne!(file, wav("RE00000000000000000000000000000002", 2, 2));
    }
}
