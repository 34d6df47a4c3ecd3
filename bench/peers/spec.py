"""A workload as a folder, ``spec.json`` and ``arrays.npz``: peers need not import fastnn to read it."""

import json
from pathlib import Path

import numpy as np

FIELDS = [
    *["key", "network", "inputs", "layers", "loss", "rows", "batch", "optimizer", "learning_rate"],
    *["models", "widths", "products", "flops", "sparse"],
]


def write(folder, workload, data, *, inference=None, checked=None):
    """Write ``workload`` with its ``data`` (x, y), and rows for a `checked` training, into a new ``folder``.

    ``inference`` is a number of rows, where not training but calls with so many are measured.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    spec = {name: getattr(workload, name) for name in FIELDS} | {"inference": inference}
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    arrays = {f"weight{i}": w for i, w in enumerate(stacked_weights(workload))}
    arrays["x"], arrays["y"] = data
    if checked is not None:
        arrays["checked_x"], arrays["checked_y"] = checked
    np.savez(folder / "arrays.npz", **arrays)


def stacked_weights(workload):
    """First weights; of several models, with a leading axis."""
    if workload.models == 1:
        return workload.initial_weights()
    many = [workload.initial_weights(seed) for seed in range(workload.models)]
    return [np.stack(same) for same in zip(*many, strict=True)]


def stacked_data(workload, rows=None):
    """``x`` and ``y``; of several models, with a leading axis."""
    if workload.models == 1:
        return workload.data(rows)
    many = [workload.data(rows, seed) for seed in range(workload.models)]
    return tuple(np.stack(same) for same in zip(*many, strict=True))


class Spec:
    """What `write` wrote: the attributes of a workload, and its arrays."""

    def __init__(self, folder):
        text = Path(folder, "spec.json").read_text(encoding="utf-8")
        self.__dict__.update(json.loads(text))
        self.layers = [tuple(layer) for layer in self.layers]
        self.products = [tuple(product) for product in self.products]
        with np.load(Path(folder, "arrays.npz")) as arrays:
            self.arrays = dict(arrays)

    def steps(self, rows):
        """Steps of an epoch of so many rows."""
        return -(-rows // self.batch)

    def initial_weights(self):
        """Kernel and bias, layer after layer."""
        return [self.arrays[f"weight{i}"].copy() for i in range(2 * len(self.layers))]
