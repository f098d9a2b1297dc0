//! What the data are.

use chreode_report::{Page, Scatter, ShapeError, count};

use super::{Categories, RunPage, View};

pub(super) fn section(page: &mut Page, input: &RunPage<'_>, view: &View<'_>) -> Result<(), ShapeError> {
    let s = page.section("cells", "The cells");
    let held = input.cells.held_out.iter().filter(|&&h| h).count();
    s.text(format!(
        "Each dot is one cell, measured once. {} cells are shown here; {} of them were held out of the training to judge it. All figures of places use the first two coordinates of the state, **{}** and **{}**.",
        count(input.cells.len()),
        count(held),
        view.names[0],
        view.names[1],
    ));
    let points = view.points(&input.cells.states, |i| input.cells.times[i]);
    let by_time = Categories::by_time(input);
    let scatter = Scatter::new(&points).labels(view.names[0], view.names[1]);
    let coloured = scatter.clone().colour(by_time.colour());
    s.figure(
        format!("The cells by {}", input.time),
        format!(
            "One panel per time on common axes; grey are the cells of all other times. Look whether neighbouring times overlap: where nothing lies between two clouds, the model has to guess the way.{}",
            view.hidden()
        ),
        &coloured.draw_by(&by_time.names, &by_time.of)?,
    );
    s.half_figure("All times at once", "The same cells, coloured by time.", &coloured.draw()?);
    match input.labels {
        Some(labels) if labels.counts().iter().any(|&n| n > 0) => {
            let by_label = Categories::by_label(labels);
            s.half_figure(
                "The cells by label",
                "Labels were not used to learn the model. Labels that overlap here may still be apart in other coordinates; where they overlap in all, fates cannot be told apart either.",
                &scatter.colour(by_label.colour()).draw()?,
            );
        }
        _ => {
            s.text("The cells carry no labels, so that fates cannot be named.");
        }
    }
    Ok(())
}
