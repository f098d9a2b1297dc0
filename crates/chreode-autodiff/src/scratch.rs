//! Work space whose type depends on the instruction set, which is known inside a kernel only.

use std::any::Any;

/// Holds one value of any type. A clone holds nothing: the next use makes it anew.
#[derive(Default)]
pub(crate) struct Slot(Option<Box<dyn Any + Send + Sync>>);

impl Slot {
    /// The value, made at the first use.
    pub(crate) fn get<S: Any + Send + Sync>(&mut self, make: impl FnOnce() -> S) -> &mut S {
        if !self.0.as_ref().is_some_and(|held| held.is::<S>()) {
            self.0 = Some(Box::new(make()));
        }
        // It holds an `S` now, if it did not before.
        self.0.as_mut().and_then(|held| held.downcast_mut()).expect("a value of this type")
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", if self.0.is_some() { "made" } else { "empty" })
    }
}
