//! CPU time of the process, all its threads: what else the machine does does not count.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Since the process began.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
