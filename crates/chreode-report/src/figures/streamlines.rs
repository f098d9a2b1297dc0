//! A vector field as evenly spaced streamlines with arrowheads, over a faint scatter of cells: the drift's picture.
//!
//! Placement after Jobard & Lefer (1997), "Creating evenly-spaced streamlines of arbitrary density": new lines start
//! beside old ones, and end where they would come too near to another. Integration by the midpoint rule in drawing
//! units, so that the spacing is even on the page. Line width tells the speed.

use std::fmt::Write as _;

use crate::figures::cloud::{self, Dot};
use crate::figures::legend;
use crate::figures::scatter::{ColourBy, PANEL, choose, paint, panel};
use crate::figures::{Figure, ShapeError, left_out};
use crate::format::number;
use crate::frame::Frame;
use crate::grid::VectorGrid;
use crate::svg::coordinate;

/// Least distance of a new line from the others, in drawing units.
const APART: f64 = 12.5;
/// Distance at which a growing line stops.
const STOP: f64 = 5.5;
/// Step of the integration.
const STEP: f64 = 1.5;
/// Shortest line that is drawn, and the longest.
const SHORTEST: f64 = 24.0;
const LONGEST: f64 = 330.0;
/// Classes of speed.
const SPEEDS: usize = 5;

/// Streamlines of a field on a lattice.
#[derive(Debug, Clone)]
pub struct Streamlines<'a> {
    field: &'a VectorGrid,
    cells: &'a [[f64; 2]],
    colour: ColourBy<'a>,
    unit: String,
    labels: [String; 2],
    fastest: f64,
}

impl<'a> Streamlines<'a> {
    /// Streamlines of `field` over `cells` (may be empty).
    pub fn new(field: &'a VectorGrid, cells: &'a [[f64; 2]]) -> Self {
        let (unit, labels) = (String::new(), [String::new(), String::new()]);
        Self { field, cells, colour: ColourBy::Nothing, unit, labels, fastest: field.fastest() }
    }

    /// Colours of the cells; grey without.
    #[must_use]
    pub fn colour(mut self, colour: ColourBy<'a>) -> Self {
        self.colour = colour;
        self
    }

    /// The speed of the widest lines, the same for fields that are to be compared; without it, the field's own
    /// [`fastest`](VectorGrid::fastest).
    #[must_use]
    pub fn widest_at(mut self, speed: f64) -> Self {
        self.fastest = speed;
        self
    }

    /// Unit of the speed, for the legend.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Titles of the axes.
    #[must_use]
    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.labels = [x.into(), y.into()];
        self
    }

    /// Draws it.
    ///
    /// # Errors
    /// [`ShapeError`] when the colours are not as many as the cells.
    pub fn draw(&self) -> Result<Figure, ShapeError> {
        let mut paint = paint(&self.colour, self.cells)?;
        if self.colour == ColourBy::Nothing {
            paint.classes = vec!["faint".to_string()];
        }
        let l = self.field.lattice;
        if l.nx < 2 || l.ny < 2 {
            return Ok(Figure::empty(vec!["The lattice has fewer than two nodes on a side.".to_string()]));
        }
        let far = l.node(l.nx - 1, l.ny - 1);
        let name = "Streamlines of the drift over the cells";
        let (mut svg, frame) = panel([(l.x0, far[0]), (l.y0, far[1])], &self.labels, name, false);

        let (shown, missing) = choose(self.cells, &paint, 8000);
        let inside = |p: [f64; 2]| p[0] >= l.x0 && p[0] <= far[0] && p[1] >= l.y0 && p[1] <= far[1];
        let dots: Vec<Dot> = shown
            .iter()
            .filter(|&&i| inside(self.cells[i]))
            .filter_map(|&i| Some(Dot { at: frame.at(self.cells[i]), class: paint.of[i]? }))
            .collect();
        svg.raw("<g class=\"behind\">");
        svg.raw(&cloud::draw(&dots, &paint.classes, cloud::radius(dots.len(), PANEL)));
        svg.raw("</g>");

        let flow = Flow { field: self.field, frame: &frame, fastest: self.fastest };
        let lines = flow.lines();
        if lines.is_empty() {
            return Ok(Figure::empty(vec!["The field vanishes or is unknown everywhere.".to_string()]));
        }
        let mut d = vec![String::new(); SPEEDS];
        let mut heads = vec![String::new(); SPEEDS];
        for line in &lines {
            flow.write(line, &mut d, &mut heads);
        }
        svg.raw("<g class=\"stream\">");
        for (k, d) in d.iter().enumerate() {
            svg.path(&format!("w{k}"), d, "");
        }
        for (k, d) in heads.iter().enumerate() {
            svg.path(&format!("head w{k}"), d, "");
        }
        svg.raw("</g>");

        let mut legend = paint.legend;
        legend.push_str(&speed_legend(self.fastest, &self.unit));
        Ok(Figure::square(&svg.finish(), &legend, left_out(missing, "cell")))
    }
}

fn speed_legend(fastest: f64, unit: &str) -> String {
    let ends = [number(fastest / SPEEDS as f64, 2), number(fastest, 2)];
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let entries = [
        legend::Key::new("stroke", "w0", format!("below {}{unit}", ends[0]), ""),
        legend::Key::new("stroke", "w4", format!("near {}{unit}", ends[1]), ""),
    ];
    legend::keys("speed of the drift", &entries)
}

/// The field in drawing units.
struct Flow<'a> {
    field: &'a VectorGrid,
    frame: &'a Frame,
    fastest: f64,
}

/// A streamline: places in drawing units with the speed there in data units.
type Line = Vec<([f64; 2], f64)>;

impl Flow<'_> {
    /// Direction (unit length, drawing units) and speed (data units) at a place; `None` where the field is unknown or still.
    fn at(&self, p: [f64; 2]) -> Option<([f64; 2], f64)> {
        let (sx, sy) = (self.frame.x.slope(), self.frame.y.slope());
        let data = [
            self.frame.x.lo + (p[0] - self.frame.left) / sx,
            self.frame.y.lo + (p[1] - self.frame.y.at(self.frame.y.lo)) / sy,
        ];
        let v = self.field.at(data)?;
        let speed = v[0].hypot(v[1]);
        let (dx, dy) = (v[0] * sx, v[1] * sy);
        let length = dx.hypot(dy);
        (speed > 1e-3 * self.fastest && length > 0.0 && length.is_finite())
            .then(|| ([dx / length, dy / length], speed))
    }

    fn lines(&self) -> Vec<Line> {
        let mut taken = Taken::new(self.frame);
        let mut lines: Vec<Line> = Vec::new();
        let mut next = 0; // lines whose neighbourhood has been searched for seeds
        let mut lattice = self.seeds().into_iter();
        loop {
            if next < lines.len() {
                let beside = beside(&lines[next]);
                next += 1;
                for seed in beside {
                    self.grow(seed, &mut taken, &mut lines);
                }
            } else if let Some(seed) = lattice.next() {
                self.grow(seed, &mut taken, &mut lines);
            } else {
                return lines;
            }
        }
    }

    /// First seeds: from the middle outwards, so that the picture does not depend on a corner.
    fn seeds(&self) -> Vec<[f64; 2]> {
        let f = self.frame;
        let (mx, my) = (0.5 * (f.left + f.right), 0.5 * (f.top + f.bottom));
        let mut seeds = Vec::new();
        let (nx, ny) = (((f.right - f.left) / 9.0) as i32, ((f.bottom - f.top) / 9.0) as i32);
        for j in -ny / 2..=ny / 2 {
            for i in -nx / 2..=nx / 2 {
                seeds.push([mx + 9.0 * f64::from(i), my + 9.0 * f64::from(j)]);
            }
        }
        let from_middle = |p: &[f64; 2]| (p[0] - mx).hypot(p[1] - my);
        seeds.sort_by(|a, b| {
            from_middle(a).total_cmp(&from_middle(b)).then(a[0].total_cmp(&b[0])).then(a[1].total_cmp(&b[1]))
        });
        seeds
    }

    /// Adds the line through `seed` when there is room for one that is long enough.
    fn grow(&self, seed: [f64; 2], taken: &mut Taken, lines: &mut Vec<Line>) {
        if self.at(seed).is_none() || taken.near(seed, APART) {
            return;
        }
        let mut line: Line = self.walk(seed, -1.0, taken, &[]);
        line.reverse();
        if let Some((_, speed)) = self.at(seed) {
            line.push((seed, speed));
        }
        let forward = self.walk(seed, 1.0, taken, &line);
        line.extend(forward);
        if line.len() as f64 * STEP >= SHORTEST {
            for &(p, _) in &line {
                taken.add(p);
            }
            lines.push(line);
        }
    }

    fn walk(&self, seed: [f64; 2], sign: f64, taken: &Taken, behind: &[([f64; 2], f64)]) -> Line {
        let mut line: Line = Vec::new();
        let mut p = seed;
        while (line.len() as f64) * STEP < 0.5 * LONGEST {
            let Some((v, _)) = self.at(p) else { break };
            let half = [p[0] + 0.5 * sign * STEP * v[0], p[1] + 0.5 * sign * STEP * v[1]];
            let Some((v, _)) = self.at(half) else { break };
            let to = [p[0] + sign * STEP * v[0], p[1] + sign * STEP * v[1]];
            let Some((_, speed)) = self.at(to) else { break };
            if taken.near(to, STOP) || turns_back(&line, behind, to) {
                break;
            }
            p = to;
            line.push((p, speed));
        }
        line
    }

    /// Adds the line's runs of one speed class, and an arrowhead in its middle (several on a long line).
    fn write(&self, line: &Line, d: &mut [String], heads: &mut [String]) {
        let class = |speed: f64| ((speed / self.fastest * SPEEDS as f64) as usize).min(SPEEDS - 1);
        let mut i = 0;
        while i + 1 < line.len() {
            // A run keeps its class until the speed has clearly left it; the next run starts at its last place.
            let k = class(0.5 * (line[i].1 + line[(i + 6).min(line.len() - 1)].1));
            let mut end = i + 1;
            while end + 1 < line.len() && (class(line[end].1) == k || end - i < 6) {
                end += 1;
            }
            let _ = write!(d[k], "M{} {}", coordinate(line[i].0[0]), coordinate(line[i].0[1]));
            let mut j = i;
            while j < end {
                j = (j + 3).min(end);
                let _ = write!(d[k], "L{} {}", coordinate(line[j].0[0]), coordinate(line[j].0[1]));
            }
            i = end;
        }
        let arrows = (line.len() as f64 * STEP / 110.0).round().max(1.0) as usize;
        for a in 0..arrows {
            let at = ((a as f64 + 0.56) / arrows as f64 * line.len() as f64) as usize;
            let at = at.clamp(1, line.len() - 1);
            let (p, speed) = line[at];
            let back = line[at.saturating_sub(3)].0;
            let (dx, dy) = (p[0] - back[0], p[1] - back[1]);
            let length = dx.hypot(dy);
            if length < 1e-6 {
                continue;
            }
            let k = class(speed);
            let (ux, uy, size) = (dx / length, dy / length, 3.1 + 0.55 * k as f64);
            let tip = [p[0] + ux * size, p[1] + uy * size];
            let wing = |side: f64| {
                [p[0] - ux * size + side * uy * size * 0.8, p[1] - uy * size - side * ux * size * 0.8]
            };
            let notch = [p[0] - ux * size * 0.45, p[1] - uy * size * 0.45];
            for (n, q) in [tip, wing(1.0), notch, wing(-1.0)].into_iter().enumerate() {
                let _ = write!(
                    heads[k],
                    "{}{} {}",
                    if n == 0 { 'M' } else { 'L' },
                    coordinate(q[0]),
                    coordinate(q[1])
                );
            }
            heads[k].push('Z');
        }
    }
}

/// Seeds on both sides of a line.
fn beside(line: &Line) -> Vec<[f64; 2]> {
    let mut seeds = Vec::new();
    for i in (1..line.len()).step_by(5) {
        let (a, b) = (line[i - 1].0, line[i].0);
        let length = (b[0] - a[0]).hypot(b[1] - a[1]).max(1e-9);
        let (nx, ny) = (-(b[1] - a[1]) / length, (b[0] - a[0]) / length);
        for side in [1.0, -1.0] {
            seeds.push([b[0] + side * 1.02 * APART * nx, b[1] + side * 1.02 * APART * ny]);
        }
    }
    seeds
}

/// Whether a line would come back to its own earlier part: a closed orbit or a focus.
fn turns_back(line: &Line, behind: &[([f64; 2], f64)], p: [f64; 2]) -> bool {
    let near = |q: &([f64; 2], f64)| (q.0[0] - p[0]).hypot(q.0[1] - p[1]) < 0.55 * STOP;
    let recent = (2.0 * STOP / STEP) as usize;
    let own = line.len().saturating_sub(recent);
    let other = behind.len().saturating_sub(recent.saturating_sub(line.len()));
    line[..own].iter().any(near) || behind[..other].iter().any(near)
}

/// Places that lines already take, in square buckets.
struct Taken {
    left: f64,
    top: f64,
    columns: usize,
    rows: usize,
    buckets: Vec<Vec<[f64; 2]>>,
}

impl Taken {
    fn new(frame: &Frame) -> Self {
        let columns = ((frame.right - frame.left) / APART) as usize + 2;
        let rows = ((frame.bottom - frame.top) / APART) as usize + 2;
        Self { left: frame.left, top: frame.top, columns, rows, buckets: vec![Vec::new(); columns * rows] }
    }

    fn bucket(&self, p: [f64; 2]) -> (usize, usize) {
        let cell = |v: f64, n: usize| (v / APART).clamp(0.0, (n - 1) as f64) as usize;
        (cell(p[0] - self.left, self.columns), cell(p[1] - self.top, self.rows))
    }

    fn add(&mut self, p: [f64; 2]) {
        let (i, j) = self.bucket(p);
        self.buckets[j * self.columns + i].push(p);
    }

    /// Whether a taken place is nearer than `distance`, which is at most [`APART`].
    fn near(&self, p: [f64; 2], distance: f64) -> bool {
        let (i, j) = self.bucket(p);
        (j.saturating_sub(1)..=(j + 1).min(self.rows - 1)).any(|j| {
            (i.saturating_sub(1)..=(i + 1).min(self.columns - 1)).any(|i| {
                self.buckets[j * self.columns + i].iter().any(|q| (q[0] - p[0]).hypot(q[1] - p[1]) < distance)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::scatter::panel_frame;
    use crate::grid::Lattice;

    fn rotation(n: usize) -> VectorGrid {
        let lattice = Lattice::covering(&[[-1.0, -1.0], [1.0, 1.0]], n);
        let vectors = (0..lattice.len())
            .map(|k| lattice.node(k % lattice.nx, k / lattice.nx))
            .map(|[x, y]| [-y, x])
            .collect();
        VectorGrid::new(lattice, vectors).unwrap()
    }

    #[test]
    fn lines_follow_the_field_and_keep_apart() {
        let field = rotation(40);
        let l = field.lattice;
        let far = l.node(l.nx - 1, l.ny - 1);
        let frame = panel_frame([(l.x0, far[0]), (l.y0, far[1])], PANEL, true);
        let flow = Flow { field: &field, frame: &frame, fastest: field.fastest() };
        let lines = flow.lines();
        assert!(lines.len() > 10 && lines.len() < 400, "{}", lines.len());
        let middle = frame.at([0.0, 0.0]);
        for line in &lines {
            // Circles: the distance from the middle is kept along each line.
            let r = |p: [f64; 2]| {
                ((p[0] - middle[0]) / frame.x.slope()).hypot((p[1] - middle[1]) / frame.y.slope())
            };
            let first = r(line[0].0);
            for &(p, speed) in line {
                assert!((r(p) - first).abs() < 0.02 * first.max(0.1), "{} against {first}", r(p));
                assert!((speed - r(p)).abs() < 0.03, "speed is the radius");
            }
        }
        for (a, one) in lines.iter().enumerate() {
            for other in &lines[..a] {
                for (p, _) in one {
                    for (q, _) in other.iter().step_by(2) {
                        assert!((p[0] - q[0]).hypot(p[1] - q[1]) >= STOP - STEP);
                    }
                }
            }
        }
    }

    #[test]
    fn a_still_or_unknown_field_says_so() {
        let lattice = Lattice::covering(&[[0.0, 0.0], [1.0, 1.0]], 10);
        for v in [0.0, f64::NAN] {
            let field = VectorGrid::new(lattice, vec![[v, v]; lattice.len()]).unwrap();
            let figure = Streamlines::new(&field, &[]).draw().unwrap();
            assert!(figure.html().contains("No data"));
        }
    }
}
