//! The k nearest so far.

/// Collects (distance, number) pairs and keeps the k best; of equal distances the smaller number is the better.
///
/// Pairs are gathered without order, beyond k, and cut to the best k now and then: cheaper than to keep them
/// sorted all the time.
#[derive(Debug, Clone)]
pub(super) struct Best {
    k: usize,
    /// Bits of the squared distance above the number: squared distances are not negative, so that their bits
    /// ascend as they do.
    keys: Vec<u64>,
    /// How many of `keys` are in use.
    len: usize,
    worst: f32,
}

impl Best {
    /// Room for `k` pairs; `burst` of them may be offered between two calls of [`settle`](Self::settle).
    pub(super) fn new(k: usize, burst: usize) -> Self {
        Self { k, keys: vec![0; 2 * k + burst], len: 0, worst: f32::INFINITY }
    }

    /// Forgets all pairs.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.worst = f32::INFINITY;
    }

    /// A bound on the squared distance of the k-th pair; what is farther need not be offered.
    #[inline(always)]
    pub(super) fn worst(&self) -> f32 {
        self.worst
    }

    /// Adds a pair if it is `wanted`.
    #[inline(always)]
    pub(super) fn offer(&mut self, sq_dist: f32, index: u32, wanted: bool) {
        // Stored in any case, and overwritten by the next if not wanted: no branch to mispredict.
        self.keys[self.len] = u64::from(sq_dist.to_bits()) << 32 | u64::from(index);
        self.len += usize::from(wanted);
    }

    /// Cuts the pairs to the best k if they fill the room.
    #[inline(always)]
    pub(super) fn settle(&mut self) {
        if self.len >= 2 * self.k {
            self.cut();
        }
    }

    /// Cuts the pairs to the best k, if there are so many, and notes how far the k-th is.
    pub(super) fn cut(&mut self) {
        if self.len < self.k {
            return;
        }
        let (_, last, _) = self.keys[..self.len].select_nth_unstable(self.k - 1);
        self.worst = f32::from_bits((*last >> 32) as u32);
        self.len = self.k;
    }

    /// Writes numbers and distances (roots are taken here), nearest first. At least k pairs were wanted.
    pub(super) fn write(&mut self, indices: &mut [u32], distances: &mut [f32]) {
        if self.len > self.k {
            self.cut();
        }
        debug_assert_eq!(self.len, self.k);
        let keys = &mut self.keys[..self.len];
        keys.sort_unstable();
        for ((key, index), distance) in keys.iter().zip(indices).zip(distances) {
            *index = *key as u32;
            *distance = f32::from_bits((*key >> 32) as u32).sqrt();
        }
    }
}
