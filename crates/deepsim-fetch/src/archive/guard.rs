//! Limits on the bytes that reading an archive may produce.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use crate::FetchError;

/// Unpacked bytes before the ratio counts: an empty tar packs better than any real one.
const RATIO_FROM: u64 = 16 << 20;

/// Counters and limits of one archive, shared by the readers below and the unpacking loop.
pub(super) struct Gauge {
    max_ratio: u64,
    allowance: Cell<u64>,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    ended: Cell<bool>,
    exceeded: Cell<Option<Exceeded>>,
}

#[derive(Clone, Copy)]
enum Exceeded {
    Allowance,
    Ratio,
}

impl Gauge {
    pub(super) fn new(max_ratio: u64) -> Self {
        Self {
            max_ratio,
            allowance: Cell::new(0),
            packed: Cell::new(0),
            unpacked: Cell::new(0),
            ended: Cell::new(false),
            exceeded: Cell::new(None),
        }
    }

    /// Allows `bytes` more to be read from now on, in place of what was left.
    pub(super) fn allow(&self, bytes: u64) {
        self.allowance.set(bytes);
    }

    /// Returns the number of bytes of the tar that were read.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked.get()
    }

    /// Returns true once a read has found the end of the file.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Describes a reader's error: the limit exceeded, the archive's early end, or the error
    /// itself.
    pub(super) fn explain(&self, archive: &Path, error: io::Error) -> FetchError {
        let (wanted, got) = match self.exceeded.get() {
            Some(Exceeded::Allowance) => (
                "headers, names and padding of a usual size".to_owned(),
                format!("more of them before byte {}", self.unpacked.get()),
            ),
            Some(Exceeded::Ratio) => (
                format!("at most {} unpacked bytes per packed one", self.max_ratio),
                format!("{} from {}", self.unpacked.get(), self.packed.get()),
            ),
            None if self.ended.get() || error.kind() == io::ErrorKind::UnexpectedEof => (
                "a whole archive".to_owned(),
                format!("its end after {} unpacked bytes ({error})", self.unpacked.get()),
            ),
            None => return FetchError::io("unpacking", archive)(error),
        };
        FetchError::Content { path: archive.to_path_buf(), wanted, got }
    }
}

/// Counts packed bytes.
pub(super) struct Counted<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R, gauge: Rc<Gauge>) -> Self {
        Self { inner, gauge }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.gauge.packed.set(self.gauge.packed.get() + count as u64);
        Ok(count)
    }
}

/// Counts unpacked bytes, and fails where there are more than allowed.
pub(super) struct Guarded<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

impl<R> Guarded<R> {
    pub(super) fn new(inner: R, gauge: Rc<Gauge>) -> Self {
        Self { inner, gauge }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let gauge = &self.gauge;
        let refuse = |exceeded| {
            gauge.exceeded.set(Some(exceeded));
            Err(io::Error::other("more than allowed"))
        };
        let allowed = usize::try_from(gauge.allowance.get()).unwrap_or(usize::MAX);
        let end = buffer.len().min(allowed);
        if end == 0 {
            return refuse(Exceeded::Allowance);
        }
        let count = self.inner.read(&mut buffer[..end])?;
        gauge.allowance.set(gauge.allowance.get() - count as u64);
        gauge.unpacked.set(gauge.unpacked.get() + count as u64);
        gauge.ended.set(gauge.ended.get() || count == 0);
        let bomb = gauge.packed.get().saturating_mul(gauge.max_ratio).max(RATIO_FROM);
        if gauge.unpacked.get() > bomb { refuse(Exceeded::Ratio) } else { Ok(count) }
    }
}
