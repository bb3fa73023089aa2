//! Pool of memory that is kept for the next step, so that its pages are not faulted in again.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// Largest number of buffers kept; beyond that the smallest is freed.
const KEPT: usize = 256;

/// Floats from a pool that all threads share; given back when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// Returns `len` floats of unspecified values.
    pub(crate) fn new(len: usize) -> Self {
        let fitting = FREE.lock().ok().and_then(|mut free| {
            // Takes the smallest that is large enough, unless it is much too large.
            let sizes = free.iter().enumerate().map(|(i, values)| (values.len(), i));
            let best = sizes.filter(|(size, _)| (len..=len + len / 2 + 1024).contains(size)).min();
            best.map(|(_, i)| free.swap_remove(i))
        });
        Self { values: fitting.unwrap_or_else(|| vec![0.0; len]), len }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if let Ok(mut free) = FREE.lock()
            && !values.is_empty()
        {
            free.push(values);
            if free.len() > KEPT {
                let smallest = (0..free.len()).min_by_key(|&i| free[i].len());
                smallest.map(|i| free.swap_remove(i));
            }
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}
