//! Keys of samples: the part of the names that their members share.

/// Key and ending of a member: the name up to the first dot after the last slash, and the rest.
pub(super) fn split(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].find('.') {
        Some(dot) => (&name[..start + dot], &name[start + dot + 1..]),
        None => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot_of_the_last_part() {
        assert_eq!(split("n01/x_1.seg.png"), ("n01/x_1", "seg.png"));
        assert_eq!(split("v1.0/x.jpg"), ("v1.0/x", "jpg"));
        assert_eq!(split("readme"), ("readme", ""));
    }
}
