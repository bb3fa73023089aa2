//! Kernels in PTX, the text that NVIDIA's compilers make, run thread by thread.
//!
//! | module | holds |
//! |---|---|
//! | [`globals`], [`parse`] | a text to arrays, and to the instructions of a kernel |
//! | [`text`] | the words of it |
//! | [`kernel`] | a kernel as instructions |
//! | [`value`] | what instructions compute |
//! | [`run`] | a launch: blocks, threads, barriers, shuffles |

mod globals;
mod kernel;
mod parse;
mod run;
mod text;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use kernel::Kernel;
pub(crate) use run::{Launch, run};

/// A text with kernels; each is parsed when first asked for.
pub(crate) struct Module {
    text: Arc<str>,
    globals: globals::Globals,
    kernels: HashMap<String, Arc<Kernel>>,
}

impl Module {
    pub(crate) fn new(text: &str) -> Self {
        let text: Arc<str> = uncommented(text).into();
        let globals = globals::globals(&text);
        Self { text, globals, kernels: HashMap::new() }
    }

    /// Returns the kernel of this name, or the reason why there is none.
    pub(crate) fn kernel(&mut self, name: &str) -> Result<Arc<Kernel>, String> {
        if let Some(kernel) = self.kernels.get(name) {
            return Ok(kernel.clone());
        }
        let start = self
            .text
            .match_indices(".entry ")
            .find(|(at, entry)| {
                let rest = self.text[at + entry.len()..].trim_start();
                rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', ' ', '\n']))
            })
            .map(|(at, entry)| at + entry.len())
            .ok_or_else(|| format!("no kernel {name}"))?;
        let kernel = Arc::new(parse::kernel(&self.text[start..], &self.globals)?);
        self.kernels.insert(name.to_owned(), kernel.clone());
        Ok(kernel)
    }
}

fn uncommented(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(
        String::with_capacity(text.len()),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    )
}
