"""Damaged and hostile model files: `FormatError` and nothing else, before anything large is allocated."""

import hashlib
import json
import re
import struct
import tracemalloc

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.models import load_model

MARK = rb'sha256\\": \\"([0-9a-f]{64})'


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a file of about 10 KB, of a model that has trained."""
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential(
        [layers.Input((4,)), layers.Dense(40, "relu", name="dense"), layers.Dense(2, name="last")], name="m"
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(9, 4)), rng.normal(size=(9, 2)), epochs=3, verbose=0)
    path = tmp_path_factory.mktemp("saved") / "m"
    model.save(path)
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path):
    """Loads bytes, which must be refused; returns the message."""

    def load(data, match=None):
        path = tmp_path / "damaged"
        path.write_bytes(data)
        with pytest.raises(fastnn.FormatError, match=match) as caught:
            load_model(path)
        assert str(caught.value).startswith(str(path))
        return str(caught.value)

    return load


def signed(data):
    """The bytes with the digest that they should have: what a hostile file looks like."""
    start, end = re.search(MARK, data).span(1)
    blank = data[:start] + b"0" * 64 + data[end:]
    return data[:start] + hashlib.sha256(blank).hexdigest().encode() + data[end:]


def parts(data):
    """(header, tensors' bytes) of a safetensors file."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header, rest):
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return signed(struct.pack("<Q", len(text)) + text + rest)


def changed(data, change, told=None):
    """The file with another header, and another text in it, signed."""
    header, rest = parts(data)
    content = json.loads(header["__metadata__"]["fastnn"])
    if told:
        told(content)
    header["__metadata__"]["fastnn"] = json.dumps(content)
    if change:
        change(header)
    return joined(header, rest)


def memory_of(action):
    """The most bytes that Python's objects took at once."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_helpers_make_files_that_load(saved, tmp_path):
    path = tmp_path / "m"
    for data in (saved, signed(saved), changed(saved, None)):
        path.write_bytes(data)
        assert load_model(path).optimizer.iterations == 3


def test_every_truncation_is_refused(saved, refused):
    for end in range(len(saved)):
        refused(saved[:end])
    refused(saved + b"\0")


def flips(data, bytes_to_flip):
    flipped = bytearray(data)
    for at in bytes_to_flip:
        for bit in range(8):
            flipped[at] ^= 1 << bit
            yield bytes(flipped)
            flipped[at] ^= 1 << bit


def test_single_bit_flips_are_refused(saved, refused):
    """A part of them: all bits of every 23rd byte, and of the first and last ones."""
    for data in flips(saved, [*range(20), *range(20, len(saved), 23), len(saved) - 1]):
        refused(data)


@pytest.mark.slow
def test_every_single_bit_flip_is_refused(saved, refused):
    assert 8_000 < len(saved) < 16_000
    for data in flips(saved, range(len(saved))):
        refused(data)


def test_things_that_are_no_model_files(refused):
    for data in (b"", b"\0" * 7, b"\xff" * 64, b"{}", b"hello" * 100):
        refused(data, "not a file that model.save")
    refused(b"PK\x03\x04" + b"\0" * 100, "Keras.*from_keras")
    refused(b"\x89HDF\r\n" + b"\0" * 100, "Keras.*from_keras")


def test_other_safetensors_files(refused, tmp_path):
    from safetensors.numpy import save

    refused(save({"w": np.zeros(3, "f4")}), "not a file that model.save")
    refused(save({"w": np.zeros(3, "f4")}, {"fastnn": "{}"}), "not a file that model.save")


# ---- files with the right digest -----------------------------------------------------------------

HEADERS = {
    "a gap": lambda h: h["weights/last/bias"].update(
        data_offsets=[n + 4 for n in h["weights/last/bias"]["data_offsets"]]
    ),
    "shape of fractions": lambda h: h["weights/last/bias"].update(shape=[2.0]),
    "shape of truth": lambda h: h["weights/last/bias"].update(shape=[2, True]),
    "shape that is none": lambda h: h["weights/last/bias"].update(shape=None),
    "many dimensions": lambda h: h["weights/last/bias"].update(shape=[2] + [1] * 100),
    "nothing times much": lambda h: h["weights/last/bias"].update(
        shape=[0, 2**62, 2**62], data_offsets=[0, 0]
    ),
    "more than three words": lambda h: h["weights/last/bias"].update(more=1),
    "offsets of one": lambda h: h["weights/last/bias"].update(data_offsets=[0]),
    "a list for a tensor": lambda h: h.update({"weights/last/bias": [1, 2]}),
    "a tensor missing": lambda h: h.pop("weights/dense/bias"),
    "another name": lambda h: h.update({"weights/dense/offset": h.pop("weights/dense/bias")}),
    "overlapping": lambda h: h["weights/last/bias"].update(
        data_offsets=h["weights/dense/bias"]["data_offsets"]
    ),
    "another shape": lambda h: h["weights/dense/kernel"].update(shape=[12, 4]),
    "absurd shape": lambda h: h["weights/dense/kernel"].update(shape=[2**40, 2**40]),
    "negative shape": lambda h: h["weights/dense/kernel"].update(shape=[-4, -12]),
    "another dtype": lambda h: h["weights/dense/kernel"].update(dtype="I32"),
    "double": lambda h: h["weights/dense/kernel"].update(dtype="F64", shape=[2, 12]),
    "offsets beyond the end": lambda h: h["weights/dense/kernel"].update(data_offsets=[0, 10**12]),
    "no metadata": lambda h: h.update(__metadata__={"fastnn": h["__metadata__"]["fastnn"], "more": "1"}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name, saved, refused):
    refused(changed(saved, HEADERS[name]))


def stack(content):
    return content["model"]["config"]["layers"]


def layer_of(kind, **config):
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def deep(content):
    inner = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 4}, "registered_name": None}
    for _ in range(300):
        inner = layer_of("Residual", layers=[inner])
    stack(content).insert(1, inner)


TEXTS = {
    "a newer format": (lambda c: c.update(format=2), "newer fastnn"),
    "no format": (lambda c: c.pop("format"), "format"),
    "format as text": (lambda c: c.update(format="1"), "format"),
    "another kind": (lambda c: c.update(kind="weights"), "load_weights"),
    "an unknown layer": (lambda c: stack(c)[1].update(class_name="Conv2D"), "Conv2D"),
    "an imported name": (lambda c: stack(c)[1].update(module="os", class_name="system"), "system"),
    "no layers": (lambda c: c["model"]["config"].pop("layers"), "layers"),
    "layers of another kind": (lambda c: c["model"]["config"].update(layers=5), ""),
    "no model": (lambda c: c.update(model=None), "config"),
    "absurd units": (lambda c: stack(c)[1]["config"].update(units=10**12), "shape"),
    "units that are no number": (lambda c: stack(c)[1]["config"].update(units="12"), "units"),
    "absurd columns": (lambda c: stack(c)[0]["config"].update(batch_shape=[None, 10**12]), "shape"),
    "absurd columns of nothing": (
        lambda c: c["model"]["config"].update(
            layers=[layer_of("InputLayer", batch_shape=[None, 10**12]), layer_of("Rescaling", scale=2.0)]
        ),
        "",
    ),
    "layers within layers": (deep, ""),
    "a layer twice": (lambda c: stack(c).append(stack(c)[1]), ""),
    "a layer less": (lambda c: stack(c).pop(), ""),
    "an unknown optimizer": (
        lambda c: c["model"]["compile_config"]["optimizer"].update(class_name="Adamm"),
        "adamm",
    ),
    "another optimizer": (
        lambda c: c["model"]["compile_config"]["optimizer"].update(
            class_name="SGD", config={"learning_rate": 0.1, "momentum": 0.9}
        ),
        "remembers",
    ),
    "an unknown loss": (lambda c: c["model"]["compile_config"].update(loss="msee"), "msee"),
    "negative steps": (lambda c: c["training"].update(iterations=-1), "iterations"),
    "absurd steps": (lambda c: c["training"].update(iterations=10**40), "iterations"),
    "epochs as text": (lambda c: c["training"].update(epochs="3"), "epochs"),
    "no slots": (lambda c: c["training"].update(slots=[]), ""),
    "an unknown slot": (lambda c: c["training"].update(slots=["momentum", "speed"]), "speed"),
    "names that are none": (lambda c: c.update(column_names=[1, 2]), "column_names"),
    "weights in another order": (lambda c: c["weights"].reverse(), "stands where"),
    "a weight less": (lambda c: c["weights"].pop(), "fewer"),
    "weights as text": (lambda c: c.update(weights="dense/kernel"), "weights"),
    "trainable too short": (lambda c: c["trainable"].pop(), "trainable"),
    "undecayed beyond": (lambda c: c.update(undecayed=[4]), "undecayed"),
    "a schedule without end": (
        lambda c: c["model"]["compile_config"]["optimizer"]["config"].update(
            learning_rate={"class_name": "PiecewiseConstantDecay", "config": {"boundaries": 1, "values": 2}}
        ),
        "",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name, saved, refused):
    told, match = TEXTS[name]
    data = changed(saved, None, told)
    assert memory_of(lambda: refused(data, match)) < 16e6


# Small files that would become much: what is said of each, and the words of the refusal.
MUCH = {
    "values": (lambda c: c.update(metadata=[{} for _ in range(100_000)]), "header takes"),
    "words": (lambda c: c.update(column_names=["ab"] * 200_000), "header takes"),
    "one long word": (lambda c: c.update(metadata="a" * 3_000_000), "header has"),
    "layers": (
        lambda c: [stack(c).insert(1, layer_of("Dropout", rate=0.1, name=f"d{i}")) for i in range(5000)],
        "settings take",
    ),
    "metrics by name": (lambda c: c["model"]["compile_config"].update(metrics=["mae"] * 20_000), "settings"),
    "classes": (
        lambda c: c["model"]["compile_config"].update(
            metrics=[{"class_name": "MeanIoU", "config": {"num_classes": 3000}}]
        ),
        "settings take",
    ),
    "thresholds": (
        lambda c: c["model"]["compile_config"].update(
            weighted_metrics=[{"class_name": "AUC", "config": {"num_thresholds": 10**9}}]
        ),
        "settings take",
    ),
    "thresholds of labels": (
        lambda c: c["model"]["compile_config"].update(
            metrics=[{"class_name": "AUC", "config": {"num_labels": 10**6, "multi_label": True}}]
        ),
        "settings take",
    ),
}


@pytest.mark.parametrize("name", MUCH)
def test_small_files_that_would_become_much(name, saved, refused):
    told, match = MUCH[name]
    data = changed(saved, None, told)
    assert memory_of(lambda: refused(data, match)) < len(data) + 16e6


def test_what_could_not_be_read_is_not_written(tmp_path):
    model = fastnn.Sequential([layers.Input((4,)), layers.Dense(2)])
    model.metadata = [{} for _ in range(100_000)]
    with pytest.raises(ValueError, match="cannot be written"):
        model.save(tmp_path / "m")
    model.metadata = None
    model.compile("sgd", "mse", metrics=[fastnn.metrics.MeanIoU(3000)])
    with pytest.raises(ValueError, match="cannot be written"):
        model.save(tmp_path / "m")
    assert not [*tmp_path.iterdir()]


def test_large_models_are_within_the_limits(tmp_path):
    """Some hundred layers, a thousand metrics, fifty thousand names of columns."""
    stack = [fastnn.layers.Dense(4, "relu", kernel_regularizer="l2") for _ in range(400)]
    model = fastnn.Sequential([fastnn.Input((50_000,)), *stack])
    metrics = [fastnn.metrics.AUC(num_thresholds=500, name=f"auc{i}") for i in range(50)]
    model.compile("adam", "mse", metrics=[*metrics, fastnn.metrics.MeanIoU(200)])
    model.column_names = [f"column {i}" for i in range(50_000)]
    model.save(tmp_path / "m")
    assert len(load_model(tmp_path / "m").layers) == 400


def test_a_key_twice(saved, refused):
    header, rest = parts(saved)
    text = header["__metadata__"]["fastnn"]
    header["__metadata__"]["fastnn"] = text[:-1] + ', "format": 1}'
    refused(joined(header, rest), "twice")


def test_json_that_nests_without_end(saved, refused):
    header, rest = parts(saved)
    text = header["__metadata__"]["fastnn"]
    header["__metadata__"]["fastnn"] = text[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}"
    refused(joined(header, rest))


def test_weights_that_are_damaged_change_nothing(saved, tmp_path):
    model = load_from(saved, tmp_path)
    before = model.get_weights()
    for data in (saved[:-1], changed(saved, lambda h: h.pop("weights/dense/bias"))):
        (tmp_path / "w").write_bytes(data)
        with pytest.raises(fastnn.FormatError):
            model.load_weights(tmp_path / "w")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def load_from(data, folder):
    (folder / "good").write_bytes(data)
    return load_model(folder / "good")
