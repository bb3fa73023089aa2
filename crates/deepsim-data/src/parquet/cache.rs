//! The row groups used last, decoded, within a bound of memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pictures::Pictures;
use crate::DataError;

/// Table and row group.
type Key = (usize, usize);

pub(super) struct Cache {
    limit: u64,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: HashMap<Key, Slot>,
    reads: u64,
}

#[derive(Default)]
struct Slot {
    /// Separate lock for each row group: threads that need the same one wait until one of them has
    /// decoded it; the others continue.
    pictures: Arc<Mutex<Option<Arc<Pictures>>>>,
    bytes: u64,
    last_read: u64,
}

impl Cache {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, slots: Mutex::default() }
    }

    /// Returns the row group `key`; decodes it unless it is cached.
    pub(super) fn get(
        &self,
        key: Key,
        decode: impl FnOnce() -> Result<Pictures, DataError>,
    ) -> Result<Arc<Pictures>, DataError> {
        let cell = {
            let mut slots = lock(&self.slots);
            slots.reads += 1;
            let now = slots.reads;
            let slot = slots.slots.entry(key).or_default();
            slot.last_read = now;
            slot.pictures.clone()
        };
        let mut cell = lock(&cell);
        if let Some(pictures) = &*cell {
            return Ok(pictures.clone());
        }
        let pictures = Arc::new(decode()?);
        *cell = Some(pictures.clone());
        let bytes = size_of_val(&**pictures)
            + pictures.iter().flatten().map(|picture| picture.data().len()).sum::<usize>();
        lock(&self.slots).keep_within(self.limit, key, bytes as u64);
        Ok(pictures)
    }
}

impl Slots {
    /// Drops the least recently read row groups until the rest fits; keeps `newest`.
    fn keep_within(&mut self, limit: u64, newest: Key, bytes: u64) {
        if let Some(slot) = self.slots.get_mut(&newest) {
            slot.bytes = bytes;
        }
        let mut total: u64 = self.slots.values().map(|slot| slot.bytes).sum();
        while total > limit {
            let others = self.slots.iter().filter(|(key, slot)| **key != newest && slot.bytes > 0);
            let Some(oldest) = others.min_by_key(|(_, slot)| slot.last_read).map(|(key, _)| *key)
            else {
                return;
            };
            total -= self.slots.remove(&oldest).map_or(0, |slot| slot.bytes);
        }
    }
}

/// Locks a mutex, also after a panic in another thread: slots change in one step, so they are valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
