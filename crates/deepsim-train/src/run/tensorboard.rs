//! TensorBoard event files: scalars, pictures and histograms.
//!
//! The two crates that write them are dormant and one pulls in a protobuf compiler. The format is
//! small: TFRecord framing (length, masked crc32c, data, masked crc32c) around `Event` messages
//! (tensorflow/core/util/event.proto), of which a few fields are needed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::TrainError;

/// Name of the event file of a run.
pub const EVENTS: &str = "events.out.tfevents.deepsim";

/// The event file of a run, to which every session appends.
pub struct EventFile {
    file: File,
    path: PathBuf,
    /// Bytes that are whole records.
    len: u64,
}

/// A value of a step, with its name.
#[derive(Clone, Debug)]
pub struct Value(Vec<u8>);

impl EventFile {
    /// Opens [`EVENTS`] in a folder, and cuts off what was written after `step`, or only half.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(folder: &Path, step: u64) -> Result<Self, TrainError> {
        let path = folder.join(EVENTS);
        let options = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let mut file = options.map_err(TrainError::io("opening event file", &path))?;
        let len = length_until(&mut file, step).map_err(TrainError::io("reading events", &path))?;
        file.set_len(len).map_err(TrainError::io("cutting back events", &path))?;
        let mut events = Self { file, path, len };
        if len == 0 {
            events.write(&event(now(), 0, &field(3, b"brain.Event:2")))?;
        }
        Ok(events)
    }

    /// Appends values of one step.
    ///
    /// # Errors
    /// If they cannot be written; then none of them has been.
    pub fn append(&mut self, step: u64, values: &[Value]) -> Result<(), TrainError> {
        let summary: Vec<u8> = values.iter().flat_map(|value| field(1, &value.0)).collect();
        self.write(&event(now(), step, &field(5, &summary)))
    }

    fn write(&mut self, data: &[u8]) -> Result<(), TrainError> {
        let record = record(data);
        if let Err(error) = self.file.write_all(&record) {
            // A half record would hide all that follow it.
            let _ = self.file.set_len(self.len);
            return Err(TrainError::io("writing events", &self.path)(error));
        }
        self.len += record.len() as u64;
        Ok(())
    }
}

impl Value {
    /// A number.
    pub fn scalar(tag: &str, value: f64) -> Self {
        // Summary.Value { string tag = 1; float simple_value = 2; }
        let mut bytes = field(1, tag.as_bytes());
        bytes.push(2 << 3 | 5);
        bytes.extend((value as f32).to_le_bytes());
        Self(bytes)
    }

    /// A picture as PNG.
    pub fn picture(tag: &str, png: &[u8], height: usize, width: usize) -> Self {
        // Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded = 4; }
        let mut image = Vec::new();
        for (number, value) in [(1, height as u64), (2, width as u64), (3, 3)] {
            image.push(number << 3);
            varint(value, &mut image);
        }
        image.extend(field(4, png));
        // Summary.Value { string tag = 1; Image image = 4; }
        Self([field(1, tag.as_bytes()), field(4, &image)].concat())
    }

    /// Histogram of values over 30 equal parts of their range; values that are not finite
    /// are left out.
    pub fn histogram(tag: &str, values: &[f32]) -> Self {
        const PARTS: usize = 30;
        let finite = || values.iter().copied().filter(|x| x.is_finite()).map(f64::from);
        let (low, high) = finite().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        let (low, high) = if low > high { (0.0, 0.0) } else { (low, high) };
        let width = if high > low { (high - low) / PARTS as f64 } else { 1.0 };
        let mut counts = vec![0f64; PARTS];
        let (mut sum, mut squares) = (0.0, 0.0);
        for x in finite() {
            counts[(((x - low) / width) as usize).min(PARTS - 1)] += 1.0;
            (sum, squares) = (sum + x, squares + x * x);
        }
        let limits: Vec<f64> = (1..=PARTS).map(|i| low + width * i as f64).collect();
        // HistogramProto { double min = 1, max = 2, num = 3, sum = 4, sum_squares = 5;
        //                  repeated double bucket_limit = 6, bucket = 7 [packed]; }
        let mut histogram = Vec::new();
        let numbers = [low, high, counts.iter().sum(), sum, squares];
        for (number, value) in (1u8..).zip(numbers) {
            histogram.push(number << 3 | 1);
            histogram.extend(value.to_le_bytes());
        }
        for (number, values) in [(6, &limits), (7, &counts)] {
            let packed: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            histogram.extend(field(number, &packed));
        }
        // Summary.Value { string tag = 1; HistogramProto histo = 5; }
        Self([field(1, tag.as_bytes()), field(5, &histogram)].concat())
    }
}

/// Bytes of the whole records up to the last of `step`, which are in the order of steps.
fn length_until(file: &mut File, step: u64) -> std::io::Result<u64> {
    let total = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = std::io::BufReader::new(file);
    let mut keep = 0;
    loop {
        let mut head = [0; 12];
        if reader.read_exact(&mut head).is_err() {
            return Ok(keep);
        }
        let (length, crc) = head.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let end = keep.saturating_add(length).saturating_add(16);
        if masked(&head[..8]) != crc || end > total {
            return Ok(keep);
        }
        let mut data = vec![0; length as usize];
        reader.read_exact(&mut data)?;
        reader.read_exact(&mut [0; 4])?;
        if step_of(&data).is_none_or(|found| found > step) {
            return Ok(keep);
        }
        keep = end;
    }
}

/// The step of an event as [`event`] writes it.
fn step_of(data: &[u8]) -> Option<u64> {
    let mut step = 0;
    // Behind the time, which takes nine bytes, and the key of the step.
    for (i, byte) in data.get(10..)?.iter().take(10).enumerate() {
        step |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(step);
        }
    }
    None
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// TFRecord framing.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(bytes);
    (crc.rotate_right(15).wrapping_add(0xa282_ead8)).to_le_bytes()
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

/// A length-delimited field: string, bytes or message.
fn field(number: u8, data: &[u8]) -> Vec<u8> {
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
        assert_eq!(Value::scalar("a", 1.0).0, [0x0a, 1, b'a', 0x15, 0, 0, 0x80, 0x3f]);
        // event_pb2.Event(wall_time=1.0, step=300).SerializeToString()
        assert_eq!(event(1.0, 300, &[]), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xac, 0x02]);
        // Summary.Value(tag="a", image=Image(height=2, width=300, colorspace=3,
        // encoded_image_string=b"x")).SerializeToString()
        assert_eq!(
            Value::picture("a", b"x", 2, 300).0,
            [0x0a, 1, b'a', 0x22, 10, 0x08, 2, 0x10, 0xac, 2, 0x18, 3, 0x22, 1, b'x']
        );
    }

    #[test]
    fn resuming_cuts_back_to_the_step_and_to_whole_records() -> Result<(), TrainError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(EVENTS);
        let read = || std::fs::read(&path).expect("the events");
        let mut events = EventFile::open(folder.path(), 0)?;
        let mut lengths = vec![read().len()];
        for step in [1, 200, 300] {
            events.append(step, &[Value::scalar("a", 1.0), Value::histogram("b", &[1.0, 2.0])])?;
            lengths.push(read().len());
        }
        let whole = read();
        for (step, records) in [(300, 3), (299, 2), (200, 2), (199, 1), (0, 0)] {
            // Half a record at the end, as a crash leaves it.
            std::fs::write(&path, [&whole[..], &whole[..30]].concat()).expect("half a record");
            EventFile::open(folder.path(), step)?;
            assert!(read() == whole[..lengths[records]], "step {step}");
        }
        std::fs::write(&path, b"not events").expect("something else");
        EventFile::open(folder.path(), 9)?;
        assert_eq!(read().len(), lengths[0], "begun anew");
        Ok(())
    }
}
