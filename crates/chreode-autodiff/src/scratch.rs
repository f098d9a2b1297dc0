//! Work space whose type depends on the instruction set, which is known inside a kernel only.

use std::any::Any;

/// Holds one value, always of one type on one machine. A clone holds nothing: the next use makes it anew.
#[derive(Default)]
pub(crate) struct Slot(Option<Box<dyn Any + Send + Sync>>);

impl Slot {
    /// The value, made at the first use.
    pub(crate) fn get<S: Any + Send + Sync>(&mut self, make: impl FnOnce() -> S) -> &mut S {
        // One instruction set a machine, and so one type a slot.
        self.0.get_or_insert_with(|| Box::new(make())).downcast_mut().expect("the type of the first use")
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
