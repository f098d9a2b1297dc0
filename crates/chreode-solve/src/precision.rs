//! Code that is compiled in this crate, once for each precision, and not again in every crate that solves something.

use std::any::{Any, TypeId};

use chreode_core::Real;

/// The one of two functions that is for `T`: statics hold them, which no other crate compiles.
pub(crate) fn of_precision<T: Real, F: Any>(
    single: &'static dyn Any,
    double: &'static dyn Any,
) -> &'static F {
    let one = if TypeId::of::<T>() == TypeId::of::<f32>() { single } else { double };
    #[allow(clippy::expect_used, reason = "`Real` is sealed: f32 and f64 alone have it")]
    one.downcast_ref().expect("one of both is for this type")
}
