//! Selection of negatives for each pair: the scheme of VideoNet's authors.

use deepsim_loss::ranking::Similarities;
use deepsim_run::recipe::Mining;
use rand_core::Rng;

/// Returns the negatives of each pair, as rows. Only those that violate the margin are candidates; where
/// they are few, all of them are taken.
pub fn choose(
    mining: Mining,
    similarities: &Similarities,
    tracks: &[u32],
    rng: &mut impl Rng,
) -> Vec<Vec<usize>> {
    let pairs = similarities.pairs();
    (0..pairs)
        .map(|pair| {
            let anchor = 2 * pair;
            let strangers = (0..pairs).filter(|other| tracks[*other] != tracks[pair]);
            let mut candidates: Vec<usize> = strangers
                .flat_map(|other| [2 * other, 2 * other + 1])
                .filter(|row| similarities.violates(anchor, *row, mining.margin))
                .collect();
            if candidates.len() <= mining.negatives {
                return candidates;
            }
            // The hardest are the most similar; rows decide between equals.
            candidates.sort_by(|a, b| {
                let similarity = |row: &usize| similarities.between(anchor, *row);
                similarity(b).total_cmp(&similarity(a)).then(a.cmp(b))
            });
            let mut rest = candidates.split_off(mining.negatives);
            shuffle(&mut candidates, rng);
            rest.extend(candidates.drain(mining.hard..));
            shuffle(&mut rest, rng);
            candidates.extend(&rest[..mining.negatives - mining.hard]);
            candidates
        })
        .collect()
}

/// Fisher and Yates.
fn shuffle(rows: &mut [usize], rng: &mut impl Rng) {
    for last in (1..rows.len()).rev() {
        let other = ((u64::from(rng.next_u32()) * (last as u64 + 1)) >> 32) as usize;
        rows.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use deepsim_nets::random::stream;

    /// Pair 0 at angle 0; the others at angles that rise with their row.
    fn similarities(pairs: usize) -> Similarities {
        let rows = 2 * pairs;
        let angle = |row: usize| if row < 2 { 0.0 } else { 3.0 * row as f32 / rows as f32 };
        let features: Vec<f32> =
            (0..rows).flat_map(|row| [angle(row).cos(), angle(row).sin()]).collect();
        let features = Tensor::from_vec(features, (rows, 2), &Device::Cpu).expect("features");
        Similarities::new(&features).expect("similarities")
    }

    #[test]
    fn half_of_the_negatives_are_hard() {
        let (similarities, mining) = (similarities(20), Mining::default());
        let tracks: Vec<u32> = (0..20).collect();
        let mut counts = [0; 40];
        let draws = 4000;
        for step in 0..draws {
            let mut rng = stream(0, "mining", step);
            let chosen = choose(mining, &similarities, &tracks, &mut rng).remove(0);
            assert_eq!(chosen.len(), 4);
            // Rows 2 to 5 are the four hardest; two of them are always there.
            assert!(chosen.iter().filter(|row| (2..6).contains(*row)).count() >= 2, "{chosen:?}");
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 4, "{chosen:?}");
            chosen.into_iter().for_each(|row| counts[row] += 1);
        }
        // Candidates are the rows from 2 on with a similarity above 0; each of the four hardest is
        // taken with 1/2, and with 1/2 left among the rest.
        let candidates = (2..40).filter(|row| similarities.violates(0, *row, 1.0)).count() as f64;
        let share = 2.0 / (candidates - 2.0);
        for (row, count) in counts.iter().enumerate().skip(2) {
            let wanted = match row {
                2..6 => 0.5 + 0.5 * share,
                _ if similarities.violates(0, row, 1.0) => share,
                _ => 0.0,
            };
            let got = f64::from(*count) / draws as f64;
            assert!((got - wanted).abs() < 0.03, "row {row}: {got} of draws, wanted {wanted}");
        }
    }

    #[test]
    fn a_track_is_never_its_own_negative_and_few_candidates_are_all_taken() {
        let similarities = similarities(4);
        let mut rng = stream(0, "mining", 0);
        let chosen = choose(Mining::default(), &similarities, &[7, 7, 7, 9], &mut rng);
        assert!(chosen[..3].iter().flatten().all(|row| *row >= 6), "{chosen:?}");
        let easy = Mining { margin: -3.0, ..Mining::default() };
        assert!(choose(easy, &similarities, &[0, 1, 2, 3], &mut rng).iter().all(Vec::is_empty));
    }
}
