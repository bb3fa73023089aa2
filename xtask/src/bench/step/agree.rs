//! Agreement of both sides on losses and numbers of weights.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::super::cost::Cost;

/// The largest relative difference between the losses of both.
///
/// # Errors
/// If it is too large, or the networks have other numbers of weights than one another or the count.
pub(super) fn agree(cost: &Cost, ours: &Value, theirs: &Value, tolerance: f64) -> Result<f64> {
    for (net, wanted) in cost.parameters() {
        let count = |facts: &Value| facts["parameters"][net].as_u64();
        let [ours, theirs] = [count(ours), count(theirs)];
        if ours != theirs || ours != Some(wanted as u64) {
            bail!("weights of the {net}: ours {ours:?}, PyTorch's {theirs:?}, counted {wanted}");
        }
    }
    let mut worst = 0f64;
    for step in 0..2 {
        let losses = |facts: &Value| facts["losses"][step].as_object().cloned();
        let (ours, theirs) = (losses(ours), losses(theirs));
        let (ours, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
        let names = |losses: &Map<String, Value>| losses.keys().cloned().collect::<Vec<_>>();
        if ours.is_empty() || names(&ours) != names(&theirs) {
            bail!(
                "losses of step {}: ours {:?}, PyTorch's {:?}",
                step + 1,
                names(&ours),
                names(&theirs)
            );
        }
        for (term, ours) in &ours {
            let (Some(ours), Some(theirs)) = (ours.as_f64(), theirs[term].as_f64()) else {
                bail!("loss `{term}` of step {} is missing or not finite", step + 1);
            };
            let difference = (ours - theirs).abs() / ours.abs().max(theirs.abs());
            if difference.is_nan() || difference > tolerance {
                bail!("loss `{term}` of step {}: ours {ours}, PyTorch's {theirs}", step + 1);
            }
            worst = worst.max(difference);
        }
    }
    Ok(worst)
}

/// Returns true if a contestant has the same losses in two precisions, which means that it computed
/// in one of them only.
pub(super) fn one_is_the_same(losses: &[Value], others: &[Value]) -> bool {
    losses.iter().zip(others).any(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::cost;
    use super::*;

    fn facts(loss: f64) -> Value {
        let parameters: Map<_, _> = cost::example()
            .parameters()
            .into_iter()
            .map(|(net, count)| (net.to_owned(), count.into()))
            .collect();
        let losses = json!([{ "real": 0.7, "image": 3e7 }, { "real": 1, "image": loss }]);
        json!({ "parameters": parameters, "losses": losses })
    }

    #[test]
    fn equal_trainings_agree_and_others_are_refused() -> Result<()> {
        let cost = cost::example();
        assert_eq!(agree(&cost, &facts(2.0), &facts(2.0), 1e-3)?, 0.0);
        assert!((agree(&cost, &facts(2.0), &facts(2.001), 1e-3)? - 5e-4).abs() < 1e-6);
        let refused = |ours: Value, theirs: Value| {
            agree(&cost, &ours, &theirs, 1e-3).expect_err("they differ").to_string()
        };
        let message = refused(facts(2.0), facts(2.003));
        assert_eq!(message, "loss `image` of step 2: ours 2, PyTorch's 2.003");
        // JSON has no NaN: it arrives as null.
        assert!(refused(facts(2.0), facts(f64::NAN)).contains("missing or not finite"));
        let mut other = facts(2.0);
        other["losses"][1] = json!({ "real": 1 });
        assert!(refused(facts(2.0), other.clone()).contains("PyTorch's [\"real\"]"));
        // Neither of two without losses trains.
        other["losses"] = json!([{}, {}]);
        assert!(refused(other.clone(), other).contains("losses of step 1"));
        let mut smaller = facts(2.0);
        smaller["parameters"]["generator"] = 7.into();
        assert!(refused(facts(2.0), smaller.clone()).contains("PyTorch's Some(7)"));
        // Two that agree with one another, but not with the layers that FLOPs are counted from.
        assert!(refused(smaller.clone(), smaller).contains("weights of the generator"));
        Ok(())
    }

    #[test]
    fn one_side_that_ignores_the_precision_is_seen() {
        let losses = |ours: f64, theirs: f64| [ours, theirs].map(|loss| json!([{ "image": loss }]));
        assert!(!one_is_the_same(&losses(1.0, 1.0), &losses(1.1, 1.2)));
        assert!(one_is_the_same(&losses(1.0, 2.0), &losses(1.1, 2.0)));
    }
}
