"""Loads a perceptron that chreode saved, and evaluates it: in PyTorch where it is installed, else in numpy.

    python load_mlp.py model.safetensors < states.csv > derivatives.csv

Each line of the input is `t, x_1, ..., x_d, c_1, ..., c_k`: the time, a state, its covariates. Each line of the output is `dx/dt`.
The file is what `chreode_model::save` writes of an `MlpField`: tensors `layers.0.weight` [out, in], `layers.0.bias`, ..., and in
its metadata the configuration. It needs no other package: a safetensors file is a length, a header in JSON, and raw numbers.
"""

import json
import struct
import sys

import numpy as np

try:
    import torch
except ImportError:
    torch = None

DTYPES = {"F32": np.float32, "F64": np.float64}


def read(path):
    """The configuration and the tensors of a file, as float64."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    description = json.loads(header.pop("__metadata__")["chreode"])
    if description["format"] != "chreode-mlp/1":
        raise SystemExit(f"{path}: not a perceptron of this version: {description['format']}")
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[start:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return description["config"], tensors


def inputs(config, t, y):
    """What the net sees: standardised states, time if it is an input, covariates. `t` is [n], `y` [n, d + covariates]."""
    d = len(config["shift"])
    columns = [(y[:, :d] - config["shift"]) / config["scale"]]
    if config.get("time"):
        centre, spread = config["time"]
        columns.append((t[:, None] - centre) / spread)
    for i, (centre, spread) in enumerate(config.get("covariates", [])):
        columns.append((y[:, d + i : d + i + 1] - centre) / spread)
    return np.concatenate(columns, axis=1)


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -z))


ACTIVATIONS = {
    "identity": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda z: np.logaddexp(0.0, z),
    "silu": lambda z: z * sigmoid(z),
    "leaky_relu": lambda z: np.where(z > 0.0, z, 0.01 * z),
    "quadratic": lambda z: z * z,
}


def net_in_numpy(config, tensors, x):
    phi = ACTIVATIONS[config["net"]["activation"]]
    layers = len(config["net"]["hidden"]) + 1
    for l in range(layers):
        x = x @ tensors[f"layers.{l}.weight"].T + tensors[f"layers.{l}.bias"]
        if l + 1 < layers:
            x = phi(x)
    return x


def module(config, tensors):
    """The net as a torch module; the names of its parameters are those in the file."""
    phi = {
        "identity": lambda z: z,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        # Beyond its threshold torch takes the line; at 40 that is exact.
        "softplus": lambda z: torch.nn.functional.softplus(z, threshold=40.0),
        "silu": torch.nn.functional.silu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "quadratic": torch.square,
    }[config["net"]["activation"]]

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            count = len(config["net"]["hidden"]) + 1
            shapes = [tensors[f"layers.{l}.weight"].shape for l in range(count)]
            self.layers = torch.nn.ModuleList(
                torch.nn.Linear(inp, out, dtype=torch.float64) for out, inp in shapes
            )

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = phi(layer(x))
            return self.layers[-1](x)

    net = Net()
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in tensors.items()})
    return net


def field(config, tensors, t, y):
    """`dx/dt`, [n, d]."""
    x = inputs(config, t, y)
    if torch is None:
        out = net_in_numpy(config, tensors, x)
    else:
        with torch.no_grad():
            out = module(config, tensors)(torch.from_numpy(x)).numpy()
    return out * np.asarray(config["scale"]) / config["time_scale"]


if __name__ == "__main__":
    config, tensors = read(sys.argv[1])
    rows = np.atleast_2d(np.loadtxt(sys.stdin, delimiter=","))
    np.savetxt(sys.stdout, field(config, tensors, rows[:, 0], rows[:, 1:]), delimiter=",", fmt="%.17g")
