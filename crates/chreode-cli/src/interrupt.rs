//! Ctrl-C: the first asks the running step to finish and everything to be saved, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// The exit code of an interrupted program (128 + SIGINT).
pub(crate) const EXIT_CODE: u8 = 130;

/// Makes Ctrl-C (and SIGTERM) set the flag that this returns instead of ending the program.
///
/// # Errors
/// If the handler cannot be installed.
pub(crate) fn flag() -> Result<&'static AtomicBool, ctrlc::Error> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_CODE));
        }
    })?;
    Ok(&ASKED)
}
