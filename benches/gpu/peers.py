"""The cases of `gpu_times` by PyTorch and JAX on the same GPU: lines `case,who,milliseconds,spread,number`. Noise differs, as each draws its
own. What is compiled is compiled before the time that is told; times are medians of several runs, from before the call to after the device
is done. What does not run is told on stderr, and the rest goes on."""
import os
import sys
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
import torch
import torch.nn.functional as F

DIM, WIDTH, STEPS, CELLS, BLUR, SCALING, H = 50, 512, 40, 2048, 0.05, 0.5, 0.1
SHAPES = ((DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, DIM))
ONLY = sys.argv[1:]


def noise(stream, n):
    z = ((np.uint64(stream) << np.uint64(32)) | np.arange(n, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).astype(np.float64) / 2.0**63 - 1.0


def cloud(k, n):
    return torch.from_numpy((3**0.5 * noise(20 + k, n * DIM).reshape(n, DIM) + 0.3 * k).astype(np.float32)).cuda()


def wanted(case):
    return not ONLY or any(case.startswith(o) for o in ONLY)


def measure(case, who, times, f, done=torch.cuda.synchronize):
    try:
        number, took = f(), []
        done()
        for _ in range(times):
            begun = time.perf_counter()
            number = f()
            done()
            took.append((time.perf_counter() - begun) * 1e3)
        took.sort()
        number = float(number) if number is not None else 0.0
        print(f"{case},{who},{took[len(took) // 2]:.4f},{took[-1] - took[0]:.4f},{number:.6f}", flush=True)
    except Exception as e:  # what does not run here leaves the other rows
        print(f"{case},{who}: {type(e).__name__}: {str(e)[:300]}", file=sys.stderr, flush=True)


def net(stream):
    layers = []
    for l, (inp, width) in enumerate(SHAPES):
        bound = (0.3 if l == 2 else 1.0) / np.sqrt(inp)
        layer = torch.nn.Linear(inp, width)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(bound * noise(stream + 2 * l, inp * width).reshape(width, inp)))
            layer.bias.copy_(torch.from_numpy(bound * noise(stream + 2 * l + 1, width)))
        layers += [layer, torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1]).cuda()


drift, diffusion = net(40), net(50)


def step(y, both):
    if both:
        return y + H * drift(y) + F.softplus(diffusion(y)) * (H**0.5 * torch.randn_like(y))
    return y + H * drift(y) + 0.6931472 * (H**0.5 * torch.randn_like(y))


def paths(y, count, both, one=step):
    out = []
    for k in range(count):
        y = one(y, both)
        if k + 1 in (count // 2, count):
            out.append(y)
    return out


def graphed(f):
    """A CUDA graph of f, which takes and gives nothing but what it leaves in its tensors."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            f()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = f()
    return graph, out


def softmin(epsilon, cost, h):
    return -epsilon * torch.logsumexp(h[None, :] - cost / epsilon, 1)


def divergence(x, y, blurs):
    """As geomloss does with its tensorized backend: annealing without gradients, and a last update with them."""
    square = lambda p, q: ((p * p).sum(1)[:, None] + (q * q).sum(1)[None, :] - 2 * p @ q.T).clamp_min(0) / 2
    fixed = x.detach()
    xy, xx, yy = square(x, y), square(x, fixed), square(y, y)
    with torch.no_grad():
        cxy, cxx = xy.detach(), xx.detach()
        cyx, log = cxy.T.contiguous(), -np.log(len(x))
        zero = torch.full((len(x),), log, device=x.device)
        e = blurs[0] ** 2
        f, g, a, b = softmin(e, cxy, zero), softmin(e, cyx, zero), softmin(e, cxx, zero), softmin(e, yy, zero)
        for blur in blurs[1:]:
            e = blur * blur
            nf, ng = softmin(e, cxy, log + g / e), softmin(e, cyx, log + f / e)
            na, nb = softmin(e, cxx, log + a / e), softmin(e, yy, log + b / e)
            f, g, a, b = (f + nf) / 2, (g + ng) / 2, (a + na) / 2, (b + nb) / 2
        gl, fl, al, bl = log + g / e, log + f / e, log + a / e, log + b / e
    # The gradient to x of the update's value is that of the divergence, since the potentials are (nearly) at their optimum.
    value = softmin(e, xy, gl).mean() - softmin(e, xx, al).mean()
    with torch.no_grad():
        rest = softmin(e, cyx, fl).mean() - softmin(e, yy, bl).mean()
    return value + rest


def blurs_of(x, y):
    both = torch.cat([x, y])
    diameter = float((both.max(0).values - both.min(0).values).norm())
    out, blur = [diameter], diameter
    while blur > BLUR:
        out.append(blur)
        blur *= SCALING
    return out + [BLUR]


def torch_cases():
    start, middle, end = cloud(0, CELLS), cloud(1, CELLS), cloud(2, CELLS)
    many = cloud(0, 65536) if wanted("mlp") else None
    large = cloud(0, 100_000) if wanted("paths") else None
    compiled = torch.compile(step)
    for tf32, tag in ((False, ""), (True, " TF32")):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        with torch.no_grad():
            if wanted("mlp-forward"):
                measure("mlp-forward", "PyTorch" + tag, 9, lambda: drift(many).sum() * 0)
            for both, name in ((False, "drift"), (True, "both")):
                case = f"paths-{name}-{CELLS}x{STEPS}"
                if wanted(case):
                    measure(case, "PyTorch loop" + tag, 9, lambda: paths(start, STEPS, both)[1].mean() * 0)
                    try:
                        graph, _ = graphed(lambda: paths(start, STEPS, both))
                        measure(case, "PyTorch CUDA graph" + tag, 9, lambda: graph.replay())
                    except Exception as e:
                        print(f"{case}: no graph: {e}", file=sys.stderr)
                    if both:
                        measure(case, "PyTorch compiled step" + tag, 9, lambda: paths(start, STEPS, both, compiled)[1].mean() * 0)
                case = f"paths-{name}-100000x400"
                if wanted(case):
                    measure(case, "PyTorch loop" + tag, 1, lambda: paths(large, 400, both)[1].mean() * 0)
        params = [*drift.parameters(), *diffusion.parameters()]
        bars = [cloud(3, CELLS), cloud(4, CELLS)]

        def gradient():
            for p in params:
                p.grad = None
            torch.autograd.backward(paths(start, STEPS, True), bars)

        if wanted("gradient"):
            measure("gradient-2048x40", "PyTorch loop" + tag, 5, gradient)
            try:
                graph, _ = graphed(gradient)
                measure("gradient-2048x40", "PyTorch CUDA graph" + tag, 9, lambda: graph.replay())
                del graph
            except Exception as e:
                print(f"gradient: no graph: {e}", file=sys.stderr)
        if wanted("training"):
            first = paths(start, STEPS, True)
            blurs = [blurs_of(first[0].detach(), middle), blurs_of(first[1].detach(), end)]
            del first
            optimiser = torch.optim.Adam(params, lr=1e-5, capturable=True)

            def training():
                optimiser.zero_grad(set_to_none=True)
                at = paths(start, STEPS, True)
                value = divergence(at[0], middle, blurs[0]) + divergence(at[1], end, blurs[1])
                value.backward()
                optimiser.step()
                return value.detach()

            measure("training-step-2048x40", "PyTorch loop" + tag, 5, training)
            try:
                graph, out = graphed(training)
                measure("training-step-2048x40", "PyTorch CUDA graph" + tag, 9, lambda: (graph.replay(), out)[1])
                del graph
            except Exception as e:
                print(f"training: no graph: {e}", file=sys.stderr)
        for n in (2048, 8192):
            case = f"sinkhorn-{n}"
            if wanted(case):
                x, y = cloud(0, n).requires_grad_(True), cloud(1, n)
                blurs = blurs_of(x.detach(), y)

                def loss():
                    x.grad = None
                    value = divergence(x, y, blurs)
                    value.backward()
                    return value.detach()

                measure(case, "PyTorch" + tag, 5, loss)
        if wanted("neighbours"):
            queries, points = cloud(0, 10_000), cloud(1, 100_000)
            squares = (points * points).sum(1)

            def nearest():
                # In parts: all distances at once would be 4 GB.
                return [torch.topk(squares[None, :] - 2 * q @ points.T, 10, largest=False) for q in queries.split(2500)] and None

            measure("neighbours-10000x100000", "PyTorch" + tag, 5, nearest)


def diffrax_cases():
    import diffrax
    import jax
    import jax.numpy as jnp

    def lorenz(t, y, _):
        x, y, z = y
        return jnp.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - (8.0 / 3.0) * z])

    def solve(y):
        out = diffrax.diffeqsolve(
            diffrax.ODETerm(lorenz), diffrax.Tsit5(), 0.0, 10.0, None, y,
            saveat=diffrax.SaveAt(ts=jnp.array([2.5, 5.0, 7.5, 10.0])),
            stepsize_controller=diffrax.PIDController(rtol=1e-4, atol=1e-4, pcoeff=0.4, icoeff=0.3), max_steps=None, throw=False,
            adjoint=diffrax.ForwardMode() if hasattr(diffrax, "ForwardMode") else diffrax.RecursiveCheckpointAdjoint(),
        )
        return out.ys, out.stats["num_steps"]

    run = jax.jit(jax.vmap(solve))
    for n in (10_000, 100_000, 1_000_000):
        case = f"lorenz-{n}"
        if wanted(case):
            start = (5.0 * noise(70, 3 * n).reshape(n, 3) + np.array([1.0, 2.0, 20.0])).astype(np.float32)
            start = jnp.asarray(start)
            measure(case, "diffrax vmap", 3, lambda: jax.block_until_ready(run(start))[1].mean(), lambda: None)


print(f"device: {torch.cuda.get_device_name()}, PyTorch {torch.__version__}", flush=True)
torch_cases()
if any(wanted(f"lorenz-{n}") for n in (10_000, 100_000, 1_000_000)):
    try:
        diffrax_cases()
    except Exception as e:
        print(f"lorenz: {type(e).__name__}: {e}", file=sys.stderr)
