//! Download from one address, with retries.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::{Answer, Client, explain_reading};
use crate::part::{Origin, Part};
use crate::sums::CHUNK;
use crate::{Clock, FetchError, Retry};

/// New bytes after which the count of failures restarts: a file of 100 GB may break off more often
/// than a server may refuse.
const PROGRESS: u64 = 1 << 20;

/// Download of one file from one address.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) retry: &'a Retry,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) url: &'a str,
    /// Bytes of the file, if the registry tells.
    pub(crate) bytes: Option<u64>,
    pub(crate) max_bytes: u64,
    /// True if the file has a hash to be compared with. Without one, a body whose end is not marked
    /// could be cut off unnoticed.
    pub(crate) verified: bool,
}

impl Transfer<'_> {
    /// Fills `part` with the whole file, or says why this address does not have it.
    pub(crate) fn run(&self, part: &mut Part, stop: &AtomicBool) -> Result<(), FetchError> {
        let mut failures = 0;
        // Counts the furthest byte, not the bytes of a try, because bytes that are sent again are
        // no progress.
        let mut furthest = part.len();
        loop {
            let error = match self.attempt(part, stop) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if part.len() >= furthest.saturating_add(PROGRESS) {
                (failures, furthest) = (0, part.len());
            }
            failures += 1;
            let Some(wait) = self.retry.wait(failures, &error) else { return Err(error) };
            tracing::warn!("{error}; another try in {} s", wait.as_secs());
            self.clock.sleep(wait, stop);
            self.check_stop(part, stop)?;
        }
    }

    fn attempt(&self, part: &mut Part, stop: &AtomicBool) -> Result<(), FetchError> {
        self.check_stop(part, stop)?;
        if part.is_whole(self.url) {
            return Ok(());
        }
        let resume = part.resume(self.url);
        let resumed = resume.is_some();
        let answer = self.client.get(self.url, resume)?;
        match answer.status {
            200 => {
                let origin = Origin {
                    url: self.url.to_owned(),
                    validator: answer.validator.clone(),
                    total: answer.length,
                };
                self.check_total(answer.length)?;
                part.restart(Some(origin))?;
            }
            206 if resumed => {
                if let Err(error) = self.check_range(&answer, part) {
                    part.restart(None)?;
                    return Err(error);
                }
            }
            status => {
                if status == 416 {
                    part.restart(None)?;
                }
                let url = self.url.to_owned();
                return Err(FetchError::Status { url, status, retry_after: answer.retry_after });
            }
        }
        if !self.verified && !answer.delimited {
            let wanted = "a marked end, for a file of which no hash is known";
            return Err(self.answer("body", wanted.into(), "none".into(), false));
        }
        self.receive(answer, part, stop)
    }

    fn receive(
        &self,
        answer: Answer,
        part: &mut Part,
        stop: &AtomicBool,
    ) -> Result<(), FetchError> {
        let total = self.bytes.or(part.total());
        let address = self.url.split(['?', '#']).next().unwrap_or_default();
        let what = format!("receiving {}", address.rsplit('/').next().unwrap_or_default());
        let done = part.len();
        let span = tracing::info_span!("receiving", what, unit = "B", total, done).entered();
        let mut body = answer.into_body();
        let mut buffer = vec![0; CHUNK];
        loop {
            self.check_stop(part, stop)?;
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(explain_reading(self.url, error)),
            };
            if count == 0 {
                break;
            }
            if part.len() + count as u64 > self.max_bytes {
                part.restart(None)?;
                let wanted = format!("at most {} bytes", self.max_bytes);
                return Err(self.answer("body", wanted, "more".into(), false));
            }
            part.append(&buffer[..count])?;
            span.record("done", part.len());
        }
        match total {
            Some(total) if part.len() != total => {
                let got = format!("{} bytes", part.len());
                Err(self.answer("body", format!("{total} bytes"), got, true))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a server that announces another size, because it has another file.
    fn check_total(&self, total: Option<u64>) -> Result<(), FetchError> {
        let Some(total) = total else { return Ok(()) };
        let wanted = match self.bytes {
            Some(bytes) if bytes != total => format!("{bytes} bytes"),
            None if total > self.max_bytes => format!("at most {} bytes", self.max_bytes),
            _ => return Ok(()),
        };
        Err(self.answer("content-length", wanted, format!("{total} bytes"), false))
    }

    /// Accepts only bytes that follow the part directly and belong to the same file.
    fn check_range(&self, answer: &Answer, part: &Part) -> Result<(), FetchError> {
        let from = part.len();
        let refuse = |header, wanted, got| Err(self.answer(header, wanted, got, true));
        let known = part.resume(self.url).map(|resume| resume.validator);
        if let (Some(wanted), Some(got)) = (known, answer.validator.as_deref())
            && wanted.starts_with('"') == got.starts_with('"')
            && wanted != got
        {
            return refuse("etag", wanted.to_owned(), got.to_owned());
        }
        match answer.range {
            Some((first, _)) if first != from => {
                refuse("content-range", format!("from byte {from}"), format!("from byte {first}"))
            }
            Some((_, Some(total))) if part.total().is_some_and(|wanted| wanted != total) => refuse(
                "content-range",
                format!("{} bytes in all", part.total().unwrap_or_default()),
                format!("{total} bytes"),
            ),
            Some(_) => Ok(()),
            None => refuse("content-range", format!("from byte {from}"), "none".into()),
        }
    }

    fn answer(
        &self,
        header: &'static str,
        wanted: String,
        got: String,
        transient: bool,
    ) -> FetchError {
        FetchError::Answer { url: self.url.to_owned(), header, wanted, got, transient }
    }

    fn check_stop(&self, part: &Part, stop: &AtomicBool) -> Result<(), FetchError> {
        match stop.load(Ordering::Relaxed) {
            true => Err(FetchError::Interrupted { path: part.path().to_path_buf() }),
            false => Ok(()),
        }
    }
}
