"""The debiased Sinkhorn divergence and its gradient by geomloss and ott; `src/sinkhorn.rs` has the same clouds. Both anneal as they do by
default (factor 0.5 of the blur) and stop there, whatever the marginals are. What is compiled is compiled outside of the time that is
told."""
from turns import THREADS, noise, serve  # first: it binds the threads

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    from ott.geometry import costs, epsilon_scheduler, pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn
except ImportError:
    jax = None
try:
    import torch
    from geomloss import SamplesLoss
except ImportError:
    torch = None

DIM, BLUR, SCALING, TOLD = 50, 0.05, 0.5, 101
SCALES = 3.0 - 2.5 * np.arange(DIM) / (DIM - 1)


def clouds(n):
    x, y = (3**0.5 * noise(20 + k, n * DIM).reshape(n, DIM) for k in (0, 1))
    return (x * SCALES).astype(np.float32), ((y + 0.3) * SCALES).astype(np.float32)


def with_geomloss(n):
    torch.set_num_threads(THREADS)
    x, y = (torch.from_numpy(c) for c in clouds(n))
    loss = SamplesLoss("sinkhorn", p=2, blur=BLUR, scaling=SCALING, backend="tensorized")

    def run():
        moved = x.clone().requires_grad_(True)
        loss(moved, y).backward()
        return moved.grad

    return run, lambda grad: ("geomloss", levels(n) * 1.0, grad.numpy().ravel()[::TOLD])


def levels(n):
    x, y = clouds(n)
    diameter = float(np.linalg.norm(np.maximum(x.max(0), y.max(0)) - np.minimum(x.min(0), y.min(0))))
    return len(np.arange(2 * np.log(diameter), 2 * np.log(BLUR), 2 * np.log(SCALING))) + 2


def with_ott(n):
    x, y = (jnp.asarray(c) for c in clouds(n))
    steps = levels(n)
    diameter = float(jnp.linalg.norm(jnp.maximum(x.max(0), y.max(0)) - jnp.minimum(x.min(0), y.min(0))))

    def transport(p, q):
        # ott's cost is |x - y|^2: epsilon there is 2 blur^2, and the divergence is halved.
        epsilon = epsilon_scheduler.Epsilon(2 * BLUR**2, init=(diameter / BLUR) ** 2, decay=SCALING**2)
        cloud = pointcloud.PointCloud(p, q, cost_fn=costs.SqEuclidean(), epsilon=epsilon)
        solver = sinkhorn.Sinkhorn(
            threshold=-1.0, inner_iterations=1, min_iterations=steps, max_iterations=steps, use_danskin=True
        )
        return solver(linear_problem.LinearProblem(cloud)).reg_ot_cost

    def divergence(x, y):
        return 0.5 * (transport(x, y) - 0.5 * transport(x, x) - 0.5 * transport(y, y))

    compiled = jax.jit(jax.grad(divergence)).lower(x, y).compile()
    return lambda: jax.block_until_ready(compiled(x, y)), lambda grad: ("ott", steps, np.asarray(grad).ravel()[::TOLD])


SOLVERS = [] if torch is None else ["gradient-geomloss"]
if jax is not None:
    SOLVERS += ["gradient-ott"]


def prepare(case, solver):
    return (with_geomloss if "geomloss" in solver else with_ott)(int(case))


serve(SOLVERS, prepare)
