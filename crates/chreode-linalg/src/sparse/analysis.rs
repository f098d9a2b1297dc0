//! What a sparse LU knows from the pattern alone: the order of elimination, and the dense blocks ("fronts") that it works
//! on. Sources: [DER17] for elimination trees, [ADD96] for the order.

use std::ops::Range;

use chreode_core::Sparsity;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::SymbolicSparseColMatRef;
use faer::sparse::linalg::amd;

use super::matching::transversal;

const NONE: usize = usize::MAX;

/// A front: consecutive pivots that are eliminated together, and the later rows and columns that this changes.
#[derive(Debug)]
pub(super) struct Front {
    /// Its pivots, in elimination order.
    pub pivots: Range<usize>,
    /// Positions of `others` in [`Analysis::others`].
    pub others: Range<usize>,
    /// The front that its contribution goes to.
    pub parent: Option<usize>,
    /// Where its pivot rows `[k, k + r]` begin, and then its pivot columns below the diagonal block, transposed `[k, r]`.
    pub values: usize,
    /// Where its contribution `[r, r]` begins on the stack when all is done.
    pub contribution: usize,
    /// How its others lie in the parent's front; range in [`Analysis::runs`].
    pub runs: Range<usize>,
    /// Its children: the ones whose contributions lie on top of the stack. Range in [`Analysis::children`].
    pub children: Range<usize>,
}

impl Front {
    pub(super) fn k(&self) -> usize {
        self.pivots.len()
    }

    pub(super) fn r(&self) -> usize {
        self.others.len()
    }
}

/// Adjacent others of a front that are adjacent in its parent's front too, pivots there or others there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub from: usize,
    /// Position in the parent's front, pivots first.
    pub to: usize,
    pub len: usize,
}

/// The analysis of one pattern.
#[derive(Debug)]
pub(super) struct Analysis {
    pub n: usize,
    /// Row of every value, in the pattern's order.
    pub rows: Vec<usize>,
    /// The row and the column at each position of the elimination order.
    pub row_at: Vec<usize>,
    pub column_at: Vec<usize>,
    /// Fronts in postorder.
    pub fronts: Vec<Front>,
    /// Later positions of all fronts, ascending within one.
    pub others: Vec<usize>,
    pub runs: Vec<Run>,
    pub children: Vec<usize>,
    /// Where each value of the pattern goes in the fronts' values.
    pub places: Vec<usize>,
    /// Length of all fronts' values.
    pub n_values: usize,
    /// Length of the stack of contributions.
    pub stack: usize,
    /// Largest numbers of pivots and of others.
    pub most_pivots: usize,
    pub most_others: usize,
    /// A column without a row of its own: every matrix of the pattern is singular.
    pub singular: Option<usize>,
    /// Multiplications of a real factorisation.
    pub multiplications: f64,
}

impl Analysis {
    /// With a diagonal by structure alone.
    pub(super) fn new(pattern: &Sparsity) -> Self {
        match transversal(pattern) {
            Ok(rows) => Self::with_diagonal(pattern, &rows, &[]),
            Err(column) => {
                let rows: Vec<usize> = (0..pattern.n_cols()).collect();
                Self { singular: Some(column), ..Self::with_diagonal(pattern, &rows, &[]) }
            }
        }
    }

    /// With this row on the diagonal of each column, and with these columns in one front after all others, where pivots
    /// are chosen from all their rows.
    pub(super) fn with_diagonal(pattern: &Sparsity, row_of: &[usize], last: &[usize]) -> Self {
        let n = pattern.n_cols();
        let mut column_of = vec![0; n];
        for (j, &i) in row_of.iter().enumerate() {
            column_of[i] = j;
        }
        // The graph of B + Bᵀ without its diagonal, where B has the chosen rows on its diagonal.
        let pairs = (0..n).flat_map(|j| pattern.column(j).iter().map(move |&i| (i, j)));
        let both = pairs.map(|(i, j)| (column_of[i], j)).filter(|(a, b)| a != b);
        let both: Vec<(usize, usize)> = both.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        // Entries come from the pattern, whose rows and columns are below n.
        let graph = |entries: Vec<(usize, usize)>| {
            Sparsity::new(n, n, entries).unwrap_or_else(|_| Sparsity::banded(n, 0, 0))
        };
        let (order, both) = if last.is_empty() {
            let both = graph(both);
            (minimum_degree(&both), both)
        } else {
            let mut is_last = vec![false; n];
            last.iter().for_each(|&j| is_last[j] = true);
            let others = both.iter().copied().filter(|&(a, b)| !(is_last[a] || is_last[b]));
            let mut order = minimum_degree(&graph(others.collect()));
            order.retain(|&j| !is_last[j]);
            order.extend(last);
            let all = last.iter().flat_map(|&a| last.iter().map(move |&b| (a, b))).filter(|(a, b)| a != b);
            (order, graph(both.into_iter().chain(all).collect()))
        };
        let (order, parents, structures) = eliminate(&both, &order, last.len());
        let mut position = vec![0; n];
        for (k, &v) in order.iter().enumerate() {
            position[v] = k;
        }
        let mut analysis = Self {
            n,
            rows: pattern.row_indices().to_vec(),
            row_at: order.iter().map(|&v| row_of[v]).collect(),
            column_at: order,
            fronts: Vec::new(),
            others: Vec::new(),
            runs: Vec::new(),
            children: Vec::new(),
            places: Vec::new(),
            n_values: 0,
            stack: 0,
            most_pivots: 0,
            most_others: 0,
            singular: None,
            multiplications: 0.0,
        };
        let front_of = analysis.make_fronts(&parents, structures, last.len());
        analysis.link(&front_of);
        analysis.place(pattern, &column_of, &position, &front_of);
        analysis
    }

    /// The row on the diagonal of each column.
    pub(super) fn diagonal(&self) -> Vec<usize> {
        let mut rows = vec![0; self.n];
        self.column_at.iter().zip(&self.row_at).for_each(|(&j, &i)| rows[j] = i);
        rows
    }

    /// Cuts the columns into fronts: those of equal structure, small ones merged at the cost of few zeros, and the `last` ones in any
    /// case. Returns the front of each pivot.
    fn make_fronts(&mut self, parents: &[usize], mut structures: Vec<Vec<usize>>, last: usize) -> Vec<usize> {
        // (first pivot, zeros stored); the structure of a front is that of its last pivot.
        let mut open: Vec<(usize, f64)> = Vec::new();
        let (n, from) = (self.n, self.n - last);
        for j in 0..n {
            let (mut first, mut zeros) = (j, 0.0);
            // Pivots join only with the child before them, whose structure they contain.
            while let Some(&(child, child_zeros)) = open.last() {
                let below = first - 1;
                if parents[below] < first || parents[below] > j {
                    break;
                }
                let r = structures[j].len();
                let size = |k: usize, r: usize| (k * (k + 2 * r)) as f64;
                let (k, k_child) = (j + 1 - first, first - child);
                let all = size(k + k_child, r);
                let merged =
                    all - (size(k, r) - zeros) - (size(k_child, structures[below].len()) - child_zeros);
                let share = merged / all;
                let pivots = k + k_child;
                let worth = merged == 0.0
                    || below >= from
                    || pivots <= 4 && share < 0.8
                    || pivots <= 16 && share < 0.3
                    || pivots <= 48 && share < 0.1
                    || share < 0.05;
                if !worth {
                    break;
                }
                open.pop();
                structures[below] = Vec::new();
                (first, zeros) = (child, merged);
            }
            open.push((first, zeros));
        }
        let mut front_of = vec![0; n];
        for (s, &(first, _)) in open.iter().enumerate() {
            let end = open.get(s + 1).map_or(n, |next| next.0);
            front_of[first..end].fill(s);
            let begin = self.others.len();
            self.others.append(&mut structures[end - 1]);
            let (k, r) = (end - first, self.others.len() - begin);
            let (kf, rf) = (k as f64, r as f64);
            self.multiplications += kf * kf * kf / 3.0 + kf * kf * rf + kf * rf * rf;
            self.fronts.push(Front {
                pivots: first..end,
                others: begin..self.others.len(),
                parent: None,
                values: self.n_values,
                contribution: 0,
                runs: 0..0,
                children: 0..0,
            });
            self.n_values += k * (k + 2 * r);
            self.most_pivots = self.most_pivots.max(k);
            self.most_others = self.most_others.max(r);
        }
        front_of
    }

    /// Parents, children, positions in parents, and the plan of the stack.
    fn link(&mut self, front_of: &[usize]) {
        let count = self.fronts.len();
        let mut waiting: Vec<usize> = Vec::new();
        let mut top = 0;
        for s in 0..count {
            let others = self.fronts[s].others.clone();
            if let Some(&first) = self.others.get(others.start).filter(|_| !others.is_empty()) {
                let parent = &self.fronts[front_of[first]];
                let (pivots, k) = (parent.pivots.clone(), parent.k());
                let theirs = &self.others[parent.others.clone()];
                let mut at = 0;
                let begin = self.runs.len();
                for (from, &v) in self.others[others.clone()].iter().enumerate() {
                    let to = if pivots.contains(&v) {
                        v - pivots.start
                    } else {
                        while theirs[at] < v {
                            at += 1;
                        }
                        k + at
                    };
                    match self.runs[begin..].last_mut() {
                        Some(run) if run.to + run.len == to && to != k => run.len += 1,
                        _ => self.runs.push(Run { from, to, len: 1 }),
                    }
                }
                self.fronts[s].runs = begin..self.runs.len();
                self.fronts[s].parent = Some(front_of[first]);
            }
            // In a postorder the children of a front are the last ones that still wait.
            let begin = self.children.len();
            let from = waiting.iter().rposition(|&c| self.fronts[c].parent != Some(s)).map_or(0, |i| i + 1);
            self.children.extend(waiting.drain(from..));
            self.fronts[s].children = begin..self.children.len();
            let base = self.children.get(begin).map_or(top, |&c| self.fronts[c].contribution);
            let size = self.fronts[s].r().pow(2);
            self.stack = self.stack.max(top + size);
            self.fronts[s].contribution = base;
            top = base + size;
            if self.fronts[s].parent.is_some() {
                waiting.push(s);
            }
        }
    }

    /// Where each value goes.
    fn place(&mut self, pattern: &Sparsity, column_of: &[usize], position: &[usize], front_of: &[usize]) {
        for j in 0..self.n {
            for &i in pattern.column(j) {
                let (a, b) = (position[column_of[i]], position[j]);
                let front = &self.fronts[front_of[a.min(b)]];
                let (first, k, r) = (front.pivots.start, front.k(), front.r());
                // The structure of a front contains all entries of its pivots.
                let of = |v: usize| {
                    if v < front.pivots.end {
                        v - first
                    } else {
                        k + self.others[front.others.clone()].partition_point(|&o| o < v)
                    }
                };
                let (a, b) = (of(a), of(b));
                self.places
                    .push(front.values + if a < k { a * (k + r) + b } else { k * (k + r) + b * r + a - k });
            }
        }
    }
}

/// A fill-reducing order: approximate minimum degree.
fn minimum_degree(graph: &Sparsity) -> Vec<usize> {
    let n = graph.n_cols();
    let (mut order, mut inverse) = (vec![0; n], vec![0; n]);
    let memory = amd::order_scratch::<usize>(n, graph.len());
    let mut memory = MemBuffer::new(memory);
    let columns = SymbolicSparseColMatRef::new_checked(n, n, graph.col_starts(), None, graph.row_indices());
    let stack = MemStack::new(&mut memory);
    match amd::order(&mut order, &mut inverse, columns, amd::Control::default(), stack) {
        Ok(_) => order,
        Err(_) => (0..n).collect(), // any order is a right one
    }
}

/// The elimination tree of this order, the order made a postorder of it (largest child last, but the `last` positions stay so), the
/// parent of each position ([`NONE`] for a root), and the positions after it in which each column of L has entries, ascending.
fn eliminate(graph: &Sparsity, order: &[usize], last: usize) -> (Vec<usize>, Vec<usize>, Vec<Vec<usize>>) {
    let n = order.len();
    let tree = elimination_tree(graph, order);
    let order: Vec<usize> = postorder(&tree, last).into_iter().map(|k| order[k]).collect();
    let mut parents = elimination_tree(graph, &order);
    let mut position = vec![0; n];
    for (k, &v) in order.iter().enumerate() {
        position[v] = k;
    }
    let mut structures: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut seen = vec![NONE; n];
    for k in 0..n {
        let mut rows = Vec::new();
        seen[k] = k;
        let mut add = |v: usize| {
            if v > k && seen[v] != k {
                seen[v] = k;
                rows.push(v);
            }
        };
        graph.column(order[k]).iter().for_each(|&v| add(position[v]));
        for &child in &children[k] {
            structures[child].iter().for_each(|&v| add(v));
        }
        rows.sort_unstable();
        parents[k] = rows.first().copied().unwrap_or(NONE);
        if let Some(&parent) = rows.first() {
            children[parent].push(k);
        }
        structures[k] = rows;
    }
    (order, parents, structures)
}

/// The parent of each position in the elimination tree, by Liu's algorithm with path compression.
fn elimination_tree(graph: &Sparsity, order: &[usize]) -> Vec<usize> {
    let n = order.len();
    let mut position = vec![0; n];
    for (k, &v) in order.iter().enumerate() {
        position[v] = k;
    }
    let (mut parents, mut ancestors) = (vec![NONE; n], vec![NONE; n]);
    for k in 0..n {
        for &v in graph.column(order[k]) {
            let mut i = position[v];
            while i < k {
                let next = ancestors[i];
                ancestors[i] = k;
                if next == NONE {
                    parents[i] = k;
                    break;
                }
                i = next;
            }
        }
    }
    parents
}

/// Positions in an order in which every child comes just before its parent's other children and the parent; the child with
/// the largest subtree is the last one. The `last` positions, each the parent of the one before it, stay where they are.
fn postorder(parents: &[usize], last: usize) -> Vec<usize> {
    let n = parents.len();
    let mut sizes = vec![1_usize; n];
    sizes[n - last..].fill(n);
    for k in 0..n {
        if parents[k] != NONE {
            sizes[parents[k]] += sizes[k];
        }
    }
    let mut by_size: Vec<usize> = (0..n).collect();
    by_size.sort_by_key(|&k| sizes[k]);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut roots = Vec::new();
    for k in by_size {
        if parents[k] == NONE { roots.push(k) } else { children[parents[k]].push(k) }
    }
    // Parents first and children from the last to the first, then all reversed.
    let (mut out, mut stack) = (Vec::with_capacity(n), roots);
    while let Some(k) = stack.pop() {
        out.push(k);
        stack.append(&mut children[k]);
    }
    out.reverse();
    out
}
