"""Published kinetic problems by SciPy on one thread; `src/kinetics.rs` prepares them and says what is asked and answered. The right-hand
side and its Jacobian are the compiled C that CVODES calls too. `kinetics.py FOLDER`."""
import os

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy is loaded
    os.environ.setdefault(pool, "1")

import ctypes
import json
import sys
import time

import numpy as np
import scipy.sparse
from scipy.integrate import solve_ivp

CAP = float(sys.argv[2])
SOLVERS = {"SciPy BDF": "BDF", "SciPy LSODA": "LSODA", "SciPy Radau": "Radau"}


class TooLong(Exception):
    pass


class Problem:
    def __init__(self, name):
        with open(os.path.join(sys.argv[1], name + ".json")) as f:
            self.read = json.load(f)
        self.starts, self.rows = np.array(self.read["starts"]), np.array(self.read["rows"])
        self.d = len(self.starts) - 1
        self.columns = np.repeat(np.arange(self.d), np.diff(self.starts))
        library = ctypes.CDLL(os.path.join(sys.argv[1], name + ".so"))
        pointer = ctypes.c_void_p
        self.field, self.jacobian = library.field, library.jacobian
        for f in (self.field, self.jacobian):
            f.argtypes, f.restype = [ctypes.c_double, pointer, pointer, pointer], None

    def run(self, rtol, method):
        states, counts, deadline = [], np.zeros(3, int), time.process_time() + CAP
        for task in self.read["tasks"]:
            p = np.array(task["p"])
            times, bounds = np.array(task["times"]), [0.0, 0.0]

            def field(t, y):
                if time.process_time() > deadline:
                    raise TooLong
                y, dy = np.ascontiguousarray(y), np.empty(self.d)
                self.field(min(max(t, bounds[0]), bounds[1]), y.ctypes.data, p.ctypes.data, dy.ctypes.data)
                return dy

            def jacobian(t, y):
                y, values = np.ascontiguousarray(y), np.empty(len(self.rows))
                self.jacobian(min(max(t, bounds[0]), bounds[1]), y.ctypes.data, p.ctypes.data, values.ctypes.data)
                if self.d >= 100 and method != "LSODA":  # which takes none that is sparse
                    return scipy.sparse.csc_matrix((values, self.rows, self.starts), shape=(self.d, self.d))
                dense = np.zeros((self.d, self.d))
                dense[self.rows, self.columns] = values
                return dense

            y, start, done = np.array(task["y0"]), 0.0, 0
            for end in [*task["stops"], times[-1]]:
                # The right-hand side may jump at the end, and must not be seen beyond.
                bounds[:] = start, np.nextafter(end, -np.inf) if end < times[-1] else end
                own = times[done : np.searchsorted(times, end, "right")]
                done += len(own)
                if end == start:
                    states.append(np.repeat(y[None], len(own), 0))
                    continue
                at = own if len(own) and own[-1] == end else np.append(own, end)
                run = solve_ivp(field, (start, end), y, method, at, rtol=rtol, atol=rtol * task["atol"], jac=jacobian)
                if not run.success:
                    raise RuntimeError(run.message)
                states.append(run.y.T[: len(own)])
                y, start = run.y[:, -1], end
                counts += [0, run.nfev, run.njev]
        return np.concatenate([s.ravel() for s in states]), counts


def main():
    problems = {}
    for line in sys.stdin:
        words = line.rstrip("\n").split("\t")
        try:
            if words[0] == "prepare":
                problems[words[1]] = Problem(words[1])
                answer = ";".join(SOLVERS)
            else:
                name, _, rtol, solver = words
                cpu, wall = time.process_time(), time.perf_counter()
                numbers, counts = problems[name].run(float(rtol), SOLVERS[solver])
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                answer = "\t".join([repr(cpu), repr(wall), *map(str, counts), " ".join(map(repr, numbers.tolist()))])
        except TooLong:
            answer = f"failed\tover {CAP:g} s"
        except Exception as e:  # a solver that gives up is a row of the table
            answer = "failed\t" + " ".join(str(e).split())
        print(answer, flush=True)


main()
