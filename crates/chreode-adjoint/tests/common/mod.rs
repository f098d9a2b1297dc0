//! What several tests share.

pub mod net;
