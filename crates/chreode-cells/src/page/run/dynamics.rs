//! Drift, diffusion and growth over the cells.

use chreode_report::{
    HeatMap, Lattice, Page, ScalarGrid, ShapeError, Streamlines, VectorGrid, count, number,
};

use super::{Categories, RunPage, View};

/// Nodes along the longer side of a map.
const NODES: usize = 40;
/// Noise that differs by less than this part is the same everywhere.
const SAME: f64 = 0.01;

pub(super) fn section(page: &mut Page, input: &RunPage<'_>, view: &View<'_>) -> Result<(), ShapeError> {
    let (fields, cells, d) = (input.fields, input.cells, input.cells.dim);
    let s = page.section("dynamics", "What moves the cells");
    s.text(format!(
        "The model gives every state a push (**drift**) and a strength of random motion (**diffusion**). Both were computed at {} of the cells and are shown as means over the cells at each place.",
        count(fields.rows.len())
    ));
    let states: Vec<f32> =
        fields.rows.iter().flat_map(|&r| &cells.states[r * d..(r + 1) * d]).copied().collect();
    let points = view.points(&states, |i| cells.times[fields.rows[i]]);
    let lattice = Lattice::covering(&points, NODES);
    let [x, y] = view.names;

    // With one coordinate the plane is (state, time), and time itself moves at rate one.
    let drift = view.points(&fields.drift, |_| 1.0);
    let colours = match input.labels {
        Some(labels) => Categories::by_label(labels),
        None => Categories::by_time(input),
    };
    let colours = colours.select(&fields.rows);
    let grid = VectorGrid::smooth(lattice, &points, &drift)?;
    let lines = Streamlines::new(&grid, &points).colour(colours.colour()).unit(format!("per {}", input.time));
    s.half_figure(
        "Where cells are pushed",
        format!(
            "Streamlines follow the drift; wider is faster. They are not paths of cells: noise is left out, and lines that meet here may be apart in other coordinates.{}",
            view.hidden()
        ),
        &lines.labels(x, y).draw()?,
    );

    let total = |row: &[f32]| row.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    let noise: Vec<f64> = fields.diffusion.chunks_exact(d.max(1)).map(total).collect();
    let push: Vec<f64> = fields.drift.chunks_exact(d.max(1)).map(total).collect();
    // How far noise alone carries a cell in the time in which drift alone would carry it as far.
    let mut balance: Vec<f64> =
        noise.iter().zip(&push).map(|(g, f)| (g / f).powi(2)).filter(|v| v.is_finite()).collect();
    balance.sort_by(f64::total_cmp);
    let words = balance.get(balance.len() / 2).map_or_else(String::new, |t| {
        format!(
            " For the median cell noise outweighs drift over times shorter than about {} {}.",
            number(*t, 2),
            input.time
        )
    });
    let unit = format!("state units per √{}", input.time);
    let (least, most) = noise.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), &g| (l.min(g), m.max(g)));
    if most - least < SAME * most {
        // A map would show differences that are none.
        s.text(format!(
            "How uncertain the motion is: noise of {} {unit}, over all coordinates together (root of the sum of squares), the same everywhere to within {} %.{words}",
            number(most, 3),
            100.0 * SAME,
        ));
    } else {
        let grid = ScalarGrid::smooth(lattice, &points, &noise)?;
        let map = HeatMap::new(&grid, format!("diffusion ({unit})"));
        s.half_figure(
            "How uncertain the motion is",
            format!("Strength of the noise, over all coordinates together (root of the sum of squares). Where it is high, cells that are alike now will be far apart later.{words}"),
            &map.labels(x, y).draw(),
        );
    }

    if let Some(growth) = &fields.growth {
        let growth: Vec<f64> = growth.iter().map(|&v| f64::from(v)).collect();
        let grid = ScalarGrid::smooth(lattice, &points, &growth)?;
        let map = HeatMap::new(&grid, format!("net growth (per {})", input.time));
        s.half_figure(
            "Where cells multiply",
            "Learned rate of division minus death. Positive: such cells have descendants; negative: they disappear. Only differences between places are learned, from how the shares of the clouds change; total cell numbers are not in the data. What looks like growth may also be cells that were sampled more readily.",
            &map.labels(x, y).draw(),
        );
    }
    if let Some(choice) = input.growth_choice {
        s.text(format!("Whether there is growth was decided by the cells alone; {}.", choice.told()));
    }
    Ok(())
}
