//! One column of observations: numbers, booleans, text or categories.

/// A column of an observation or variable table, one entry for each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Numbers; a missing one is NaN.
    Number(Vec<f64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Text; a missing entry is empty.
    Text(Vec<String>),
    /// One of a few names.
    Labels(Labels),
}

impl Column {
    /// Number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Labels(v) => v.len(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column as categories; numbers by how they are written, sorted by value.
    #[must_use]
    pub fn into_labels(self) -> Labels {
        match self {
            Self::Labels(labels) => labels,
            Self::Text(text) => Labels::from_text(&text),
            Self::Bool(v) => Labels {
                names: vec!["False".to_owned(), "True".to_owned()],
                codes: v.into_iter().map(i32::from).collect(),
            },
            Self::Number(v) => {
                let mut values: Vec<f64> = v.iter().copied().filter(|x| !x.is_nan()).collect();
                values.sort_by(f64::total_cmp);
                values.dedup();
                let code = |x: &f64| values.binary_search_by(|y| y.total_cmp(x)).map_or(-1, |k| k as i32);
                Labels {
                    codes: v.iter().map(code).collect(),
                    names: values.iter().map(ToString::to_string).collect(),
                }
            }
        }
    }
}

/// One of a few names for each row, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    codes: Vec<i32>,
}

impl Labels {
    /// Labels from names and, for each row, the position of its name or a negative number for none.
    ///
    /// Returns nothing if a code has no name.
    pub fn new(names: Vec<String>, mut codes: Vec<i32>) -> Option<Self> {
        for c in &mut codes {
            *c = (*c).max(-1);
        }
        let known = |&c: &i32| c < 0 || (c as usize) < names.len();
        codes.iter().all(known).then_some(Self { names, codes })
    }

    /// The different texts, sorted; an empty text is no label.
    pub fn from_text<S: AsRef<str>>(text: &[S]) -> Self {
        let mut names: Vec<&str> = text.iter().map(AsRef::as_ref).filter(|t| !t.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        let code = |t: &S| names.binary_search(&t.as_ref()).map_or(-1, |k| k as i32);
        let codes = text.iter().map(code).collect();
        Self { names: names.into_iter().map(str::to_owned).collect(), codes }
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// For each row the position of its name, or -1.
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Position of a row's name in [`names`](Self::names).
    #[inline]
    pub fn code(&self, row: usize) -> Option<usize> {
        usize::try_from(self.codes[row]).ok()
    }

    /// A row's name.
    pub fn name(&self, row: usize) -> Option<&str> {
        self.code(row).map(|c| self.names[c].as_str())
    }

    /// How many rows have each name.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.names.len()];
        for row in 0..self.len() {
            if let Some(c) = self.code(row) {
                counts[c] += 1;
            }
        }
        counts
    }

    /// The same without a label for the rows of one name; nothing if there is no such name.
    #[must_use]
    pub fn without(&self, name: &str) -> Option<Self> {
        let code = self.names.iter().position(|n| n == name)? as i32;
        let codes = self.codes.iter().map(|&c| if c == code { -1 } else { c }).collect();
        Some(Self { names: self.names.clone(), codes })
    }

    /// The labels of some rows, in that order; the names stay.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { names: self.names.clone(), codes: rows.iter().map(|&r| self.codes[r]).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_labels() {
        let labels = Column::Number(vec![4.0, 2.0, f64::NAN, 10.5, 2.0]).into_labels();
        assert_eq!(labels.names(), ["2", "4", "10.5"]);
        assert_eq!(labels.codes(), [1, 0, -1, 2, 0]);
        assert_eq!(labels.counts(), [2, 1, 1]);
        let labels = Labels::from_text(&["b", "", "a", "b"]);
        assert_eq!((labels.name(0), labels.name(1), labels.name(2)), (Some("b"), None, Some("a")));
        assert_eq!(labels.select(&[3, 1]).codes(), [1, -1]);
        assert_eq!(Column::Bool(vec![true, false]).into_labels().name(0), Some("True"));
        assert!(Labels::new(vec!["a".into()], vec![0, 1]).is_none());
        assert_eq!(Labels::new(vec!["a".into()], vec![0, -7]).unwrap().codes(), [0, -1]);
    }
}
