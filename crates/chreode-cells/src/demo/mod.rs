//! The demo: virtual blood, learned from snapshots and judged against its known truth.
//!
//! `result`: everything that is measured. What the report shows of it is `crate::page`.

mod result;

pub use result::{
    DemoResult, EffectRow, FateFraction, HeldOutDistance, ScoreRow, Scores, SignScore, SpreadRow,
};
