"""100 random models to ONNX Runtime and back: both agree with predict.

Tolerances are relative to the largest output of a row, as sums of products cancel, and an output near 0 has
the error of what it was made of. float64: 1e-12 of it (1e-6 is what is promised). float32: a row of one
output has no other magnitude, so there it is the model's largest output of all rows, and 1e-6 of that, or
three times what fastnn's own float32 outputs are off from float64 where that is more: some deep models make
much of a rounding error, whoever makes it.
"""

import numpy as np
import pytest
from random_onnx_models import model as random_model

from fastnn.convert import from_onnx
from fastnn.exporting.onnx_model import onnx_model
from fastnn.exporting.steps import program

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

MODELS, PARTS = 100, 10


def seeds(part):
    return range(part, MODELS, PARTS)


def tolerance(written, x, got):
    """What the outputs may differ by, (rows, 1) or one for all."""
    if got.dtype == np.float64:
        return 1e-12 * np.abs(got).max(axis=1, keepdims=True)
    exact = from_onnx(onnx_model(written._replace(dtype=np.dtype(np.float64)))).predict(x.astype(np.float64))
    rounding = np.abs(got - exact).max()
    assert rounding <= 1e-4 * np.abs(exact).max()
    return max(1e-6 * np.abs(exact).max(), 3 * rounding)


@pytest.mark.parametrize("part", range(PARTS))
def test_there_and_back(part, tmp_path):
    for seed in seeds(part):
        model, x = random_model(seed)
        rows = x.reshape(len(x), -1)
        want = model.predict(x)
        assert np.isfinite(want).all(), seed
        path = tmp_path / f"{seed}.onnx"
        model.export(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        theirs = session.run(["output"], {"input": rows})[0]
        back = from_onnx(path).predict(rows)
        assert theirs.dtype == back.dtype == want.dtype == model.dtype
        allowed = tolerance(program(model), rows, want)
        for who, found in (("ONNX Runtime", theirs), ("from_onnx", back)):
            assert found.shape == want.shape
            off = np.abs(found - want)
            assert (off <= allowed).all(), f"model {seed}, {who}: off by {off.max():.2g}"
        assert (np.abs(back - theirs) <= 2 * allowed).all(), seed


def test_models_are_of_all_kinds():
    """Each layer and each activation occurs in what is compared."""
    kinds, activations, depths = set(), set(), set()

    def look(layer):
        kinds.add(type(layer).__name__)
        if hasattr(layer, "activation"):
            activations.add(layer.activation.name)
        for inner in getattr(layer, "layers", []):
            look(inner)

    for seed in range(MODELS):
        model, _ = random_model(seed)
        depths.add(sum(type(layer).__name__ == "Dense" for layer in model.layers))
        for layer in model.layers:
            look(layer)
    from fastnn import layers
    from fastnn.exporting.onnx_activations import WRITERS

    assert kinds == set(layers.LAYERS.entries) - {"InputLayer"}
    assert activations >= set(WRITERS)
    assert depths == {1, 2, 3, 4, 5}
