"""optimizer_update against the oracle, one weight array at a time."""

import numpy as np
import oracle
import pytest
from support import DIRECTIONS, HYPER, VARIANTS, attempt, instruction_set, new_slots, same_bits

import fastnn.kernels as k
from fastnn import optimizers
from fastnn.kernels import optimizers as compiled_optimizers, runtime

CASES = [
    *VARIANTS.values(),
    ("adam", {"learning_rate": 0.3, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("adam", {"learning_rate": 0.3, "beta_1": 0.0, "beta_2": 0.0}),
    ("adam", {"learning_rate": 0.01, "weight_decay": 0.3}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "clipvalue": 0.25}),
    ("ftrl", {"learning_rate": 0.1, "weight_decay": 0.1, "clipvalue": 0.1}),
    ("ftrl", {"learning_rate": 0.1, "learning_rate_power": 0.0, "l1_regularization_strength": 0.1}),
    ("nadam", {"learning_rate": 0.1, "beta_1": 0.0}),
]
SHAPES = [(1,), (2,), (7,), (16,), (33,), (257,), (3, 5), (17, 15), (64, 33)]


def run(name, hyper, w, gradients):
    w = w.copy()
    slots = new_slots(name, hyper, w)
    for step, g in enumerate(gradients, 1):
        assert k.optimizer_update(name, w, g, slots, {**HYPER[name], **hyper}, step) is None
    return [w, *slots]


def test_every_line_has_a_case():
    assert set(compiled_optimizers.VARIANTS) == {*VARIANTS, *DIRECTIONS}


@pytest.mark.parametrize("name", sorted(HYPER))
def test_defaults_are_those_that_are_written_down(name):
    assert compiled_optimizers.HYPER[name] == HYPER[name]


def tolerances(name, hyper, dtype):
    """Roundings of nine steps; where a difference of nearly equal numbers is divided by, more."""
    eps = np.finfo(dtype).eps
    return eps * (2000 if name == "ftrl" or hyper.get("centered") else 60)


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_the_oracle(name, hyper, shape, dtype, isa, rng):
    w = rng.normal(size=shape).astype(dtype)
    gradients = [(10.0 ** (i % 4 - 2) * rng.normal(size=shape)).astype(dtype) for i in range(9)]
    if 0 in (hyper.get("beta_1"), hyper.get("beta_2")):  # m + (g - m) is a bad way to write g
        gradients = [(np.sign(g) * rng.uniform(1, 2, size=shape)).astype(dtype) for g in gradients]
    got, *slots = run(name, hyper, w, gradients)
    expected = w.astype(float)
    optimizer = oracle.OPTIMIZERS[name](**hyper)
    for g in gradients:
        optimizer.step([expected], [g.astype(float)])
    tolerance = tolerances(name, hyper, dtype)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    for slot, want in zip(slots, optimizer.slots[0], strict=True):
        np.testing.assert_allclose(slot, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_the_declared_formula_is_what_is_computed(name, hyper, rng):
    """`Optimizer.update` of fastnn.optimizers is documentation that runs."""
    w, slots = rng.normal(size=5), new_slots(name, hyper, np.zeros(5))
    mine, its = w.copy(), [s.copy() for s in slots]
    declared = optimizers.TABLE[name].update
    for step in range(1, 5):
        g = rng.normal(size=5)
        k.optimizer_update(name, w, g, slots, hyper, step)
        full = {**HYPER[name], **hyper}
        clip = full.pop("clipvalue", np.inf)
        mine -= mine * full.pop("weight_decay", 0.0) * full["learning_rate"]
        mine, its = declared(mine, np.clip(g, -clip, clip), its, step, full)
    np.testing.assert_allclose(w, mine, rtol=1e-12)
    for slot, want in zip(slots, its, strict=True):
        np.testing.assert_allclose(slot, want, rtol=1e-12)


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_many_steps(name, hyper, isa, rng):
    """Powers of the number of the step stay right over hundreds of steps."""
    w = rng.normal(size=3)
    gradients = [rng.normal(size=3) + 0.5 for _ in range(700)]
    got = run(name, hyper, w, gradients)[0]
    optimizer = oracle.OPTIMIZERS[name](**hyper)
    for g in gradients:
        optimizer.step([w], [g])
    np.testing.assert_allclose(got, w, rtol=1e-9, atol=1e-11)


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


STILL = [c for c in CASES if not {"weight_decay", "l2_shrinkage_regularization_strength"} & c[1].keys()]


@pytest.mark.parametrize(("name", "hyper"), STILL, ids=str)
def test_no_gradient_no_move(name, hyper, dtype, isa, rng):
    w = rng.normal(size=37).astype(dtype)
    before = new_slots(name, hyper, w)
    got, *slots = run(name, hyper, w, [np.zeros(37, dtype)] * 3)
    if name == "ftrl":  # whose weights follow from what it remembers
        assert not got.any()
    else:
        assert same_bits(got, w)
    assert all(same_bits(s, was) for s, was in zip(slots, before, strict=True))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_places_without_a_weight_stay_zero(variant, dtype, isa):
    """Even where nothing is added to a divisor: vectors' ends are no weights, but are looked at for NaN."""
    name, hyper = VARIANTS[variant]
    zero = {key: 0.0 for key in ("epsilon", "initial_accumulator_value", "beta") if key in HYPER[name]}
    zero["l2_regularization_strength"] = 0.0
    hyper = {**hyper, **{key: value for key, value in zero.items() if key in HYPER[name]}}
    got = run(name, hyper, np.zeros(21, dtype), [np.zeros(21, dtype)] * 3)[0]
    assert same_bits(got, np.zeros(21, dtype))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_nan_stays_and_huge_gradients_do_not_become_nan(variant, dtype, isa):
    name, hyper = VARIANTS[variant]
    w, g = np.ones(5, dtype), np.ones(5, dtype)
    g[1] = np.nan
    assert np.isnan(run(name, hyper, w, [g, np.ones(5, dtype)])[0]).tolist() == [False, True] + 3 * [False]
    g[1] = np.sqrt(np.finfo(dtype).max) / 8  # its square is still a number
    assert np.isfinite(run(name, hyper, w, [g, -g])[0]).all()


@pytest.mark.parametrize("clip", [0.25, 1e30])
def test_clipping_and_decay(clip, dtype, isa, rng):
    w, g = rng.normal(size=37).astype(dtype), rng.normal(size=37).astype(dtype)
    g[3] = np.nan
    before = g.copy()
    got = run("sgd", {"learning_rate": 0.5, "clipvalue": clip, "weight_decay": 0.25}, w, [g])[0]
    assert same_bits(g, before), "the caller's gradient was changed"
    expected = w * (1 - dtype.type(0.125)) - dtype.type(0.5) * np.clip(g, -clip, clip)
    np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-7)
    assert np.isnan(got[3])


def test_nadam_may_start_anywhere(rng):
    """The product of momenta is a function of the step, not of what was computed before."""
    w = rng.normal(size=3)
    slots = [rng.normal(size=3), rng.uniform(1, 2, size=3)]
    g, hyper = rng.normal(size=3), {"learning_rate": 0.1, "beta_1": 0.999}
    for step in (1, 63, 64, 400, 10**5):
        optimizer = oracle.Nadam(**hyper, slots={0: [s.copy() for s in slots]}, steps=step - 1)
        want, got = w.copy(), w.copy()
        optimizer.step([want], [g])
        k.optimizer_update("nadam", got, g, [s.copy() for s in slots], hyper, step)
        np.testing.assert_allclose(got, want, rtol=1e-11)


def test_nadam_without_momentum(rng):
    """The product of momenta is zero then, and its memory, which holds zeros at first, is of no step."""
    w, slots = rng.normal(size=3), [np.zeros(3), rng.uniform(1, 2, size=3)]
    g, hyper = rng.normal(size=3), {"learning_rate": 0.1, "beta_1": 0.0}
    for step in (1, 2, 64):
        optimizer = oracle.Nadam(**hyper, slots={0: [s.copy() for s in slots]}, steps=step - 1)
        want, got = w.copy(), w.copy()
        optimizer.step([want], [g])
        k.optimizer_update("nadam", got, g, [s.copy() for s in slots], hyper, step)
        np.testing.assert_allclose(got, want, rtol=1e-11)


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
