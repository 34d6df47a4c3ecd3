"""Learning-rate schedules: the compiled formulas against NumPy's, and their powers and cosines."""

import decimal
import math

import numpy as np
import pytest
from support import compiled, digest, instruction_set, train

from fastnn.kernels import rates, runtime
from fastnn.optimizers import schedules

SCHEDULES = {
    "exponential": lambda: schedules.ExponentialDecay(0.1, 7, 0.9),
    "exponential staircase": lambda: schedules.ExponentialDecay(0.1, 7, 0.5, staircase=True),
    "exponential to nothing": lambda: schedules.ExponentialDecay(0.1, 7, 0),
    "exponential rising": lambda: schedules.ExponentialDecay(1e-7, 1e8, 1.3),
    "inverse time": lambda: schedules.InverseTimeDecay(0.1, 7, 0.5),
    "inverse time staircase": lambda: schedules.InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    "polynomial": lambda: schedules.PolynomialDecay(0.1, 100),
    "polynomial square root": lambda: schedules.PolynomialDecay(0.1, 100, 0.03, power=0.5),
    "polynomial power": lambda: schedules.PolynomialDecay(0.1, 100, 0.0, power=2.7),
    "polynomial constant": lambda: schedules.PolynomialDecay(0.1, 100, 0.0, power=0),
    "polynomial cycle": lambda: schedules.PolynomialDecay(0.1, 30, 0.01, power=2.0, cycle=True),
    "piecewise": lambda: schedules.PiecewiseConstantDecay([0, 5, 6, 100], [0.5, 0.4, 0.3, 0.2, 0.1]),
    "piecewise constant": lambda: schedules.PiecewiseConstantDecay([], [0.5]),
    "cosine": lambda: schedules.CosineDecay(0.1, 100, alpha=0.05),
    "cosine warm-up": lambda: schedules.CosineDecay(0.01, 100, 0.1, warmup_target=0.2, warmup_steps=17),
    "cosine no rise": lambda: schedules.CosineDecay(0.01, 100, 0.1, warmup_target=0.2),
    "cosine restarts": lambda: schedules.CosineDecayRestarts(0.1, 10),
    "cosine restarts of one length": lambda: schedules.CosineDecayRestarts(0.1, 10, 1.0, 0.9, 0.1),
    "cosine restarts, longer": lambda: schedules.CosineDecayRestarts(0.1, 10, 1.3, 0.8),
    "cosine restarts, ever shorter": lambda: schedules.CosineDecayRestarts(0.1, 64, 0.5, 1.0, 0.2),
    "one cycle": lambda: schedules.OneCycle(0.2, 100),
    "one cycle without a rise": lambda: schedules.OneCycle(0.2, 100, 0.0, 10.0, 2.0),
    "one cycle that only rises": lambda: schedules.OneCycle(0.2, 100, 1.0),
}
STEPS = [*range(131), 199, 200, 201, 300, 999, 1000, 10**6, 10**9]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_compiled_schedules_are_the_declared_ones(name):
    schedule = SCHEDULES[name]()
    compiled_schedule = schedule.native_rates()
    assert compiled_schedule.function is None
    wanted = np.array([schedule(step) for step in STEPS])
    np.testing.assert_allclose(schedule(np.array(STEPS)), wanted, rtol=1e-14)
    got = np.array([compiled_schedule(step) for step in STEPS])
    np.testing.assert_allclose(got, wanted, rtol=4e-15, atol=5e-17)
    again = [compiled_schedule(step) for step in reversed(STEPS)]
    assert again[::-1] == got.tolist(), "the rate depends on what was asked before"


def test_every_compiled_schedule_has_a_case():
    kinds = {SCHEDULES[name]().native for name in SCHEDULES}
    assert kinds == set(rates.SCHEDULES) - {"table"}
    assert kinds == {c.native for c in schedules._CLASSES}


def test_powers():
    """Against 40 digits: about one rounding, more only where the result nearly overflows or vanishes."""
    rng = np.random.default_rng(5)
    bases = [0.96, 0.1, 0.999999, 0.5, 2.0, 1.5, 1e-30, *rng.uniform(0.01, 3, 50).tolist()]
    with decimal.localcontext(prec=40):
        for base in bases:
            limit = 600 / max(abs(math.log(base)), 1e-3)
            for exponent in (0.0, 1.0, 0.5, 1 / 3, *rng.uniform(0, limit, 5).tolist()):
                exact = (decimal.Decimal(base).ln() * decimal.Decimal(exponent)).exp()
                got = decimal.Decimal(rates.power_of(base, exponent))
                limit_here = 3e-16 + 1.2e-17 * abs(exponent * math.log(base))
                assert abs(got / exact - 1) < decimal.Decimal(limit_here), (base, exponent)
    assert rates.power_of(0.0, 0.0) == rates.power_of(0.0, 0) == rates.power_of(7.0, 0.0) == 1.0
    assert rates.power_of(0.0, 0.5) == 0.0
    assert rates.power_of(1.0, 1e300) == 1.0
    assert rates.power_of(0.5, 1e4) == 0.0
    assert rates.power_of(2.0, 1e4) == math.inf


def test_cosines():
    x = np.arange(4097) / 4096
    got = np.array([rates.cosine_of_pi(v) for v in x])
    # NumPy's argument is rounded, which costs up to half a unit of pi
    np.testing.assert_allclose(got, np.cos(np.pi * x), rtol=0, atol=4e-16)
    assert [rates.cosine_of_pi(v) for v in (0.0, 0.5, 1.0)] == [1.0, 0.0, -1.0]
    assert got.tolist() == (-got[::-1]).tolist()


def problem(dtype, **options):
    rng = np.random.default_rng(3)
    layers = [(9, "tanh", True), (1, "linear", True)]
    weights = [rng.normal(size=s) for s in ((4, 9), (9,), (9, 1), (1,))]
    net = compiled(layers, 4, dtype, weights, "mean_squared_error", optimizer="sgd", **options)
    return net, rng.normal(size=(23, 4)).astype(dtype), rng.normal(size=(23, 1)).astype(dtype)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_training_follows_the_schedule(name, dtype):
    """As training whose rate is assigned before each step; all ways through a step, two fits like one."""
    schedule = SCHEDULES[name]()
    by_hand, x, y = problem(dtype)
    for step in range(12):
        by_hand.set_hyper("learning_rate", schedule.native_rates()(step))
        rows = slice(0, 12) if step % 2 == 0 else slice(12, 23)
        train(by_hand, x[rows], y[rows], epochs=1, batch_size=12)
    for threads in (1, 2):
        net, _, _ = problem(dtype)
        net.set_rates(schedule.native_rates())
        train(net, x, y, epochs=2, batch_size=12, num_threads=threads)
        train(net, x, y, epochs=4, batch_size=12, num_threads=threads)
        assert net.iterations == 12
        assert digest(net.weights()) == digest(by_hand.weights()), threads


def test_whole_epochs_in_one_call_follow_the_schedule():
    schedule = SCHEDULES["cosine"]()
    by_hand, x, y = problem(np.float32)
    for step in range(50):
        by_hand.set_hyper("learning_rate", schedule.native_rates()(step))
        train(by_hand, x, y, epochs=1, batch_size=23)
    net, _, _ = problem(np.float32)
    net.set_rates(schedule.native_rates())
    train(net, x, y, epochs=50, batch_size=23)
    assert digest(net.weights()) == digest(by_hand.weights())


def test_same_bits_for_every_instruction_set():
    digests = set()
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            net, x, y = problem(np.float32)
            net.set_rates(schedules.CosineDecayRestarts(0.05, 7, 1.5, 0.9).native_rates())
            train(net, x, y, epochs=20, batch_size=5)
            digests.add(digest(net.weights()))
    assert len(digests) == 1


@pytest.mark.parametrize("batch", [23, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_function_is_asked_for_every_step(batch, threads):
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1 / (1 + step)

    by_hand, x, y = problem(np.float64)
    by_hand.set_rates(schedules.InverseTimeDecay(0.1, 1, 1).native_rates())
    net, _, _ = problem(np.float64)
    net.set_rates(rates.Rates("table", function=rate))
    epochs = 2500 // math.ceil(23 / batch)  # more steps than are asked for at once
    for n in (by_hand, net):
        train(n, x, y, epochs=epochs, batch_size=batch, num_threads=threads)
    assert digest(net.weights()) == digest(by_hand.weights())
    assert asked == list(range(len(asked)))
    assert len(asked) >= net.iterations > 2000


@pytest.mark.parametrize(
    ("value", "names"),
    [("fast", ["fast", "step 0", "number"]), (math.nan, ["nan", "step 0"]), (-1.0, ["-1.0", "at least 0"])],
)
def test_bad_values_of_a_function(value, names):
    net, x, y = problem(np.float32)
    before = digest(net.weights())
    net.set_rates(rates.Rates("table", function=lambda step: value))
    with pytest.raises((TypeError, ValueError)) as caught:
        train(net, x, y, epochs=1, batch_size=4)
    assert all(name in str(caught.value) for name in names)
    assert digest(net.weights()) == before
    net.set_rates(None)
    train(net, x, y, epochs=1, batch_size=4)


def test_unknown_kinds_and_wrong_numbers():
    with pytest.raises(ValueError, match="exponential"):
        rates.Rates("exponentiel", [1.0])
    with pytest.raises(ValueError, match="decay_steps"):
        rates.Rates("exponential", [1.0])
