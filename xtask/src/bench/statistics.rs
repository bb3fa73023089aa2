//! Medians, ratios and their spread.

/// A contestant's times in all rounds against another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    /// Median of the rounds' ratios: this one's time over the other's.
    pub(crate) median: f64,
    /// Interquartile range of the rounds' ratios: what noise there was.
    pub(crate) spread: f64,
}

/// Median; `None` if there are no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value below which a share of the values lies, interpolated between the two nearest.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * place.fract())
}

/// Ratios of the times of the same rounds; `None` if there are none.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Ratio> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let spread = quantile(&ratios, 0.75)? - quantile(&ratios, 0.25)?;
    Some(Ratio { median: median(&ratios)?, spread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_do_not_care_about_order_and_outliers() {
        assert_eq!(median(&[9.0, 1.0, 1000.0]), Some(9.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn quartiles_are_interpolated() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!((quantile(&values, 0.25), quantile(&values, 0.75)), (Some(2.0), Some(4.0)));
        assert_eq!(quantile(&[0.0, 10.0], 0.25), Some(2.5));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was twice as slow in the second round; the ratio does not notice.
        let ratio = ratio(&[10.0, 20.0, 10.0], &[20.0, 40.0, 20.0]);
        assert_eq!(ratio, Some(Ratio { median: 0.5, spread: 0.0 }));
        let ratio = super::ratio(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0; 5]);
        assert_eq!(ratio, Some(Ratio { median: 3.0, spread: 2.0 }));
        assert_eq!(super::ratio(&[], &[]), None);
    }
}
