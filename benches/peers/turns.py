"""A program that takes turns with another one; `src/turns.rs` says how."""
import os
import sys
import time

THREADS = int(os.environ.get("RAYON_NUM_THREADS", "1"))  # as many as the other program has
for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC"):
    os.environ[pool] = str(THREADS)
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # the pools take as many threads as there are processors
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-THREADS:]))

import numpy as np


def noise(stream, n):
    """Numbers of a stream, even in -1..1."""
    z = ((np.uint64(stream) << np.uint64(32)) | np.arange(n, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).astype(np.float64) / 2.0**63 - 1.0


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
