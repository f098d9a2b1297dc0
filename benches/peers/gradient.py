"""The gradient through a neural differential equation by diffrax and torchdiffeq on one thread; `src/gradient.rs` has the same net,
cells and observations, and the same cases. What is compiled is compiled outside of the time that is told."""
from turns import noise, serve  # first: it binds the threads

from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

try:
    import torch
    import torchdiffeq
except ImportError:
    torch = None

CELLS, DIM, WIDTH = 1024, 50, 512
TIMES = np.array([0.25, 0.5, 0.75, 1.0])
STATES, PARAMETERS = 101, 997
SHAPES = ((DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, DIM))


WEIGHTS = []
for l, (inp, out) in enumerate(SHAPES):
    bound = 1.0 / np.sqrt(inp)
    WEIGHTS.append((bound * noise(2 * l, inp * out).reshape(out, inp), bound * noise(2 * l + 1, out)))


def problem(case):
    """Start states, targets, kind of numbers and tolerances of a case."""
    accuracy = case.startswith(("f32-", "f64-"))
    cells = 64 if accuracy else CELLS
    y0 = 1.7 * noise(10, cells * DIM).reshape(cells, DIM)
    targets = [(0.9 - 0.1 * k) * y0 + 0.17 * noise(11 + k, cells * DIM).reshape(cells, DIM) for k in range(4)]
    kind, rtol = (case[:3], float(case[4:])) if accuracy else ("f32", 1e-5)
    return y0, np.stack(targets), kind, dict(rtol=rtol, atol=0.01 * rtol)


def told(params, y_bar):
    flat = np.concatenate([np.asarray(x, np.float64).ravel() for x in params])
    return np.concatenate([flat[::PARAMETERS], np.asarray(y_bar, np.float64).ravel()[::STATES]])


class Rk4(diffrax.AbstractERK):
    """The classical method; its error estimate is not used."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        b_error=np.array([0.0, 0.0, 0.0, 0.0]),
        c=np.array([0.5, 0.5, 1.0]),
    )
    interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 4


def with_diffrax(case, adjoint):
    fixed = case == "rk4"
    start, observed, kind, tolerances = problem(case)
    jax.config.update("jax_enable_x64", kind == "f64")
    real = jnp.float64 if kind == "f64" else jnp.float32
    solver = Rk4() if fixed else diffrax.Tsit5()
    control = diffrax.ConstantStepSize() if fixed else diffrax.PIDController(**tolerances)
    how = {
        "recursive": diffrax.RecursiveCheckpointAdjoint(),
        "backsolve": diffrax.BacksolveAdjoint(solver=solver, stepsize_controller=control),
    }.get(adjoint, diffrax.RecursiveCheckpointAdjoint())
    params = [(jnp.asarray(w, real), jnp.asarray(b, real)) for w, b in WEIGHTS]
    y0, targets = jnp.asarray(start, real), jnp.asarray(observed, real)

    def field(t, y, params):
        for w, b in params[:-1]:
            y = jnp.tanh(y @ w.T + b)
        w, b = params[-1]
        return y @ w.T + b

    def run(params, y0):
        # As few as will do: the memory of the checkpoints goes by the most that may be taken.
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field), solver, 0.0, 1.0, 0.05 if fixed else None, y0, params,
            saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES, real)), stepsize_controller=control, adjoint=how,
            max_steps=20 if fixed else 256 if "-1e" in case else 64,
        )

    def forward(params, y0):
        s = run(params, y0)
        return s.ys[-1], s.stats["num_steps"]

    def loss(params, y0):
        s = run(params, y0)
        return jnp.mean((s.ys - targets) ** 2), s.stats["num_steps"]

    f = forward if adjoint == "forward" else jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    compiled = jax.jit(f).lower(params, y0).compile()

    def tell(result):
        if adjoint == "forward":
            return f"diffrax {case} forward", int(result[1]), np.asarray(result[0]).ravel()[::STATES]
        (_, steps), (p_bar, y_bar) = result
        return f"diffrax {case} gradient {adjoint}", int(steps), told([x for pair in p_bar for x in pair], y_bar)

    return lambda: jax.block_until_ready(compiled(params, y0)), tell


def with_torch(case, adjoint):
    torch.set_num_threads(1)
    start, observed, kind, tolerances = problem(case)
    real = torch.float64 if kind == "f64" else torch.float32
    layers = []
    for k, (w, b) in enumerate(WEIGHTS):
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            layer = layer.to(torch.float64)
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, torch.nn.Tanh()] if k < 2 else [layer]
    net = torch.nn.Sequential(*layers).to(real)
    targets = torch.from_numpy(observed).to(real)
    times = torch.from_numpy(np.concatenate([[0.0], TIMES])).to(real)
    y0 = torch.from_numpy(start).to(real)
    fixed = dict(method="rk4", options=dict(step_size=0.05))
    options = fixed if case == "rk4" else dict(method="dopri5", **tolerances)
    solve = torchdiffeq.odeint_adjoint if adjoint == "adjoint" else torchdiffeq.odeint

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.evals = net, 0

        def forward(self, t, y):
            self.evals += 1
            return self.net(y)

    field = Field()

    def run():
        field.evals = 0
        if adjoint == "forward":
            with torch.no_grad():
                return solve(field, y0, times, **options)[-1]
        net.zero_grad(set_to_none=True)
        y = y0.clone().requires_grad_(True)
        ((solve(field, y, times, **options)[1:] - targets) ** 2).mean().backward()
        return y.grad

    def tell(result):
        steps = field.evals / (4 if case == "rk4" else 6)
        method = "rk4" if case == "rk4" else "dopri5"
        if adjoint == "forward":
            return f"torchdiffeq {method} forward", steps, result.numpy().ravel()[::STATES]
        params = [p.grad.numpy() for p in net.parameters()]
        return f"torchdiffeq {method} gradient {adjoint}", steps, told(params, result.numpy())

    return run, tell


SOLVERS = ["forward", "gradient-recursive", "gradient-backsolve"]
if torch is not None:
    SOLVERS += ["forward-torch", "gradient-torch", "gradient-torch-adjoint"]


def prepare(case, solver):
    if "torch" in solver:
        names = {"forward-torch": "forward", "gradient-torch": "backprop", "gradient-torch-adjoint": "adjoint"}
        return with_torch(case, names[solver])
    return with_diffrax(case, solver.removeprefix("gradient-"))


serve(SOLVERS, prepare)
