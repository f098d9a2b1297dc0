//! A run of several seeds: its members, and which of them went astray.
//!
//! The run's own folder is that of the first member; the others lie in `members/2`, `members/3` and so on, with model, metrics and checkpoints each.
//! State space, training cells, log and results are the run's. When all are trained, `members.json` says how each came out.

use std::path::PathBuf;

use chreode_train::Astray;
use serde::{Deserialize, Serialize};

use super::error::{read_error, write_error};
use super::{Fingerprint, RunConfig, RunError, RunFolder};
use crate::atomic::write_bytes_atomically;

/// How one member came out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MemberResult {
    /// Its seed.
    pub seed: u64,
    /// Updates done.
    pub steps: u64,
    /// Step of the parameters that were kept.
    pub best_step: u64,
    /// Their loss on the held-out cells, the same for all members; none without a hold-out.
    pub best_loss: Option<f64>,
    /// Whether it went astray ([`Astray`]) and is left out of what the run predicts.
    pub astray: bool,
}

/// How all members came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// Each, in order.
    pub members: Vec<MemberResult>,
    /// Median of the held-out losses.
    pub median: Option<f64>,
    /// Held-out loss above which a member went astray; none if none could.
    pub limit: Option<f64>,
}

impl Members {
    /// Judges members by their held-out losses; `noise` is what [`Astray::of`] takes.
    pub fn judged(mut members: Vec<MemberResult>, noise: Option<f64>) -> Self {
        let losses: Option<Vec<f64>> = members.iter().map(|m| m.best_loss).collect();
        let judged = losses.zip(noise).and_then(|(losses, noise)| Astray::of(&losses, noise));
        if let Some(judged) = &judged {
            members.iter_mut().zip(&judged.astray).for_each(|(m, &astray)| m.astray = astray);
        }
        // JSON knows no infinity.
        let finite = |value: f64| Some(value).filter(|v| v.is_finite());
        Self {
            members,
            median: judged.as_ref().and_then(|j| finite(j.median)),
            limit: judged.and_then(|j| finite(j.limit)),
        }
    }

    /// Numbers of the members that did not go astray; one at least.
    pub fn kept(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|&m| !self.members[m].astray).collect()
    }
}

impl RunFolder {
    /// The folder in which member `m` (from 0) has its model, metrics and checkpoints.
    #[must_use]
    pub fn member(&self, m: usize) -> Self {
        if m == 0 { self.clone() } else { Self::at(self.path().join("members").join((m + 1).to_string())) }
    }

    /// Makes the folders of all members.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn create_members(&self, count: usize) -> Result<(), RunError> {
        for m in 1..count {
            let folder = self.member(m).checkpoints();
            std::fs::create_dir_all(&folder).map_err(|e| write_error(&folder, e))?;
        }
        Ok(())
    }

    /// Writes how the members came out.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn save_members(&self, members: &Members) -> Result<(), RunError> {
        let path = self.members();
        let json = serde_json::to_vec_pretty(members).map_err(|e| write_error(&path, e.into()))?;
        Ok(write_bytes_atomically(&path, &json)?)
    }

    /// How the members came out; none for a run of one seed.
    ///
    /// # Errors
    /// [`RunError::Untrained`] if some have not come to their end, [`RunError::Damaged`], [`DataError::Read`](crate::DataError::Read).
    pub fn load_members(&self, config: &RunConfig) -> Result<Option<Members>, RunError> {
        if config.members < 2 {
            return Ok(None);
        }
        let path = self.members();
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(RunError::Untrained { path: self.path().to_owned(), members: config.members });
            }
            Err(e) => return Err(read_error(&path, e)),
        };
        let damaged = |detail| RunError::Damaged { path: path.clone(), detail };
        let members: Members = serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
        if members.members.len() != config.members || members.kept().is_empty() {
            return Err(damaged("its members are not those of the run".to_owned()));
        }
        Ok(Some(members))
    }

    /// `members.json`.
    fn members(&self) -> PathBuf {
        self.path().join("members.json")
    }

    /// What tells the models of this run from those of another time.
    pub(super) fn model_fingerprint(&self) -> Result<Fingerprint, RunError> {
        let mut all = Fingerprint::of(&self.model())?;
        // Members differ by their folders alone; there are as many as follow one another.
        for m in 1.. {
            let model = self.member(m).model();
            if !model.exists() {
                break;
            }
            let other = Fingerprint::of(&model)?;
            all.bytes += other.bytes;
            all.crc32.push_str(&other.crc32);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(seed: u64, best_loss: Option<f64>) -> MemberResult {
        MemberResult { seed, steps: 10, best_step: 5, best_loss, astray: false }
    }

    #[test]
    fn members_are_judged_by_their_losses() {
        let losses = [0.002, 0.0021, 0.013, 0.0019];
        let all = losses.iter().zip(0..).map(|(&l, seed)| member(seed, Some(l))).collect();
        let members = Members::judged(all, Some(0.001));
        assert_eq!(members.kept(), [0, 1, 3]);
        assert!(members.limit.unwrap() < 0.013 && members.median == Some(0.002));
        // Without a hold-out nothing is known.
        let members = Members::judged(vec![member(0, None), member(1, None), member(2, Some(9.0))], None);
        assert_eq!((members.kept(), members.limit), (vec![0, 1, 2], None));
        // Two cannot outvote each other, and an infinite limit is none.
        let members = Members::judged(vec![member(0, Some(0.1)), member(1, Some(5.0))], Some(0.01));
        assert_eq!((members.kept(), members.limit), (vec![0, 1], None));
    }

    #[test]
    fn the_first_member_lies_in_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::at(dir.path().to_owned());
        run.create_members(3).unwrap();
        assert_eq!(run.member(0), run);
        assert!(dir.path().join("members/2/checkpoints").is_dir());
        assert!(dir.path().join("members/3/checkpoints").is_dir() && !dir.path().join("members/4").exists());
    }
}
