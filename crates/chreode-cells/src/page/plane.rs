//! Two coordinates of a state, as the figures take them.

/// Two coordinates of states `[n, d]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane<'a> {
    d: usize,
    axes: [usize; 2],
    /// Names of the two coordinates.
    pub(super) names: [&'a str; 2],
}

impl<'a> Plane<'a> {
    /// The plane of coordinates `axes` of `d`, both below `d`.
    pub(super) fn new(d: usize, axes: [usize; 2], names: [&'a str; 2]) -> Self {
        Self { d, axes, names }
    }

    /// The two coordinates of every row.
    pub(super) fn points(&self, states: &[f32]) -> Vec<[f64; 2]> {
        states.chunks_exact(self.d).map(|row| self.axes.map(|a| f64::from(row[a]))).collect()
    }
}

/// Coordinate `k` of every row of `[n, d]`.
pub(super) fn column(states: &[f32], d: usize, k: usize) -> Vec<f64> {
    states.chunks_exact(d).map(|row| f64::from(row[k])).collect()
}

/// The time as it stands in the data: "2", "0.5".
pub(super) fn time_text(t: f64) -> String {
    t.to_string()
}
