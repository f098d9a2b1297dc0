//! What goes on the report's pages: of a run folder, and of the demo. How it is drawn is `chreode-report`.
//!
//! `run`: the page of a run and what it measures for it. `demo`: the page of the demo, against known truth. `series`: that of measured series.
//! `losses`: the section that both have. `plane`: states as points of the plane. Words are for a biologist: every figure says how to read it and what
//! may be concluded.

mod demo;
mod losses;
mod plane;
mod run;
mod series;

pub use demo::demo_page;
pub use run::{
    CellFields, Convergence, DriftRates, FateView, HoldOutDistance, LossCurves, MemberSpread, MembersView,
    Outside, RunPage, RunTrust, ShiftView, TrustError, TrustSettings, run_page,
};
pub use series::series_page;
