//! Sums over the pairs of two clouds of points; no matrix of pairs is kept.
//!
//! References: [SR13] Székely & Rizzo (2013), J. Stat. Plan. Inference 143, 1249-1272; [FSVATP19] Feydy et al. (2019), AISTATS, PMLR 89,
//! 2681-2690.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::{at_most, check_len, int};
use crate::kernels::{
    self, CLOUD_COLUMNS, CLOUD_ROWS, MAX_NEIGHBOURS, NEIGHBOUR_COLUMNS, NEIGHBOUR_ROWS, NEIGHBOUR_STAGE,
    THREADS, TRANSPORT_COLUMNS, TRANSPORT_ROWS,
};

/// Floats of shared memory of the search for neighbours: lists and squares.
const NEIGHBOUR_SHARED: usize = NEIGHBOUR_ROWS * (2 * 32 + NEIGHBOUR_COLUMNS);
// Coordinates, NEIGHBOUR_STAGE of each point, are fewer than the squares that take their place.
const _: () = assert!(
    NEIGHBOUR_STAGE * (NEIGHBOUR_ROWS + 4 + NEIGHBOUR_COLUMNS + 4) <= NEIGHBOUR_ROWS * NEIGHBOUR_COLUMNS
);

const FLOAT: usize = size_of::<f32>();

/// The cells from which the points of two clouds stem: pairs of one cell are left out.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    /// Of the first cloud, `[n]`.
    pub x: &'a Buffer<u32>,
    /// Of the second cloud, `[m]`.
    pub y: &'a Buffer<u32>,
}

/// What moving one unit of mass costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportCost {
    /// `|x - y|² / 2`.
    HalfSquare,
    /// `|x - y|`, smooth at zero.
    Distance,
}

/// Numbers of points, the blocks that own the first cloud's, and the shared memory of a block.
struct Pairs {
    d: i32,
    n: i32,
    m: i32,
    grid: Grid,
}

impl Pairs {
    /// `tiles` of pairs and `pulls` of `d` floats a row, beside the points.
    fn new(
        stream: &Stream,
        d: usize,
        x: &Buffer<f32>,
        y: &Buffer<f32>,
        tiles: usize,
        pulls: usize,
    ) -> Result<Self, CudaError> {
        Self::tiled(stream, d, [x, y], d + 1, CLOUD_ROWS, CLOUD_COLUMNS, tiles, pulls)
    }

    /// The same for transport.
    fn transport(
        stream: &Stream,
        d: usize,
        clouds: [&Buffer<f32>; 2],
        tiles: usize,
        pulls: usize,
    ) -> Result<Self, CudaError> {
        Self::tiled(stream, d, clouds, d | 1, TRANSPORT_ROWS, TRANSPORT_COLUMNS, tiles, pulls)
    }

    /// With points of `stride` floats in tiles of `rows` by `columns`.
    fn tiled(
        stream: &Stream,
        d: usize,
        [x, y]: [&Buffer<f32>; 2],
        stride: usize,
        rows: usize,
        columns: usize,
        tiles: usize,
        pulls: usize,
    ) -> Result<Self, CudaError> {
        let (n, m) = (x.len() / d.max(1), y.len() / d.max(1));
        check_len("points of the first cloud", x.len(), n * d)?;
        check_len("points of the second cloud", y.len(), m * d)?;
        let floats = stream.device().info().shared_memory / FLOAT;
        let pairs = tiles * rows * (columns + 1);
        // The stride is longer than `d` by one at most.
        let room = floats.saturating_sub(pairs + rows + columns) / (rows + columns + pulls * rows);
        at_most("coordinates of a point", d, room)?;
        let blocks = int("points", n)? as u32;
        Ok(Self {
            d: int("coordinates", d)?,
            n: blocks as i32,
            m: int("points", m)?,
            grid: Grid {
                blocks: (blocks.div_ceil(rows as u32).max(1), 1),
                shared: FLOAT * (pairs + (rows + columns) * stride + pulls * rows * d),
            },
        })
    }
}

/// For each point of `x`, `[n, d]`: `sums_i = Σ_j w_j |x_i - y_j|`, `[n]`, and, if it is wanted,
/// `pull_i = Σ_j w_j (x_i - y_j) / |x_i - y_j|`, `[n, d]`.
///
/// Distances are `sqrt(r² + δ²) - δ` with `δ = 1e-6`; equal points pull nowhere. From these sums an energy distance is made [SR13].
///
/// # Errors
/// [`CudaError::Shape`], [`CudaError::OtherStream`], [`CudaError::TooLarge`] for points of too many coordinates; the launch's.
pub fn energy_rows(
    d: usize,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    w: &Buffer<f32>,
    cells: Option<Cells<'_>>,
    sums: &mut Buffer<f32>,
    pull: Option<&mut Buffer<f32>>,
) -> Result<(), CudaError> {
    let stream = sums.stream().clone();
    let pairs = Pairs::new(&stream, d, x, y, 2, 1)?;
    check_len("weights", w.len(), pairs.m as usize)?;
    check_len("sums", sums.len(), pairs.n as usize)?;
    if let Some(cells) = cells {
        check_len("cells of the first cloud", cells.x.len(), pairs.n as usize)?;
        check_len("cells of the second cloud", cells.y.len(), pairs.m as usize)?;
    }
    let (no_cells, mut no_pull) = (stream.zeros(0)?, stream.zeros(0)?);
    let (x_cells, y_cells) = cells.map_or((&no_cells, &no_cells), |c| (c.x, c.y));
    let (with_pull, by_cell) = (i32::from(pull.is_some()), i32::from(cells.is_some()));
    if let Some(pull) = &pull {
        check_len("pulls", pull.len(), x.len())?;
    }
    let pull = pull.unwrap_or(&mut no_pull);
    let Pairs { d, n, m, grid } = pairs;
    if n == 0 {
        return Ok(());
    }
    // SAFETY: all lengths are checked above; pulls and cells are not touched where they are not given.
    unsafe {
        kernels::energy_rows(
            &stream, grid, d, n, m, with_pull, by_cell, x, y, w, x_cells, y_cells, sums, pull,
        )
    }
}

/// `out_i = -ε ln Σ_j exp((h_j - C(x_i, y_j)) / ε)`, `[n]`: the update of a potential in the log domain, where `h_j` is the other
/// potential with `ε ln(weight)` added ([`weighted_potential`]). With `average`, the mean of that and what `out` was.
///
/// # Errors
/// As [`energy_rows`]; [`CudaError::Shape`] if the second cloud is empty.
pub fn softmin_rows(
    cost: TransportCost,
    d: usize,
    epsilon: f32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    h: &Buffer<f32>,
    average: bool,
    out: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    let stream = out.stream().clone();
    let Pairs { d, n, m, grid } = Pairs::transport(&stream, d, [x, y], 0, 0)?;
    check_len("weighted potentials", h.len(), m as usize)?;
    check_len("potentials", out.len(), n as usize)?;
    if m == 0 {
        return Err(CudaError::Shape { what: "points of the second cloud (at least)", expected: 1, got: 0 });
    }
    if n == 0 {
        return Ok(());
    }
    // SAFETY: all lengths are checked above.
    unsafe {
        kernels::softmin_rows(&stream, grid, cost as i32, d, n, m, i32::from(average), epsilon, x, y, h, out)
    }
}

/// With the plan `π_ij = exp((f_i + h_j - C(x_i, y_j)) / ε)`, `h_j` as in [`softmin_rows`]: `mass_i = Σ_j π_ij`, `[n]`, and, if it is
/// wanted, `pull_i = Σ_j π_ij ∂C/∂x_i`, `[n, d]`.
///
/// # Errors
/// As [`energy_rows`].
pub fn transport_rows(
    cost: TransportCost,
    d: usize,
    epsilon: f32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    f: &Buffer<f32>,
    h: &Buffer<f32>,
    mass: &mut Buffer<f32>,
    pull: Option<&mut Buffer<f32>>,
) -> Result<(), CudaError> {
    let stream = mass.stream().clone();
    let Pairs { d, n, m, grid } = Pairs::transport(&stream, d, [x, y], 1, 1)?;
    check_len("potentials", f.len(), n as usize)?;
    check_len("weighted potentials", h.len(), m as usize)?;
    check_len("masses", mass.len(), n as usize)?;
    if let Some(pull) = &pull {
        check_len("pulls", pull.len(), x.len())?;
    }
    let with_pull = i32::from(pull.is_some());
    let mut no_pull = stream.zeros(0)?;
    let pull = pull.unwrap_or(&mut no_pull);
    if n == 0 {
        return Ok(());
    }
    // SAFETY: all lengths are checked above; pulls are not touched where they are not given.
    unsafe {
        kernels::transport_rows(
            &stream,
            grid,
            cost as i32,
            d,
            n,
            m,
            with_pull,
            epsilon,
            x,
            y,
            f,
            h,
            mass,
            pull,
        )
    }
}

/// `h = potential + ε ln(weight)`; where a weight is zero, a number that takes no part.
///
/// # Errors
/// [`CudaError::Shape`], [`CudaError::OtherStream`]; the launch's.
pub fn weighted_potential(
    epsilon: f32,
    potential: &Buffer<f32>,
    weight: &Buffer<f32>,
    h: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    check_len("potentials", potential.len(), h.len())?;
    check_len("weights", weight.len(), h.len())?;
    let (stream, grid, n) = (h.stream().clone(), Grid::per_item(h.len()), int("points", h.len())?);
    // SAFETY: all are as long as `h`.
    unsafe { kernels::weighted_potential(&stream, grid, n, epsilon, potential, weight, h) }
}

/// The `k` nearest of `points`, `[m, d]`, to each query, `[n, d]`: numbers and distances, `[n, k]`, nearest first; of equal distances
/// the smaller number is the nearer. With `skip_own`, without the point that has the query's number. Points or queries that are not
/// finite, or so far that the square overflows, are near to nothing: where fewer than `k` are left, the number is `u32::MAX` and the
/// distance infinite.
///
/// # Errors
/// [`CudaError::Shape`], [`CudaError::OtherStream`]; [`CudaError::TooLarge`] for more neighbours than 32, or than there are points;
/// [`CudaError::OutOfMemory`] for the lists that are merged; the launch's.
pub fn nearest(
    d: usize,
    k: usize,
    skip_own: bool,
    queries: &Buffer<f32>,
    points: &Buffer<f32>,
    indices: &mut Buffer<u32>,
    distances: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    let stream = indices.stream().clone();
    let (n, m) = (queries.len() / d.max(1), points.len() / d.max(1));
    check_len("coordinates of the queries", queries.len(), n * d)?;
    check_len("coordinates of the points", points.len(), m * d)?;
    at_most("neighbours", k, MAX_NEIGHBOURS.min(m.saturating_sub(usize::from(skip_own))))?;
    check_len("numbers of neighbours", indices.len(), n * k)?;
    check_len("distances of neighbours", distances.len(), n * k)?;
    let (d_int, n_int, m_int) = (int("coordinates", d)?, int("queries", n)?, int("points", m)?);
    if n == 0 || k == 0 {
        return Ok(());
    }
    let (splits, per_split) = splits(n, m, stream.device().info().multiprocessors);
    let mut split_indices = stream.zeros(splits * n * k)?;
    let mut split_squares = stream.zeros(splits * n * k)?;
    let tiles =
        Grid { blocks: (n.div_ceil(NEIGHBOUR_ROWS) as u32, splits as u32), shared: FLOAT * NEIGHBOUR_SHARED };
    let warps = Grid { blocks: (n.div_ceil(THREADS / 32) as u32, 1), shared: 0 };
    // SAFETY: all lengths are checked above; those of the splits are [splits, n, k], as they were made.
    unsafe {
        kernels::nearest_of_split(
            &stream,
            tiles,
            d_int,
            n_int,
            m_int,
            k as i32,
            i32::from(skip_own),
            per_split as i32,
            queries,
            points,
            &mut split_indices,
            &mut split_squares,
        )?;
        kernels::merge_nearest(
            &stream,
            warps,
            n_int,
            k as i32,
            splits as i32,
            &split_indices,
            &split_squares,
            indices,
            distances,
        )
    }
}

/// In how many parts the points of a search are gone through beside each other, and points of each but the last: blocks enough to
/// keep the device busy to the end, but no list of neighbours for less than a tile. At least one point is there.
fn splits(n: usize, m: usize, multiprocessors: usize) -> (usize, usize) {
    /// Of a multiprocessor: three at a time, and some waves of them.
    const BLOCKS: usize = 8;
    /// More make the merge longer than the search.
    const MOST: usize = 32;
    let tiles = m.div_ceil(NEIGHBOUR_COLUMNS);
    let wanted = (BLOCKS * multiprocessors).div_ceil(n.div_ceil(NEIGHBOUR_ROWS)).min(MOST);
    let per_split = tiles.div_ceil(wanted.clamp(1, tiles));
    (tiles.div_ceil(per_split), per_split * NEIGHBOUR_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_split_to_keep_the_device_busy() {
        for (n, m, multiprocessors) in
            [(1, 1, 1), (10_000, 100_000, 132), (7, 129, 132), (1_000_000, 500, 132), (65, 4097, 2)]
        {
            let (splits, per_split) = splits(n, m, multiprocessors);
            assert!(
                splits * per_split >= m && (splits - 1) * per_split < m,
                "{n} {m}: {splits} of {per_split}"
            );
            assert_eq!(per_split % NEIGHBOUR_COLUMNS, 0);
            assert!(splits <= 32);
        }
        assert_eq!(splits(10_000, 100_000, 132), (7, 112 * NEIGHBOUR_COLUMNS));
        assert_eq!(splits(1_000_000, 100_000, 132).0, 1);
        assert_eq!(splits(7, 129, 132).0, 2);
    }
}
