//! Measured series of a table: one row an observation.

use std::collections::HashMap;
use std::path::Path;

use chreode_train::{Series, Trajectory};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::table::{Table, TableRequest};

/// What the columns of a table of series mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesColumns {
    /// Times of the observations.
    pub time: String,
    /// Names of the trajectories.
    pub trajectory: String,
    /// Measured values, one column a coordinate; empty, `NA` or `NaN` where nothing was measured.
    pub state: Vec<String>,
}

/// Series, and what their parts are called.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesData {
    /// The series.
    pub series: Series,
    /// Names of the trajectories, in the order of their first rows.
    pub names: Vec<String>,
    /// Names of the coordinates.
    pub coordinates: Vec<String>,
    /// What happened on the way, in words.
    pub notes: Vec<String>,
}

impl SeriesData {
    /// Reads a table. Rows may come in any order; rows of one trajectory at one time are replicates, and averaged.
    ///
    /// # Errors
    /// What [`Table`] says of the file; [`DataError::BadField`] for a value that is neither a finite number nor missing;
    /// [`DataError::TooFewObservations`] for a trajectory that has fewer than two times;
    /// [`DataError::NeverMeasured`] for a coordinate without any value.
    pub fn load(path: &Path, columns: &SeriesColumns) -> Result<Self, DataError> {
        let table = Table::open(path)?;
        let state: Vec<&str> = columns.state.iter().map(String::as_str).collect();
        let text = std::iter::once(columns.trajectory.as_str()).chain(state).collect();
        let data = table.read(&TableRequest { text, number: vec![&columns.time], matrix: Vec::new() })?;
        let d = columns.state.len();
        // In the order of the request: trajectory, then the state.
        let (ids, fields) = data.text.split_at(1);
        let (ids, times) = (&ids[0], &data.number[0]);
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let (mut names, mut rows): (Vec<String>, Vec<Vec<usize>>) = Default::default();
        for (row, id) in ids.iter().enumerate() {
            let number = *numbers.entry(id).or_insert_with(|| {
                names.push(id.clone());
                rows.push(Vec::new());
                names.len() - 1
            });
            rows[number].push(row);
        }
        let value = |row: usize, j: usize| match fields[j][row].as_str() {
            "" | "NA" | "NaN" | "nan" => Ok(f64::NAN),
            field => field.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| DataError::BadField {
                path: path.to_owned(),
                line: row as u64 + 2,
                column: columns.state[j].clone(),
                value: field.to_owned(),
                expected: "a finite number, or empty where nothing was measured",
            }),
        };
        let (mut trajectories, mut replicates) = (Vec::with_capacity(rows.len()), 0);
        for (name, mut rows) in names.iter().zip(rows) {
            rows.sort_by(|&a, &b| times[a].total_cmp(&times[b]));
            let mut trajectory = Trajectory { times: Vec::new(), values: Vec::new() };
            for same in rows.chunk_by(|&a, &b| times[a] == times[b]) {
                trajectory.times.push(times[same[0]]);
                replicates += same.len() - 1;
                for j in 0..d {
                    let (mut sum, mut n) = (0.0, 0_u32);
                    for &row in same {
                        let x = value(row, j)?;
                        if !x.is_nan() {
                            (sum, n) = (sum + x, n + 1);
                        }
                    }
                    trajectory.values.push(if n == 0 { f64::NAN } else { sum / f64::from(n) });
                }
            }
            if trajectory.times.len() < 2 {
                return Err(DataError::TooFewObservations {
                    path: path.to_owned(),
                    trajectory: name.clone(),
                });
            }
            trajectories.push(trajectory);
        }
        for (j, column) in columns.state.iter().enumerate() {
            if trajectories.iter().all(|t| t.values.iter().skip(j).step_by(d).all(|v| v.is_nan())) {
                return Err(DataError::NeverMeasured { path: path.to_owned(), column: column.clone() });
            }
        }
        let mut notes = Vec::new();
        if replicates > 0 {
            notes.push(format!(
                "{replicates} rows repeat a time of their trajectory: replicates, which are averaged"
            ));
        }
        let series = Series { dim: d, trajectories };
        Ok(Self { series, names, coordinates: columns.state.clone(), notes })
    }

    /// Number of observations of all trajectories.
    pub fn observations(&self) -> usize {
        self.series.trajectories.iter().map(|t| t.times.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<SeriesData, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series.csv");
        std::fs::write(&path, text).unwrap();
        let state = vec!["a".to_owned(), "b".to_owned()];
        SeriesData::load(&path, &SeriesColumns { time: "t".into(), trajectory: "id".into(), state })
    }

    #[test]
    fn rows_in_any_order_replicates_and_gaps() {
        let data = load("id,t,a,b\ny,1,5,\nx,2,3,4\nx,0,1,2\ny,0,6,7\nx,2,5,NA\n").unwrap();
        assert_eq!(data.names, ["y", "x"]);
        let [y, x] = &data.series.trajectories[..] else { panic!("two trajectories") };
        assert_eq!((&y.times[..], &x.times[..]), (&[0.0, 1.0][..], &[0.0, 2.0][..]));
        assert_eq!(x.values, [1.0, 2.0, 4.0, 4.0]);
        assert!(y.values[3].is_nan() && y.values[..3] == [6.0, 7.0, 5.0]);
        assert_eq!((data.notes.len(), data.observations()), (1, 4));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let e = load("id,t,a,b\nx,0,1,2\nx,1,1,high\n").unwrap_err().to_string();
        assert!(e.contains("line 3, column `b`: `high`"), "{e}");
        let e = load("id,t,a,b\nx,0,1,2\nx,1,1,2\nlone,1,1,2\n").unwrap_err().to_string();
        assert!(e.contains("`lone`") && e.contains("two times"), "{e}");
        let e = load("id,t,a,b\nx,0,1,\nx,1,1,\n").unwrap_err().to_string();
        assert!(e.contains("`b`"), "{e}");
        assert!(load("id,t,a\nx,0,1\nx,1,1\n").unwrap_err().to_string().contains("`b`"));
    }
}
