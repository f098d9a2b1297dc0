//! Thousands of dots in few bytes: one path per colour, dots as zero-length strokes with round caps.
//!
//! Dots of a colour are sorted into bands and written as short relative moves (about seven bytes each). Colours are
//! drawn in several rounds over shuffled shares of the dots, so that no colour covers the others merely by coming last.

use std::fmt::Write as _;

use chreode_core::philox4x32;

/// Dots are placed on quarters of a drawing unit.
const QUARTERS: f64 = 4.0;
/// Rounds of drawing; more look fairer and cost bytes.
const ROUNDS: usize = 4;

/// A dot: where, in drawing units, and which of the classes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dot {
    pub(crate) at: [f64; 2],
    pub(crate) class: usize,
}

/// Which of `n` points to show when at most `limit` can be: each group keeps its share, small groups keep up to 40.
///
/// `group[i]` is below `groups`. The choice depends on the number of points and their groups alone; the result rises.
pub(crate) fn subsample(group: &[usize], groups: usize, limit: usize) -> Vec<usize> {
    let n = group.len();
    if n <= limit {
        return (0..n).collect();
    }
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups];
    for (i, &g) in group.iter().enumerate() {
        members[g].push(i);
    }
    let mut kept = Vec::with_capacity(limit);
    for list in &mut members {
        let share = (limit as f64 * list.len() as f64 / n as f64) as usize;
        let quota = share.max(40.min(limit / groups.max(1))).min(list.len());
        list.sort_by_key(|&i| (shuffle_key(i), i));
        kept.extend_from_slice(&list[..quota]);
    }
    kept.sort_unstable();
    kept
}

/// The dots as SVG; `classes[k]` is the class attribute of colour `k`. Empty without dots.
pub(crate) fn draw(dots: &[Dot], classes: &[String], radius: f64) -> String {
    if dots.is_empty() {
        return String::new();
    }
    let mut order: Vec<usize> = (0..dots.len()).collect();
    order.sort_by_key(|&i| (shuffle_key(i), i));
    let rounds = if dots.len() < 200 { 1 } else { ROUNDS };
    let width = (2.0 * radius * QUARTERS).round().max(1.0) as i64;
    let mut svg = format!("<g class=\"dots\" transform=\"scale(.25)\" stroke-width=\"{width}\">");
    for share in order.chunks(order.len().div_ceil(rounds)) {
        let mut by_class: Vec<Vec<[i64; 2]>> = vec![Vec::new(); classes.len()];
        for &i in share {
            let [x, y] = dots[i].at.map(|v| (v * QUARTERS).round().clamp(-1e6, 1e6) as i64);
            by_class[dots[i].class].push([x, y]);
        }
        for (class, places) in classes.iter().zip(&mut by_class) {
            if places.is_empty() {
                continue;
            }
            // Bands run left to right, then right to left, so that moves stay short.
            places.sort_unstable_by_key(|&[x, y]| {
                let band = y.div_euclid(16);
                (band, if band % 2 == 0 { x } else { -x }, y)
            });
            places.dedup();
            let _ = write!(svg, "<path class=\"{class}\" d=\"");
            let mut pen = [0, 0];
            for &[x, y] in &*places {
                let (dx, dy) = (x - pen[0], y - pen[1]);
                let _ = write!(svg, "m{dx}{}{dy}h0", if dy < 0 { "" } else { " " });
                pen = [x, y];
            }
            svg.push_str("\"/>");
        }
    }
    svg.push_str("</g>");
    svg
}

/// Radius of a dot that suits `n` dots on a panel of about `side` drawing units.
pub(crate) fn radius(n: usize, side: f64) -> f64 {
    (side / 420.0).sqrt() * (14.0 / (n.max(1) as f64).powf(0.27)).clamp(0.9, 3.4)
}

fn shuffle_key(i: usize) -> u64 {
    let [a, b, ..] = philox4x32([i as u32, ((i as u64) >> 32) as u32, 0, 0], [0x6368_7265, 0x6f64_6521]);
    u64::from(a) << 32 | u64::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn twenty_thousand_dots_stay_small() {
        let dots: Vec<Dot> = (0..20_000)
            .map(|i| {
                let k = shuffle_key(i);
                Dot { at: [(k % 3661) as f64 / 10.0, (k / 7919 % 3661) as f64 / 10.0], class: i % 9 }
            })
            .collect();
        let classes: Vec<String> = (0..9).map(|k| format!("k{k}")).collect();
        let svg = draw(&dots, &classes, 1.0);
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        assert_eq!(svg, draw(&dots, &classes, 1.0));
    }

    proptest! {
        #[test]
        fn subsample_keeps_shares_and_small_groups(sizes in prop::collection::vec(0usize..3000, 1..12), limit in 500usize..2000) {
            let group: Vec<usize> = sizes.iter().enumerate().flat_map(|(g, &n)| std::iter::repeat_n(g, n)).collect();
            let kept = subsample(&group, sizes.len(), limit);
            prop_assert!(kept.windows(2).all(|p| p[0] < p[1]));
            prop_assert!(kept.len() <= limit + 41 * sizes.len());
            for (g, &n) in sizes.iter().enumerate() {
                let k = kept.iter().filter(|&&i| group[i] == g).count();
                prop_assert!(k >= n.min(40), "group {g} of {n} kept {k}");
                if group.len() > limit && n > 200 {
                    let share = limit as f64 * n as f64 / group.len() as f64;
                    prop_assert!((k as f64 - share).abs() <= 41.0);
                }
            }
        }
    }
}
