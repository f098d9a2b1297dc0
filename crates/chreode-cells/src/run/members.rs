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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberResult {
    /// Its seed.
    pub seed: u64,
    /// Updates done.
    pub steps: u64,
    /// Step of the parameters that were kept.
    pub best_step: u64,
    /// Their loss on the held-out cells, the same for all members; none without a hold-out.
    pub best_loss: Option<f64>,
    /// Whether it went astray ([`Astray`]) and is left out of what the run predicts; one that failed did.
    pub astray: bool,
    /// Why its training ended before its time, if it did. Its model, if there is one, is the best until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
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
    /// Sets aside the members that failed, and judges the others by their held-out losses; `noise` is what [`Astray::of`] takes.
    pub fn judged(mut members: Vec<MemberResult>, noise: Option<f64>) -> Self {
        members.iter_mut().for_each(|m| m.astray = m.failed.is_some());
        let losses: Option<Vec<f64>> = members.iter().filter(|m| !m.astray).map(|m| m.best_loss).collect();
        let judged = losses.zip(noise).and_then(|(losses, noise)| Astray::of(&losses, noise));
        if let Some(judged) = &judged {
            let trained = members.iter_mut().filter(|m| !m.astray);
            trained.zip(&judged.astray).for_each(|(m, &astray)| m.astray = astray);
        }
        // JSON knows no infinity.
        let finite = |value: f64| Some(value).filter(|v| v.is_finite());
        members.iter_mut().for_each(|m| m.best_loss = m.best_loss.and_then(finite));
        Self {
            members,
            median: judged.as_ref().and_then(|j| finite(j.median)),
            limit: judged.and_then(|j| finite(j.limit)),
        }
    }

    /// Numbers of the members that did not go astray; one at least, unless all failed.
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
        let mut all: Option<Fingerprint> = None;
        // There are as many members as folders follow one another; one that failed early has no model.
        for folder in (0..).map(|m| self.member(m)).take_while(|folder| folder.path().is_dir()) {
            if folder.model().exists() {
                let one = Fingerprint::of(&folder.model())?;
                all = Some(match all {
                    None => one,
                    Some(all) => Fingerprint { bytes: all.bytes + one.bytes, crc32: all.crc32 + &one.crc32 },
                });
            }
        }
        all.ok_or_else(|| RunError::NoModel { path: self.path().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(seed: u64, best_loss: Option<f64>) -> MemberResult {
        MemberResult { seed, steps: 10, best_step: 5, best_loss, astray: false, failed: None }
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
    fn members_that_failed_are_set_aside_and_have_no_part_in_the_judgement() {
        let failed = |seed| MemberResult { failed: Some("why".to_owned()), ..member(seed, None) };
        let all = [Some(0.002), Some(0.0021), Some(0.013)];
        let mut all: Vec<_> = all.iter().zip(0..).map(|(&l, seed)| member(seed, l)).collect();
        all.insert(1, failed(7));
        let members = Members::judged(all, Some(0.001));
        assert_eq!((members.kept(), members.median), (vec![0, 2], Some(0.0021)));
        // A loss that is not finite is none, in JSON too.
        let members =
            Members::judged(vec![failed(0), member(1, Some(f64::NAN)), member(2, Some(0.1))], Some(0.01));
        assert_eq!((members.kept(), members.members[1].best_loss), (vec![2], None));
        let json = serde_json::to_string(&members).unwrap();
        assert_eq!(serde_json::from_str::<Members>(&json).unwrap(), members);
        // Without a finite loss nothing is known of those that came to their end.
        let members = Members::judged(vec![failed(0), member(1, Some(f64::INFINITY))], Some(0.01));
        assert_eq!(members.kept(), [1]);
    }

    #[test]
    fn a_member_without_a_model_does_not_hide_those_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::at(dir.path().to_owned());
        run.create_members(3).unwrap();
        assert!(matches!(run.model_fingerprint(), Err(RunError::NoModel { .. })));
        std::fs::write(run.member(2).model(), "third").unwrap();
        let third = run.model_fingerprint().unwrap();
        std::fs::write(run.member(0).model(), "first").unwrap();
        let both = run.model_fingerprint().unwrap();
        assert!(both != third && both.bytes == 10);
        std::fs::write(run.member(2).model(), "other").unwrap();
        assert!(run.model_fingerprint().unwrap() != both);
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
