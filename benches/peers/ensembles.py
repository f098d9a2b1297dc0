"""Ensembles by diffrax on one thread; `src/ensembles.rs` has the same. A solver is compiled outside of the time that is told."""
from turns import serve  # first: it binds the threads

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


def prepare(case, solver):
    f, y0, t1, p = CASES[case]
    term, y0, p = diffrax.ODETerm(f), jnp.asarray(y0), jnp.asarray(p)
    control = diffrax.PIDController(rtol=1e-6, atol=1e-8)

    def one(p):
        s = diffrax.diffeqsolve(
            term, SOLVERS[solver](), 0.0, t1, None, y0, p, stepsize_controller=control, max_steps=10_000
        )
        return s.ys[-1], s.stats["num_steps"]

    compiled = jax.jit(jax.vmap(one)).lower(p).compile()

    def tell(result):
        y, steps = result
        return f"diffrax vmap {solver}", float(steps.mean()), np.asarray(y)[::EVERY].ravel()

    return lambda: jax.block_until_ready(compiled(p)), tell


serve(SOLVERS, prepare)
