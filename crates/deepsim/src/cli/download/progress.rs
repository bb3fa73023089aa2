//! A bar with rate and time left, where there is a terminal.

use deepsim_fetch::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// Shows what happens; one bar at a time.
#[derive(Default)]
pub(super) struct Progress {
    bar: Option<(String, ProgressBar)>,
}

impl Progress {
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Checking { path, done, total } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.advance(&format!("verifying {name}"), *done, Some(*total));
            }
            Event::Receiving { url, done, total } => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default();
                self.advance(&format!("receiving {name}"), *done, *total);
            }
            Event::Unpacking { member, done } => {
                self.advance("unpacking", *done, None);
                if let Some((_, bar)) = &self.bar {
                    bar.set_message(format!("unpacking {member}"));
                }
            }
            Event::Retrying { error, wait } => {
                self.line(&format!("{error}; another try in {} s", wait.as_secs()));
            }
            Event::Next { error } => self.line(&format!("{error}; the next one is tried")),
            _ => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        eprintln!("{text}");
    }

    fn advance(&mut self, what: &str, done: u64, total: Option<u64>) {
        if self.bar.as_ref().is_none_or(|(shown, _)| shown != what) {
            self.clear();
            let bar = match total {
                Some(total) => ProgressBar::new(total).with_style(style(
                    "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
                )),
                None => {
                    ProgressBar::no_length().with_style(style("{msg} {bytes}, {bytes_per_sec}"))
                }
            };
            let bar = bar.with_message(what.to_owned()).with_position(done);
            // Bytes of an earlier run were not received in no time.
            bar.reset_eta();
            self.bar = Some((what.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
