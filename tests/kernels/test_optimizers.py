"""optimizer_update against the oracle, one weight array at a time."""

import numpy as np
import oracle
import pytest
from support import HYPER, attempt, instruction_set, same_bits

import fastnn.kernels as k
from fastnn.kernels import runtime

CASES = [
    ("sgd", {"learning_rate": 0.1}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": 1.0}),
    ("adam", {"learning_rate": 0.01}),
    ("adam", {"learning_rate": 0.3, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("adam", {"learning_rate": 0.3, "beta_1": 0.0, "beta_2": 0.0}),
]
SHAPES = [(1,), (2,), (7,), (16,), (33,), (257,), (3, 5), (17, 15), (64, 33)]


def new_slots(name, hyper, w):
    """None for plain gradient descent, a velocity with momentum, two moments for Adam."""
    count = 2 if name == "adam" else int(hyper.get("momentum", 0) != 0)
    return [np.zeros_like(w) for _ in range(count)]


def run(name, hyper, w, gradients):
    w = w.copy()
    slots = new_slots(name, hyper, w)
    for step, g in enumerate(gradients, 1):
        assert k.optimizer_update(name, w, g, slots, {**HYPER[name], **hyper}, step) is None
    return [w, *slots]


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_the_oracle(name, hyper, shape, dtype, isa, rng):
    w = rng.normal(size=shape).astype(dtype)
    gradients = [(10.0 ** (i % 4 - 2) * rng.normal(size=shape)).astype(dtype) for i in range(9)]
    if hyper.get("beta_2") == 0:  # v + (g² - v) is a bad way to write g² where v is large
        gradients = [(np.sign(g) * rng.uniform(1, 2, size=shape)).astype(dtype) for g in gradients]
    got, *slots = run(name, hyper, w, gradients)
    expected = w.astype(float)
    optimizer = oracle.OPTIMIZERS[name](**{**hyper, **({"nesterov": True} if hyper.get("nesterov") else {})})
    for g in gradients:
        optimizer.step([expected], [g.astype(float)])
    tolerance = 60 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    if optimizer.slots:
        wanted = optimizer.slots[0] if name == "adam" else [optimizer.slots[0]]
        for slot, want in zip(slots, wanted, strict=True):
            np.testing.assert_allclose(slot, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_every_instruction_set(name, hyper, shape, dtype, rng):
    w = rng.normal(size=shape).astype(dtype)
    gradients = [rng.normal(size=shape).astype(dtype) for _ in range(5)]
    results = []
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            results.append(run(name, hyper, w, gradients))
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_an_element_does_not_depend_on_its_place(name, hyper, dtype, isa, rng):
    w, g = rng.normal(size=67).astype(dtype), rng.normal(size=67).astype(dtype)
    whole = run(name, hyper, w, [g, -2 * g])
    for start, stop in ((0, 1), (5, 22), (64, 67)):
        part = run(name, hyper, w[start:stop], [g[start:stop], -2 * g[start:stop]])
        assert all(same_bits(a[start:stop], b) for a, b in zip(whole, part, strict=True))


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_no_gradient_no_move(name, hyper, dtype, isa, rng):
    w = rng.normal(size=37).astype(dtype)
    got, *slots = run(name, hyper, w, [np.zeros(37, dtype)] * 3)
    assert same_bits(got, w)
    assert not any(s.any() for s in slots)


def test_adam_steps_have_one_size_whatever_the_gradient(dtype, isa):
    """The first step is lr * g / (|g| + eps'), for gradients over (almost) the whole range of the type."""
    info = np.finfo(dtype)
    g = np.exp2(np.arange(info.minexp // 2 + 8, info.maxexp // 2 - 4)).astype(dtype)
    got = run("adam", {"learning_rate": 1.0, "epsilon": 0.0}, np.zeros_like(g), [g])[0]
    np.testing.assert_allclose(got, -1, rtol=8 * info.eps)


def test_adam_survives_a_second_moment_of_infinity(dtype, isa):
    w, g = np.ones(5, dtype), np.full(5, np.finfo(dtype).max / 4, dtype)
    g[3] = 1.0
    got = run("adam", {"learning_rate": 0.5}, w, [g])[0]
    assert np.isfinite(got).all()
    assert (np.delete(got, 3) == 1).all()
    np.testing.assert_allclose(got[3], 0.5, rtol=1e-5)


def test_adam_after_millions_of_steps(dtype, isa):
    """The bias correction tends to one, and nothing overflows on the way."""
    w, slots = np.zeros(1, dtype), [np.full(1, 0.5, dtype), np.full(1, 0.25, dtype)]
    k.optimizer_update(
        "adam", w, np.full(1, 0.5, dtype), slots, {**HYPER["adam"], "learning_rate": 0.1}, 10**9
    )
    np.testing.assert_allclose(w, -0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"name": "adm"}, ["adm", "adam"]),
        ({"g": np.ones(4)}, ["g", "4", "5"]),
        ({"g": np.ones(5, np.float32)}, ["g", "float32"]),
        ({"slots": []}, ["slot", "2", "0"]),
        ({"slots": [np.zeros(5)]}, ["slot", "1", "2"]),
        ({"slots": [np.zeros(5), np.zeros(4)]}, ["slots", "4"]),
        ({"hyper": {**HYPER["adam"], "lr": 1.0}}, ["lr"]),
        ({"step": 0}, ["step", "0"]),
        ({"w": np.ones(5, int)}, ["w", "int"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(change, names):
    good = {
        "name": "adam",
        "w": np.ones(5),
        "g": np.ones(5),
        "slots": [np.zeros(5), np.zeros(5)],
        "hyper": HYPER["adam"],
        "step": 1,
    }
    arguments = {**good, **change}
    before = np.array(arguments["w"])
    with pytest.raises((ValueError, TypeError)) as caught:
        k.optimizer_update(**arguments)
    for name in names:
        assert name in str(caught.value)
    assert np.array_equal(arguments["w"], before)


def test_read_only_weights_are_refused():
    w = np.ones(5)
    w.flags.writeable = False
    with pytest.raises(ValueError, match="w"):
        k.optimizer_update("sgd", w, np.ones(5), [], HYPER["sgd"], 1)
    assert (w == 1).all()


def test_strided_weights_are_updated_in_place_or_refused(dtype):
    buffer = np.ones(10, dtype)
    w = buffer[::2]
    _, error = attempt(lambda: k.optimizer_update("sgd", w, np.ones(5, dtype), [], HYPER["sgd"], 1))
    if error:
        assert "w" in error
        assert (buffer == 1).all()
    else:
        np.testing.assert_allclose(w, 0.99, rtol=1e-6)
        assert (buffer[1::2] == 1).all()
