//! Cells by genes, dense or sparse.
//!
//! Only what the reader, the preprocessing and the writer share; linear algebra is `chreode-linalg`'s.

/// A row-major matrix of single precision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DenseMatrix {
    /// Number of rows (cells).
    pub rows: usize,
    /// Number of columns (genes, coordinates).
    pub cols: usize,
    /// Values, `[rows, cols]`.
    pub values: Vec<f32>,
}

/// A sparse matrix by rows: the columns of a row ascend and occur once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CsrMatrix {
    rows: usize,
    cols: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// Cells by genes, as stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Matrix {
    /// Every entry is stored.
    Dense(DenseMatrix),
    /// Only entries other than zero are stored.
    Sparse(CsrMatrix),
}

/// Parts that form no matrix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatrixError {
    /// The number of values is not rows times columns.
    #[error("{found} values for {rows} rows of {cols}")]
    Length {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// Values given.
        found: usize,
    },
    /// The row pointers do not ascend from zero to the number of values, one for each row and one more.
    #[error("row pointers do not ascend from 0 to the number of values (first at row {row})")]
    Pointers {
        /// The first row whose pointer is wrong.
        row: usize,
    },
    /// An entry lies outside the matrix.
    #[error("entry {entry} has column {col} of {cols}")]
    Index {
        /// Number of the entry.
        entry: usize,
        /// Its column.
        col: i64,
        /// How many columns there are.
        cols: usize,
    },
}

impl DenseMatrix {
    /// A matrix from its values.
    ///
    /// # Errors
    /// [`MatrixError::Length`] unless there are `rows * cols` values.
    pub fn new(rows: usize, cols: usize, values: Vec<f32>) -> Result<Self, MatrixError> {
        if rows.checked_mul(cols) == Some(values.len()) {
            Ok(Self { rows, cols, values })
        } else {
            Err(MatrixError::Length { rows, cols, found: values.len() })
        }
    }

    /// One row.
    #[inline]
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.cols..(i + 1) * self.cols]
    }
}

impl CsrMatrix {
    /// A matrix from the parts that scipy stores: rows are sorted and entries of one place summed if need be.
    ///
    /// # Errors
    /// [`MatrixError`] if the parts contradict each other.
    pub fn new(
        rows: usize,
        cols: usize,
        indptr: &[i64],
        indices: &[i64],
        values: Vec<f32>,
    ) -> Result<Self, MatrixError> {
        let indptr = check_parts(rows, cols, indptr, indices, values.len())?;
        let indices = indices.iter().map(|&j| j as u32).collect();
        Ok(Self { rows, cols, indptr, indices, values }.canonical())
    }

    /// The same from the parts of a matrix stored by columns (scipy's CSC).
    ///
    /// # Errors
    /// [`MatrixError`] if the parts contradict each other; in its words rows and columns are exchanged.
    pub fn from_columns(
        rows: usize,
        cols: usize,
        indptr: &[i64],
        indices: &[i64],
        values: &[f32],
    ) -> Result<Self, MatrixError> {
        let by_column = check_parts(cols, rows, indptr, indices, values.len())?;
        let mut indptr = vec![0; rows + 1];
        for &i in indices {
            indptr[i as usize + 1] += 1;
        }
        for i in 0..rows {
            indptr[i + 1] += indptr[i];
        }
        let mut next = indptr.clone();
        let mut out =
            Self { rows, cols, indptr, indices: vec![0; values.len()], values: vec![0.0; values.len()] };
        for j in 0..cols {
            for entry in by_column[j]..by_column[j + 1] {
                let place = &mut next[indices[entry] as usize];
                out.indices[*place] = j as u32;
                out.values[*place] = values[entry];
                *place += 1;
            }
        }
        Ok(out.canonical())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Where each row begins in [`indices`](Self::indices), and the end of the last: `rows + 1` entries.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Column of each entry.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Value of each entry.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Columns and values of one row.
    #[inline]
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[i]..self.indptr[i + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Sorts the rows and sums entries of one place, where that is needed.
    fn canonical(mut self) -> Self {
        let ascending = |row: &[u32]| row.windows(2).all(|w| w[0] < w[1]);
        if (0..self.rows).all(|i| ascending(self.row(i).0)) {
            return self;
        }
        let mut indices = Vec::with_capacity(self.indices.len());
        let mut values = Vec::with_capacity(self.values.len());
        let mut entries: Vec<(u32, f32)> = Vec::new();
        let mut indptr = vec![0];
        for i in 0..self.rows {
            let (js, xs) = self.row(i);
            entries.clear();
            entries.extend(js.iter().copied().zip(xs.iter().copied()));
            entries.sort_by_key(|e| e.0);
            let start = indices.len();
            for &(j, x) in &entries {
                match values.last_mut() {
                    Some(last) if indices.len() > start && indices.last() == Some(&j) => *last += x,
                    _ => {
                        indices.push(j);
                        values.push(x);
                    }
                }
            }
            indptr.push(indices.len());
        }
        (self.indptr, self.indices, self.values) = (indptr, indices, values);
        self
    }
}

fn check_parts(
    major: usize,
    minor: usize,
    indptr: &[i64],
    indices: &[i64],
    values: usize,
) -> Result<Vec<usize>, MatrixError> {
    if indices.len() != values {
        return Err(MatrixError::Length { rows: major, cols: minor, found: values });
    }
    if indptr.len() != major + 1 {
        return Err(MatrixError::Pointers { row: indptr.len().min(major + 1) });
    }
    let mut before = 0;
    for (row, &p) in indptr.iter().enumerate() {
        let last = row == major;
        if p < before
            || (row == 0 && p != 0)
            || p as u64 > values as u64
            || (last && p as u64 != values as u64)
        {
            return Err(MatrixError::Pointers { row });
        }
        before = p;
    }
    if let Some(entry) =
        indices.iter().position(|&j| j < 0 || j as u64 >= minor as u64 || j > i64::from(u32::MAX))
    {
        return Err(MatrixError::Index { entry, col: indices[entry], cols: minor });
    }
    Ok(indptr.iter().map(|&p| p as usize).collect())
}

impl Matrix {
    /// Number of rows (cells).
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(m) => m.rows,
            Self::Sparse(m) => m.rows,
        }
    }

    /// Number of columns (genes).
    pub fn cols(&self) -> usize {
        match self {
            Self::Dense(m) => m.cols,
            Self::Sparse(m) => m.cols,
        }
    }

    /// Every entry stored.
    #[must_use]
    pub fn into_dense(self) -> DenseMatrix {
        match self {
            Self::Dense(m) => m,
            Self::Sparse(m) => {
                let mut values = vec![0.0; m.rows * m.cols];
                for i in 0..m.rows {
                    let (js, xs) = m.row(i);
                    for (&j, &x) in js.iter().zip(xs) {
                        values[i * m.cols + j as usize] = x;
                    }
                }
                DenseMatrix { rows: m.rows, cols: m.cols, values }
            }
        }
    }

    /// Calls `f(column, value)` for the stored entries of a row, columns ascending.
    #[inline]
    pub fn for_row(&self, i: usize, mut f: impl FnMut(usize, f32)) {
        match self {
            Self::Dense(m) => m.row(i).iter().enumerate().for_each(|(j, &x)| f(j, x)),
            Self::Sparse(m) => {
                let (js, xs) = m.row(i);
                js.iter().zip(xs).for_each(|(&j, &x)| f(j as usize, x));
            }
        }
    }

    /// A copy of `count` rows from `first` on.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub(crate) fn rows_from(&self, first: usize, count: usize) -> Self {
        let mut out = self.empty(self.cols());
        out.push_rows(self, first, count);
        out
    }

    /// A matrix of the same form without rows.
    pub(crate) fn empty(&self, cols: usize) -> Self {
        match self {
            Self::Dense(_) => Self::Dense(DenseMatrix { cols, ..DenseMatrix::default() }),
            Self::Sparse(_) => Self::Sparse(CsrMatrix { cols, indptr: vec![0], ..CsrMatrix::default() }),
        }
    }

    /// Appends `count` rows of a matrix of the same form and as many columns, from `first` on.
    ///
    /// # Panics
    /// If there are fewer rows, another number of columns or another form.
    pub(crate) fn push_rows(&mut self, from: &Self, first: usize, count: usize) {
        assert_eq!(self.cols(), from.cols(), "rows of one matrix have as many columns");
        match (self, from) {
            (Self::Dense(to), Self::Dense(from)) => {
                to.values.extend_from_slice(&from.values[first * from.cols..(first + count) * from.cols]);
                to.rows += count;
            }
            (Self::Sparse(to), Self::Sparse(from)) => {
                let entries = from.indptr[first]..from.indptr[first + count];
                let (before, start) = (to.indices.len(), from.indptr[first]);
                to.indices.extend_from_slice(&from.indices[entries.clone()]);
                to.values.extend_from_slice(&from.values[entries]);
                to.indptr.extend(from.indptr[first + 1..=first + count].iter().map(|p| p - start + before));
                to.rows += count;
            }
            _ => panic!("rows of one matrix have one form"),
        }
    }

    /// Writes the entries, to be read by [`read_from`](Self::read_from) in this process.
    pub(crate) fn write_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        match self {
            Self::Dense(m) => out.write_all(bytemuck::cast_slice(&m.values)),
            Self::Sparse(m) => {
                out.write_all(bytemuck::cast_slice(&m.indptr))?;
                out.write_all(bytemuck::cast_slice(&m.indices))?;
                out.write_all(bytemuck::cast_slice(&m.values))
            }
        }
    }

    /// Makes this the matrix that [`write_to`](Self::write_to) wrote, of this form and as many columns, with `rows` rows and `entries` entries.
    pub(crate) fn read_from(
        &mut self,
        input: &mut dyn std::io::Read,
        rows: usize,
        entries: usize,
    ) -> std::io::Result<()> {
        match self {
            Self::Dense(m) => {
                m.rows = rows;
                m.values.resize(entries, 0.0);
                input.read_exact(bytemuck::cast_slice_mut(&mut m.values))
            }
            Self::Sparse(m) => {
                m.rows = rows;
                m.indptr.resize(rows + 1, 0);
                m.indices.resize(entries, 0);
                m.values.resize(entries, 0.0);
                input.read_exact(bytemuck::cast_slice_mut(&mut m.indptr))?;
                input.read_exact(bytemuck::cast_slice_mut(&mut m.indices))?;
                input.read_exact(bytemuck::cast_slice_mut(&mut m.values))
            }
        }
    }

    /// How many entries are stored.
    pub(crate) fn entries(&self) -> usize {
        match self {
            Self::Dense(m) => m.values.len(),
            Self::Sparse(m) => m.values.len(),
        }
    }

    /// Bytes of its entries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Dense(m) => 4 * m.values.len(),
            Self::Sparse(m) => 8 * (m.values.len() + m.indptr.len()),
        }
    }

    /// Lets `f(row, values)` change the stored values of every row.
    pub(crate) fn change_rows(&mut self, mut f: impl FnMut(usize, &mut [f32])) {
        match self {
            Self::Dense(m) => {
                for (i, row) in m.values.chunks_exact_mut(m.cols.max(1)).enumerate() {
                    f(i, row);
                }
            }
            Self::Sparse(m) => {
                for i in 0..m.rows {
                    f(i, &mut m.values[m.indptr[i]..m.indptr[i + 1]]);
                }
            }
        }
    }

    /// Replaces every stored value by `f(column, value)`.
    pub(crate) fn change_entries(&mut self, f: impl Fn(usize, f32) -> f32) {
        match self {
            Self::Dense(m) => {
                for row in m.values.chunks_exact_mut(m.cols.max(1)) {
                    for (j, v) in row.iter_mut().enumerate() {
                        *v = f(j, *v);
                    }
                }
            }
            Self::Sparse(m) => {
                for (v, &j) in m.values.iter_mut().zip(&m.indices) {
                    *v = f(j as usize, *v);
                }
            }
        }
    }

    /// The stored values, to change in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Dense(m) => &mut m.values,
            Self::Sparse(m) => &mut m.values,
        }
    }

    /// The columns named, in that order; a column may be named once.
    #[must_use]
    pub fn select_columns(&self, columns: &[usize]) -> Self {
        match self {
            Self::Dense(m) => {
                let values = (0..m.rows)
                    .flat_map(|i| {
                        let row = m.row(i);
                        columns.iter().map(move |&j| row[j])
                    })
                    .collect();
                Self::Dense(DenseMatrix { rows: m.rows, cols: columns.len(), values })
            }
            Self::Sparse(m) => {
                let mut place = vec![u32::MAX; m.cols];
                for (new, &old) in columns.iter().enumerate() {
                    place[old] = new as u32;
                }
                let mut out = CsrMatrix {
                    rows: m.rows,
                    cols: columns.len(),
                    indptr: vec![0],
                    indices: Vec::new(),
                    values: Vec::new(),
                };
                for i in 0..m.rows {
                    let (js, xs) = m.row(i);
                    for (&j, &x) in js.iter().zip(xs) {
                        if place[j as usize] != u32::MAX {
                            out.indices.push(place[j as usize]);
                            out.values.push(x);
                        }
                    }
                    out.indptr.push(out.indices.len());
                }
                Self::Sparse(out.canonical())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn contradictions_are_refused() {
        assert!(DenseMatrix::new(2, 2, vec![0.0; 3]).is_err());
        let csr = |p: &[i64], i: &[i64], n| CsrMatrix::new(2, 3, p, i, vec![1.0; n]);
        assert!(csr(&[0, 1, 2], &[0, 2], 2).is_ok());
        assert_eq!(csr(&[0, 1], &[0], 1), Err(MatrixError::Pointers { row: 2 }));
        assert_eq!(csr(&[0, 2, 1], &[0], 1), Err(MatrixError::Pointers { row: 1 }));
        assert_eq!(csr(&[1, 1, 1], &[0], 1), Err(MatrixError::Pointers { row: 0 }));
        assert_eq!(csr(&[0, 1, 1], &[0, 1], 2), Err(MatrixError::Pointers { row: 2 }));
        assert_eq!(csr(&[0, 1, 2], &[0, 3], 2), Err(MatrixError::Index { entry: 1, col: 3, cols: 3 }));
        assert_eq!(csr(&[0, 1, 2], &[-1, 0], 2), Err(MatrixError::Index { entry: 0, col: -1, cols: 3 }));
    }

    #[test]
    fn unsorted_rows_with_doubled_entries() {
        let m = CsrMatrix::new(2, 4, &[0, 3, 5], &[2, 0, 2, 3, 1], vec![1.0, 2.0, 4.0, 8.0, 16.0]).unwrap();
        assert_eq!(m.row(0), (&[0, 2][..], &[2.0, 5.0][..]));
        assert_eq!(m.row(1), (&[1, 3][..], &[16.0, 8.0][..]));
    }

    proptest! {
        /// The same entries by rows, by columns and in full are one matrix.
        #[test]
        fn three_forms_are_equal(rows in 1_usize..8, cols in 1_usize..8, seed in prop::collection::vec(prop::option::of(1_i8..100), 64), pick: u8) {
            let dense: Vec<f32> = (0..rows * cols).map(|k| seed[k].map_or(0.0, f32::from)).collect();
            let compress = |major: usize, minor: usize, at: &dyn Fn(usize, usize) -> f32| {
                let (mut p, mut i, mut v) = (vec![0_i64], Vec::new(), Vec::new());
                for a in 0..major {
                    for b in 0..minor {
                        if at(a, b) != 0.0 {
                            i.push(b as i64);
                            v.push(at(a, b));
                        }
                    }
                    p.push(v.len() as i64);
                }
                (p, i, v)
            };
            let (p, i, v) = compress(rows, cols, &|a, b| dense[a * cols + b]);
            let by_rows = CsrMatrix::new(rows, cols, &p, &i, v).unwrap();
            let (p, i, v) = compress(cols, rows, &|a, b| dense[b * cols + a]);
            let by_columns = CsrMatrix::from_columns(rows, cols, &p, &i, &v).unwrap();
            prop_assert_eq!(&by_rows, &by_columns);
            let full = Matrix::Dense(DenseMatrix::new(rows, cols, dense).unwrap());
            let sparse = Matrix::Sparse(by_rows);
            prop_assert_eq!(sparse.clone().into_dense(), full.clone().into_dense());
            // Any columns in any order.
            let chosen: Vec<usize> = (0..cols).rev().filter(|j| pick >> j & 1 == 1).collect();
            prop_assert_eq!(sparse.select_columns(&chosen).into_dense(), full.select_columns(&chosen).into_dense());
        }
    }
}
