"""A program that takes turns with another one; `src/turns.rs` says how."""
import os
import sys
import time

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC"):
    os.environ[pool] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # the pools take as many threads as there are processors
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def memory(line):
    """A line of the process's status, in MiB; not a number where there is none."""
    try:
        with open("/proc/self/status") as status:
            return next(int(text.split()[1]) / 1024 for text in status if text.startswith(line))
    except (OSError, StopIteration):
        return float("nan")


def serve(solvers, prepare):
    """Answers each line of input. `prepare(case, solver)` gives a function that runs, and one that turns its result into a name, a
    number of steps and the numbers that are told."""
    prepared = {}
    for line in sys.stdin:
        words = line.split()
        if words == ["solvers"]:
            print(" ".join(solvers), flush=True)
            continue
        if line not in prepared:
            prepared[line] = prepare(*words)
        run, tell = prepared[line]
        try:  # lets the peak begin anew
            with open("/proc/self/clear_refs", "w") as refs:
                refs.write("5")
        except OSError:
            pass
        resident, cpu, wall = memory("VmRSS:"), time.process_time(), time.perf_counter()
        result = run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = memory("VmHWM:") - resident
        name, steps, numbers = tell(result)
        numbers = " ".join(repr(float(x)) for x in numbers)
        print(f"{words[0]},{name},{cpu},{wall},{steps},{peak:.1f},{numbers}", flush=True)
