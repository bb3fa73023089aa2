//! Suggestions for mistyped keys of a recipe.

/// The nearest of the names that a parser expected, from its message.
pub(crate) fn nearest(message: &str) -> Option<&str> {
    let kinds = ["unknown field", "unknown variant", "unknown network"];
    let unknown = kinds.iter().find_map(|kind| message.find(kind))?;
    let mut names = message[unknown..].split('`').skip(1).step_by(2);
    let got = names.next()?;
    let near = |name: &str| {
        let typed = got.to_lowercase();
        // Letters exchanged or left out, and abbreviations such as `lr` of `learning_rate`.
        let initials: String = name.split('_').filter_map(|word| word.chars().next()).collect();
        if initials == typed { 1.0 } else { strsim::jaro_winkler(&typed, name) }
    };
    let best = names.max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(best) > 0.75).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_what_was_meant_and_nonsense_finds_nothing() {
        let message = |got: &str| {
            format!(
                "TOML parse error at line 3\\nunknown field `{got}`, expected one of `learning_rate`, \
                 `beta1`, `beta2`, `milestones`, `generator_decay`"
            )
        };
        for (got, meant) in [
            ("lerning_rate", Some("learning_rate")),
            ("lr", Some("learning_rate")),
            ("beta_2", Some("beta2")),
            ("milestone", Some("milestones")),
            ("xyz", None),
        ] {
            assert_eq!(nearest(&message(got)), meant, "{got}");
        }
        let network = "unknown network `alexnt`, expected one of `alexnet`, `videonet`";
        assert_eq!(nearest(network), Some("alexnet"));
        assert_eq!(
            nearest(
                "unknown variant `squared-eror`, expected `squared-error` or \
                            `absolute-error`"
            ),
            Some("squared-error")
        );
        assert_eq!(nearest("invalid type: string `a`, expected `u64`"), None);
    }
}
