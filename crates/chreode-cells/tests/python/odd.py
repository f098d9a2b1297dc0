"""Writes one data set in many encodings into the folder named by the first argument."""
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

folder = Path(sys.argv[1])
rng = np.random.default_rng(1)
x = (rng.poisson(0.7, (40, 7)) * 1.0).astype(np.float32)
obs = pd.DataFrame(
    {
        "day": np.repeat([2, 4], 20),
        "half": np.repeat([10.0, 10.5], 20),
        "state": [["Mono", "Neu", "Baso"][i % 3] for i in range(40)],
        "ok": [i % 2 == 0 for i in range(40)],
    },
    index=[f"cell-{i}" for i in range(40)],
)


def save(name, matrix=x, table=obs, keep_text=True, **options):
    a = anndata.AnnData(matrix, obs=table.copy())
    a.write_h5ad(folder / f"{name}.h5ad", convert_strings_to_categoricals=not keep_text, **options)


save("dense")
save("csr", sp.csr_matrix(x))
save("csc", sp.csc_matrix(x))
save("gzip", sp.csc_matrix(x), compression="gzip")
save("lzf", x, compression="lzf")
save("double", x.astype(np.float64))
save("int", sp.csr_matrix(x.astype(np.int64)))
save("small", x.astype(np.uint8))
save("categorical", table=obs.assign(day=obs["day"].astype("category"), half=obs["half"].astype("category")), keep_text=False)
nullable = obs.assign(day=obs["day"].astype("Int64"), ok=obs["ok"].astype("boolean"))
nullable["with_missing"] = pd.array([None if i == 3 else i for i in range(40)], dtype="Int64")
nullable["flag_missing"] = pd.array([None if i == 1 else i % 3 == 0 for i in range(40)], dtype="boolean")
save("nullable", table=nullable)
named = obs.copy()
named.index.name = "barcode"
save("named_index", table=named)
# Chunked in both directions, unsorted row indices, a big-endian column.
save("unsorted", sp.csr_matrix(x))
with h5py.File(folder / "unsorted.h5ad", "r+") as f:
    data, indices, indptr = f["X/data"][:], f["X/indices"][:], f["X/indptr"][:]
    for i in range(40):
        s = slice(indptr[i], indptr[i + 1])
        data[s], indices[s] = data[s][::-1], indices[s][::-1]
    f["X/data"][:], f["X/indices"][:] = data, indices
    del f["obs/day"]
    f.create_dataset("obs/day", data=obs["day"].to_numpy(), dtype=">i4")
save("chunked")
with h5py.File(folder / "chunked.h5ad", "r+") as f:
    del f["X"]
    f.create_dataset("X", data=x, chunks=(9, 2), compression="gzip", shuffle=True)
    f["X"].attrs["encoding-type"], f["X"].attrs["encoding-version"] = "array", "0.2.0"
