//! Names that exist, and the one that was probably meant.

use std::fmt;

/// The names that exist where an unknown one was asked for, and the nearest of them.
///
/// Displays as a sentence to follow an error: `did you mean "day"? there are: day, state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The name nearest to the one asked for, if one is near enough to be a slip.
    pub nearest: Option<String>,
    /// What exists, in the file's order; at most [`Known::SHOWN`] of them.
    pub names: Vec<String>,
    /// How many more exist than `names` holds.
    pub more: usize,
}

impl Known {
    /// How many names a message lists.
    pub const SHOWN: usize = 12;

    /// What exists, where no name was asked for.
    pub fn all<'a>(existing: impl IntoIterator<Item = &'a str>) -> Self {
        let mut existing = existing.into_iter();
        let names = existing.by_ref().take(Self::SHOWN).map(str::to_owned).collect();
        Self { nearest: None, names, more: existing.count() }
    }

    /// What exists, seen from the name that was asked for.
    pub fn near<'a>(asked: &str, existing: impl IntoIterator<Item = &'a str>) -> Self {
        let asked_lower = asked.to_lowercase();
        // A slip is at most a third of the letters; short names allow one.
        let allowed = (asked_lower.chars().count() / 3).max(1);
        let mut best: Option<(usize, &str)> = None;
        let mut names = Vec::new();
        let mut count = 0;
        for name in existing {
            count += 1;
            if names.len() < Self::SHOWN {
                names.push(name.to_owned());
            }
            let distance = edit_distance(&asked_lower, &name.to_lowercase(), allowed);
            if distance <= allowed && best.is_none_or(|(d, _)| distance < d) {
                best = Some((distance, name));
            }
        }
        Self { nearest: best.map(|(_, n)| n.to_owned()), more: count - names.len(), names }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nearest) = &self.nearest {
            write!(f, "did you mean `{nearest}`? ")?;
        }
        if self.names.is_empty() {
            return write!(f, "there are none");
        }
        write!(f, "there are: {}", self.names.join(", "))?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment); `limit + 1` as soon as it must exceed `limit`.
fn edit_distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let substituted = row[j] + usize::from(a[i] != b[j]);
            next[j + 1] = substituted.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                next[j + 1] = next[j + 1].min(before[j - 1] + 1);
            }
        }
        // A swap reaches back two rows, so both must be beyond the limit.
        if next.iter().chain(&row).all(|&d| d > limit) {
            return limit + 1;
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()].min(limit + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip() {
        let known = Known::near("dya", ["cell_idx", "day", "state"]);
        assert_eq!(known.nearest.as_deref(), Some("day"));
        assert_eq!(known.to_string(), "did you mean `day`? there are: cell_idx, day, state");
        assert_eq!(Known::near("x_PCA", ["X_umap", "X_pca"]).nearest.as_deref(), Some("X_pca"));
        assert_eq!(Known::near("colour", ["day", "state"]).nearest, None);
        assert_eq!(Known::near("day", []).to_string(), "there are none");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..50).map(|i| format!("gene{i}")).collect();
        let known = Known::near("Gata1", names.iter().map(String::as_str));
        assert_eq!((known.names.len(), known.more), (12, 38));
        assert_eq!(Known::all(names.iter().map(String::as_str)), Known { nearest: None, ..known.clone() });
        assert!(known.to_string().ends_with("and 38 more"));
    }

    proptest::proptest! {
        #[test]
        fn edit_distance_is_symmetric_and_bounded(a in "[a-d]{0,8}", b in "[a-d]{0,8}") {
            let d = edit_distance(&a, &b, 100);
            proptest::prop_assert_eq!(d, edit_distance(&b, &a, 100));
            proptest::prop_assert_eq!(d == 0, a == b);
            proptest::prop_assert!(d <= a.len().max(b.len()) && d >= a.len().abs_diff(b.len()));
            proptest::prop_assert_eq!(edit_distance(&a, &b, 2), d.min(3));
        }
    }
}
