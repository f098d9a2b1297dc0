//! Processor times of routines that take turns, so that all see the same machine: the median of many turns.
//!
//! Time that other programs take does not count, though they empty the caches.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Turns of each routine, and the least time of one.
const TURNS: usize = 101;
const TURN: Duration = Duration::from_millis(1);

/// A name and what is measured.
pub(crate) type Routine<'a> = (String, Box<dyn FnMut() + 'a>);

/// Seconds of one run of each. Without `--bench`, which `cargo bench` gives, each runs once and is not measured.
pub(crate) fn seconds(routines: &mut [Routine<'_>]) -> Vec<f64> {
    if std::env::args().all(|a| a != "--bench") {
        routines.iter_mut().for_each(|(_, f)| f());
        return vec![f64::NAN; routines.len()];
    }
    // The second run tells how many make a turn: the first one grows work spaces.
    let mut repeats = Vec::new();
    for (_, f) in &mut *routines {
        let time = time_of(f).min(time_of(f)).as_nanos().max(1);
        repeats.push((TURN.as_nanos() / time + 1) as u32);
    }
    let mut times = vec![Vec::with_capacity(TURNS); routines.len()];
    for _ in 0..TURNS {
        for (((_, f), &repeats), times) in routines.iter_mut().zip(&repeats).zip(&mut times) {
            let turn = time_of(&mut || (0..repeats).for_each(|_| f()));
            times.push(turn.as_secs_f64() / f64::from(repeats));
        }
    }
    times.iter_mut().map(|times| *times.select_nth_unstable_by(TURNS / 2, f64::total_cmp).1).collect()
}

fn time_of(f: &mut dyn FnMut()) -> Duration {
    let begin = processor_time();
    f();
    processor_time().saturating_sub(begin)
}

/// Of this thread.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
