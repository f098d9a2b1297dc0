//! The layout of a flat parameter slice: which part belongs to which named tensor.

/// One named tensor inside a flat parameter slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamEntry {
    /// Name, dot-separated as in PyTorch: `drift.layers.0.weight`.
    pub name: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Index of the first element in the flat slice.
    pub offset: usize,
}

impl ParamEntry {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the tensor lies in the flat slice.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// Names, shapes and offsets of all tensors in one flat parameter slice, in order and without gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamLayout {
    entries: Vec<ParamEntry>,
    len: usize,
}

impl ParamLayout {
    /// An empty layout.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a tensor and returns where it lies.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) -> std::ops::Range<usize> {
        let entry = ParamEntry { name: name.into(), shape: shape.to_vec(), offset: self.len };
        let range = entry.range();
        self.len = range.end;
        self.entries.push(entry);
        range
    }

    /// Appends all tensors of `other` with `prefix.` before their names; returns where they lie.
    pub fn append(&mut self, prefix: &str, other: &ParamLayout) -> std::ops::Range<usize> {
        let start = self.len;
        for e in &other.entries {
            self.push(format!("{prefix}.{}", e.name), &e.shape);
        }
        start..self.len
    }

    /// All tensors, in the order of their offsets.
    pub fn entries(&self) -> &[ParamEntry] {
        &self.entries
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<&ParamEntry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// Length of the flat slice.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_tile_the_slice(shapes in proptest::collection::vec(proptest::collection::vec(1_usize..5, 1..4), 0..6)) {
            let mut inner = ParamLayout::new();
            for (i, s) in shapes.iter().enumerate() {
                inner.push(format!("w{i}"), s);
            }
            let mut layout = ParamLayout::new();
            layout.push("head", &[3]);
            let range = layout.append("net", &inner);
            prop_assert_eq!(range, 3..layout.len());
            let mut end = 0;
            for e in layout.entries() {
                prop_assert_eq!(e.offset, end);
                end = e.range().end;
                prop_assert_eq!(layout.find(&e.name), Some(e));
            }
            prop_assert_eq!(end, layout.len());
        }
    }
}
