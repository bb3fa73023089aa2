//! TensorBoard event files, scalars only.
//!
//! The two crates that write them are dormant and one pulls in a protobuf compiler. The format is
//! small: TFRecord framing (length, masked crc32c, data, masked crc32c) around `Event` messages
//! (tensorflow/core/util/event.proto), of which four fields are needed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::TrainError;

/// A new event file; TensorBoard joins all event files of a folder.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Creates `events.out.tfevents.<seconds>.deepsim` in a folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join(format!("events.out.tfevents.{:.0}.deepsim", now()));
        let file = File::create(&path).map_err(TrainError::io("creating event file", &path))?;
        let mut events = Self { file, path };
        events.write(&event(now(), 0, &string_field(3, b"brain.Event:2")))?;
        Ok(events)
    }

    /// Appends scalars of one step.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<(), TrainError> {
        let summary: Vec<u8> =
            scalars.iter().flat_map(|(tag, value)| string_field(1, &scalar(tag, *value))).collect();
        self.write(&event(now(), step, &string_field(5, &summary)))
    }

    fn write(&mut self, data: &[u8]) -> Result<(), TrainError> {
        self.file.write_all(&record(data)).map_err(TrainError::io("writing events", &self.path))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// TFRecord framing.
fn record(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| {
        let crc = crc32c::crc32c(bytes);
        (crc.rotate_right(15).wrapping_add(0xa282_ead8)).to_le_bytes()
    };
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// `Event { double wall_time = 1; int64 step = 2; <what> }`
fn event(wall_time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend(wall_time.to_le_bytes());
    bytes.push(2 << 3);
    varint(step, &mut bytes);
    bytes.extend(what);
    bytes
}

/// `Summary.Value { string tag = 1; float simple_value = 2; }`
fn scalar(tag: &str, value: f64) -> Vec<u8> {
    let mut bytes = string_field(1, tag.as_bytes());
    bytes.push(2 << 3 | 5);
    bytes.extend((value as f32).to_le_bytes());
    bytes
}

/// A length-delimited field: string, bytes or message.
fn string_field(number: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    varint(data.len() as u64, &mut bytes);
    bytes.extend(data);
    bytes
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_tensorflows() {
        // tf.io.TFRecordWriter writing b"abc" (TensorFlow 2): length, crc, data, crc.
        assert_eq!(record(b"abc")[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record(b"abc").len(), 8 + 4 + 3 + 4);
        // crc32c("123456789") = 0xe3069283 is the check value of the polynomial.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // summary_pb2.Summary.Value(tag="a", simple_value=1.0).SerializeToString()
        assert_eq!(scalar("a", 1.0), [0x0a, 1, b'a', 0x15, 0, 0, 0x80, 0x3f]);
        // event_pb2.Event(wall_time=1.0, step=300).SerializeToString()
        assert_eq!(event(1.0, 300, &[]), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xac, 0x02]);
    }
}
