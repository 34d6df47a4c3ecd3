"""``compile(precision="bfloat16")`` on models: what it takes, what it changes, and what it leaves alone."""

import numpy as np
import pytest
from support import digest, instruction_set, mlp, state

import fastnn as keras
from fastnn.cli import main
from fastnn.kernels import runtime

SETTINGS = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


@pytest.fixture
def problem(rng):
    centre = rng.normal(size=(5, 40))
    y = rng.integers(0, 5, size=600)
    return (centre[y] + 0.7 * rng.normal(size=(600, 40))).astype("f4"), y


def model(dtype=None, **settings):
    return mlp(40, (64, "relu"), (48, "tanh"), (5, "softmax"), dtype=dtype, **{**SETTINGS, **settings})


def test_it_learns_as_float32_does(problem):
    losses = {}
    for precision in (None, "float32", "bfloat16"):
        m = model(precision=precision)
        losses[precision] = m.fit(*problem, epochs=8, verbose=0).history["loss"]
        assert m.evaluate(*problem, verbose=0)[1] > 0.97
    assert losses[None] == losses["float32"] != losses["bfloat16"]
    np.testing.assert_allclose(losses["bfloat16"], losses[None], rtol=0.02)


def test_prediction_uses_the_float32_weights(problem):
    reduced, full = model(precision="bfloat16"), model()
    reduced.fit(*problem, epochs=1, verbose=0)
    full.set_weights(reduced.get_weights())
    assert digest([reduced.predict(problem[0], verbose=0)]) == digest([full.predict(problem[0], verbose=0)])


def test_train_on_batch_and_the_number_of_threads(problem):
    found = set()
    for threads in (1, 2, 5):
        keras.set_num_threads(threads)
        try:
            m = model(precision="bfloat16")
            m.fit(*problem, epochs=2, verbose=0)
            m.train_on_batch(*problem)
            found.add(digest(m.get_weights()))
        finally:
            keras.set_num_threads(None)
    assert len(found) == 1


def ways():
    """(instruction set, kind, threads) of every way to compute here."""
    found = []
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            found += [(isa, kind, threads) for kind in runtime.bfloat16_kinds() for threads in (1, 2)]
    return found


WHOLE = {
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "adafactor": lambda: keras.optimizers.Adafactor(0.05),
    "muon": lambda: keras.optimizers.Muon(0.01),
    "clipnorm": lambda: keras.optimizers.Adam(0.005, clipnorm=0.05),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.2, momentum=0.5, global_clipnorm=0.3),
    "averages": lambda: keras.optimizers.Adam(0.005, use_ema=True, ema_momentum=0.8),
    "all": lambda: keras.optimizers.Muon(
        0.01, clipnorm=0.2, use_ema=True, ema_overwrite_frequency=7, gradient_accumulation_steps=2
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_optimizers_that_look_at_whole_variables(name, problem):
    """Near the run in float32, on weights of float32; the same bits on all threads and instruction sets."""

    def run(precision, threads=None):
        keras.set_num_threads(threads)
        m = model(optimizer=WHOLE[name](), precision=precision)
        return m, m.fit(*problem, batch_size=100, epochs=6, verbose=0).history["loss"]

    full, expected = run(None)
    found = {}
    for isa, kind, threads in ways():
        with instruction_set(isa):
            runtime.use_bfloat16(kind)
            try:
                m, history = run("bfloat16", threads)
            finally:
                runtime.use_bfloat16(None)
            # AMX adds in an order of its own
            found.setdefault(kind == "amx", set()).add(digest([*m.get_weights(), history]))
            assert history[-1] < 0.8 * history[0]
            np.testing.assert_allclose(history, expected, rtol=0.03)
            for got, wanted in zip(m.get_weights(), full.get_weights(), strict=True):
                assert got.dtype == np.float32
                assert np.linalg.norm(got - wanted) < 0.1 * np.linalg.norm(wanted) + 0.01
                # the masters are no bfloat16 themselves
                assert got.size < 100 or (got.view(np.uint32) & 0xFFFF).any()
    assert all(len(bits) == 1 for bits in found.values()), found
    assert digest(m.get_weights()) != digest(full.get_weights())


def test_compiling_again_changes_the_precision(problem):
    weights = []
    for first in ("bfloat16", None):
        m = model(precision=first)
        m.compile(**SETTINGS)
        assert m.precision == "float32"
        m.fit(*problem, epochs=1, verbose=0)
        weights.append(digest(m.get_weights()))
    assert weights[0] == weights[1]


def test_the_config_holds_it():
    m = model(precision="bfloat16")
    config = m.get_compile_config()
    assert config["precision"] == "bfloat16"
    other = model()
    assert other.get_compile_config()["precision"] is None
    other.compile_from_config(config)
    assert other.precision == "bfloat16"


@pytest.mark.parametrize(
    ("dtype", "precision", "words"),
    [
        (None, "fp16", "precision must be None .the model's dtype., 'bfloat16'"),
        (None, 16, "precision must be None .* got 16"),
        (None, "float64", "the model's dtype is 'float32'"),
        ("float64", "float32", "the model's dtype is 'float64'"),
        ("float64", "bfloat16", "precision='bfloat16' needs a model of dtype 'float32', .* is 'float64'"),
    ],
)
def test_a_precision_that_cannot_be(dtype, precision, words, problem):
    m = model(dtype=dtype)
    m.fit(*problem, epochs=1, verbose=0)
    before = state(m), m.precision
    with pytest.raises(ValueError, match=words):
        m.compile(**SETTINGS, precision=precision)
    assert before == (state(m), m.precision)


def test_a_model_whose_layers_come_later(problem):
    m = keras.Sequential()
    m.compile(**SETTINGS, precision="bfloat16")
    m.add(keras.layers.Dense(5, activation="softmax", dtype="float64"))
    with pytest.raises(ValueError, match="needs a model of dtype 'float32'"):
        m.fit(*problem, epochs=1, verbose=0)


def test_summary_and_info_say_so(capsys):
    model().summary()
    assert "bfloat16" not in capsys.readouterr().out
    model(precision="bfloat16").summary()
    assert f"Training precision: bfloat16 ({runtime.bfloat16_kind()})" in capsys.readouterr().out
    assert main(["info"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("bfloat16"))
    assert runtime.bfloat16_kind() in line
