//! Reading of many pictures of any size within a bound on memory, and batches of one size for networks.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

/// Items that are in memory together, at most.
const WINDOW: usize = 64;
/// Pixels after which no more is read into a window.
const WINDOW_PIXELS: usize = 4 << 20;
/// Items that are read at a time by several threads. Not the number of threads, because results must not depend on it.
const AT_ONCE: usize = 4;

/// Items that go through a network together, at most.
const BATCH: usize = 16;
/// Pixels of their pictures, at most, unless one has more.
const BATCH_PIXELS: usize = 1 << 20;

/// Height and width.
pub(super) type Size = (usize, usize);

/// Reads the next items, in order, and takes their indices from `left`. `pixels` are those of an item.
pub(super) fn window<T: Send>(
    left: &mut Range<usize>,
    read: impl Fn(usize) -> T + Sync,
    pixels: impl Fn(&T) -> usize,
) -> Vec<(usize, T)> {
    let (mut window, mut total) = (Vec::new(), 0);
    while left.start < left.end && window.len() < WINDOW && total < WINDOW_PIXELS {
        let now: Vec<usize> = left.by_ref().take(AT_ONCE).collect();
        let items: Vec<T> = now.par_iter().map(|&index| read(index)).collect();
        total += items.iter().map(&pixels).sum::<usize>();
        window.extend(now.into_iter().zip(items));
    }
    window
}

/// Items of one size each, few enough for a network.
pub(super) fn batches<T>(
    items: Vec<(usize, T)>,
    size: impl Fn(&T) -> Size,
) -> Vec<Vec<(usize, T)>> {
    let mut by_size = BTreeMap::<Size, Vec<(usize, T)>>::new();
    for item in items {
        by_size.entry(size(&item.1)).or_default().push(item);
    }
    let mut batches = Vec::new();
    for ((height, width), items) in by_size {
        let most = (BATCH_PIXELS / (height * width).max(1)).clamp(1, BATCH);
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            batches.push(items.by_ref().take(most).collect());
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_everything_once_and_few_large_pictures() {
        let mut left = 0..150;
        let lengths: Vec<usize> = std::iter::from_fn(|| {
            let window = window(&mut left, |index| index, |_| 1);
            assert!(window.iter().all(|(index, item)| index == item));
            (!window.is_empty()).then_some(window.len())
        })
        .collect();
        assert_eq!(lengths, [64, 64, 22]);
        let window = window(&mut (3..150), |index| index, |_| WINDOW_PIXELS / 6);
        assert_eq!(
            window.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7, 8, 9, 10]
        );
    }

    #[test]
    fn batches_are_of_one_size_and_bounded() {
        let items = (0..40).map(|index| (index, if index % 2 == 0 { (2, 3) } else { (1024, 400) }));
        let batches = batches(items.collect(), |size| *size);
        let lengths: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(lengths, [16, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert!(batches.iter().all(|batch| batch.iter().all(|item| item.1 == batch[0].1)));
        let mut all: Vec<usize> = batches.iter().flatten().map(|(index, _)| *index).collect();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }
}
