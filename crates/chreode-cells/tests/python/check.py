"""Opens the file named by the first argument, compares it with what the test wrote, writes it again."""
import sys

import anndata
import numpy as np

a = anndata.read_h5ad(sys.argv[1])
expected = np.array([0.0 if k % 3 == 0 else k * 0.5 for k in range(15)], dtype=np.float32).reshape(5, 3)
assert (a.X.toarray() == expected).all()
assert (a.layers["counts"] == expected).all()
assert (a.layers["spliced"].toarray() == expected).all()
assert list(a.obs_names) == [f"cell{i}" for i in range(5)]
assert list(a.var_names) == ["Gata1", "Spi1", "Cebpα"]
assert list(a.obs.columns) == ["day", "fate", "note", "kept"], a.obs.columns
assert a.obs["day"].tolist()[:4] == [2.0, 2.0, 4.0, 4.5] and np.isnan(a.obs["day"].iloc[4])
assert a.obs["fate"].dtype == "category" and not a.obs["fate"].cat.ordered
assert a.obs["fate"].tolist()[:1] == ["Monocyte"] and a.obs["fate"].isna().tolist() == [False, True, False, False, False]
assert a.obs["note"].tolist() == ["a", "", "c d", "ü", "e"]
assert a.obs["kept"].dtype == bool and a.obs["kept"].tolist() == [True, False, True, True, False]
assert a.var["mean"].tolist() == [0.5, 1.5, 2.5]
assert a.obsm["X_pca"].shape == (5, 2) and a.varm["PCs"].shape == (3, 2)
assert a.uns["model"] == "chreode" and a.uns["until"] == 6.5 and a.uns["paths"] == 100
assert a.uns["times"].tolist() == [2.0, 4.0]
a.obs["note"] = a.obs["note"].astype(object)
a.strings_to_categoricals = lambda *_: None  # keep the text column text
a.write_h5ad(sys.argv[1].replace(".h5ad", ".again.h5ad"), convert_strings_to_categoricals=False)
