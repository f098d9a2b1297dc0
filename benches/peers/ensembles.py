"""Ensembles by diffrax on one thread: answers each line of input with one line, so that another program can take turns.

`solvers` is answered with their names; `CASE SOLVER` with `CASE,SOLVER,cpu_s,wall_s,steps,ENDS`, as `src/ensembles.rs` does, which
has the same ensembles. A solver is compiled at its first run, outside of the time that is told.
"""
import os
import sys
import time

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC", "PJRT_NPROC"):
    os.environ[pool] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # the pools take as many threads as there are processors
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

N, EVERY = 10_000, 100
STEPS = (0.8566748838545029, 0.733891856627126, 0.6287067210378087, 0.5385972572236101)
RANGES = ((0.8, 2.0), (0.5, 1.5), (0.5, 1.5), (0.8, 3.0))


def lorenz(t, y, p):
    a, b, c = y
    return jnp.stack((10.0 * (b - a), a * (p[0] - c) - b, a * b - (8.0 / 3.0) * c))


def lotka_volterra(t, y, p):
    u, v = y
    return jnp.stack((p[0] * u - p[1] * u * v, p[2] * u * v - p[3] * v))


i = np.arange(N)
CASES = {
    "lorenz": (lorenz, [1.0, 0.0, 0.0], 1.0, (21.0 * i / N)[:, None]),
    "lotka-volterra": (
        lotka_volterra,
        [1.0, 1.0],
        20.0,
        np.stack([low + (high - low) * (i * step % 1.0) for step, (low, high) in zip(STEPS, RANGES)], 1),
    ),
}
SOLVERS = {"tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5}
compiled = {}


def solver_of(case, solver):
    if (case, solver) not in compiled:
        f, y0, t1, p = CASES[case]
        term, y0, p = diffrax.ODETerm(f), jnp.asarray(y0), jnp.asarray(p)
        control = diffrax.PIDController(rtol=1e-6, atol=1e-8)

        def one(p):
            s = diffrax.diffeqsolve(
                term, SOLVERS[solver](), 0.0, t1, None, y0, p, stepsize_controller=control, max_steps=10_000
            )
            return s.ys[-1], s.stats["num_steps"]

        compiled[case, solver] = (jax.jit(jax.vmap(one)).lower(p).compile(), p)
    return compiled[case, solver]


for line in sys.stdin:
    words = line.split()
    if words == ["solvers"]:
        print(" ".join(SOLVERS), flush=True)
        continue
    run, p = solver_of(*words)
    cpu, wall = time.process_time(), time.perf_counter()
    y, steps = jax.block_until_ready(run(p))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ends = " ".join(repr(float(x)) for x in np.asarray(y)[::EVERY].ravel())
    print(f"{words[0]},diffrax vmap {words[1]},{cpu},{wall},{float(steps.mean())},{ends}", flush=True)
