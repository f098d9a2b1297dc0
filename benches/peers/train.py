"""A whole training step by torchsde or a loop in torch with geomloss, and by a scan in JAX with ott; `src/train.rs` has the same sizes. Loss and
noise differ, as each project draws its own: the loss that is told agrees within sampling. What is compiled is compiled outside of the
time that is told."""
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
    import torchsde
    from geomloss import SamplesLoss
except ImportError:
    torch = None

CELLS, DIM, WIDTH, STEPS, BLUR, SCALING, H = 2048, 50, 512, 40, 0.05, 0.5, 0.1
SHAPES = ((DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, DIM))
CLOUDS = [(3**0.5 * noise(20 + k, CELLS * DIM).reshape(CELLS, DIM) + 0.3 * k).astype(np.float32) for k in range(3)]


def weights(stream, last):
    out = []
    for l, (inp, width) in enumerate(SHAPES):
        bound = (last if l == 2 else 1.0) / np.sqrt(inp)
        w, b = noise(stream + 2 * l, inp * width).reshape(width, inp), noise(stream + 2 * l + 1, width)
        out.append((bound * w, bound * b))
    return out


DRIFT, DIFFUSION = weights(40, 0.3), weights(50, 0.3)


def with_torch(how):
    torch.set_num_threads(THREADS)

    def net(pairs):
        layers = []
        for w, b in pairs:
            layer = torch.nn.Linear(w.shape[1], w.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))
            layers += [layer, torch.nn.SiLU()]
        return torch.nn.Sequential(*layers[:-1])

    class Sde(torch.nn.Module):
        sde_type, noise_type = "ito", "diagonal"

        def __init__(self):
            super().__init__()
            self.drift, self.diffusion = net(DRIFT), net(DIFFUSION)

        def f(self, t, y):
            return self.drift(y)

        def g(self, t, y):
            return torch.nn.functional.softplus(self.diffusion(y))

    sde = Sde()
    start, middle, end = (torch.from_numpy(c) for c in CLOUDS)
    loss = SamplesLoss("sinkhorn", p=2, blur=BLUR, scaling=SCALING, backend="tensorized")
    optimiser = torch.optim.Adam(sde.parameters(), lr=1e-5)
    times = torch.tensor([2.0, 4.0, 6.0])

    def paths():
        if how == "torchsde":
            return torchsde.sdeint(sde, start, times, method="euler", dt=H)[1:]
        y, out = start, []
        for k in range(STEPS):
            y = y + H * sde.f(0, y) + sde.g(0, y) * (H**0.5 * torch.randn_like(y))
            if k + 1 in (STEPS // 2, STEPS):
                out.append(y)
        return out

    def run():
        optimiser.zero_grad(set_to_none=True)
        at = paths()
        value = loss(at[0].contiguous(), middle) + loss(at[1].contiguous(), end)
        value.backward()
        optimiser.step()
        return value.item()

    return run, lambda value: (f"{how} + geomloss", STEPS, [value])


def with_jax():
    start, middle, end = (jnp.asarray(c) for c in CLOUDS)
    params = [[(jnp.asarray(w, jnp.float32), jnp.asarray(b, jnp.float32)) for w, b in p] for p in (DRIFT, DIFFUSION)]

    def net(pairs, y):
        for w, b in pairs[:-1]:
            y = jax.nn.silu(y @ w.T + b)
        w, b = pairs[-1]
        return y @ w.T + b

    def transport(p, q):
        both = jnp.concatenate([p, q])
        diameter = jnp.linalg.norm(both.max(0) - both.min(0))
        epsilon = epsilon_scheduler.Epsilon(2 * BLUR**2, init=(jax.lax.stop_gradient(diameter) / BLUR) ** 2, decay=SCALING**2)
        cloud = pointcloud.PointCloud(p, q, cost_fn=costs.SqEuclidean(), epsilon=epsilon)
        solver = sinkhorn.Sinkhorn(threshold=-1.0, inner_iterations=1, min_iterations=13, max_iterations=13, use_danskin=True)
        return solver(linear_problem.LinearProblem(cloud)).reg_ot_cost

    def divergence(x, y):
        return 0.5 * (transport(x, y) - 0.5 * transport(x, x) - 0.5 * transport(y, y))

    def loss(params, key):
        def step(y, key):
            dw = H**0.5 * jax.random.normal(key, y.shape)
            return y + H * net(params[0], y) + jax.nn.softplus(net(params[1], y)) * dw, None

        keys = jax.random.split(key, STEPS)
        first, _ = jax.lax.scan(step, start, keys[: STEPS // 2])
        second, _ = jax.lax.scan(step, first, keys[STEPS // 2 :])
        return divergence(first, middle) + divergence(second, end)

    key = jax.random.PRNGKey(0)
    compiled = jax.jit(jax.value_and_grad(loss)).lower(params, key).compile()
    return lambda: jax.block_until_ready(compiled(params, key)), lambda out: ("JAX scan + ott", STEPS, [float(out[0])])


SOLVERS = [] if torch is None else ["step-torchsde", "step-torch"]
if jax is not None:
    SOLVERS += ["step-jax"]


def prepare(case, solver):
    if solver == "step-jax":
        return with_jax()
    return with_torch("torchsde" if solver == "step-torchsde" else "torch loop")


serve(SOLVERS, prepare)
