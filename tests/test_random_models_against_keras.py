"""Random models beside Keras itself: the same history, evaluation, predictions and weights.

What the models are made of stands in keras_options.py, how they are made in random_models.py. All of them,
where Keras is installed:

    FASTNN_RANDOM_MODELS=all pytest tests/test_random_models_against_keras.py

A number runs so many; without it, a few. Keras runs in processes of its own, with JAX in float64 or float32.
"""

import importlib.util
import os
import re
import warnings
from collections import Counter

import pytest
import random_models
from keras_options import EXCEPTIONS, OPTIONS
from random_models import TOLERANCES, agree, models, program, run

import fastnn

FEW = 6


def chosen():
    """As many models as were asked for, over the whole list."""
    asked = os.environ.get("FASTNN_RANDOM_MODELS", str(FEW))
    count = len(models()) if asked == "all" else min(int(asked), len(models()))
    return [models()[i * len(models()) // count] for i in range(count)]


@pytest.fixture(scope="module")
def keras_runs(tmp_path_factory):
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec("jax") is None:
        pytest.skip("Keras and JAX are not installed")
    runs = random_models.KerasRuns(chosen(), tmp_path_factory.mktemp("keras"), len(os.sched_getaffinity(0)))
    yield runs
    runs.close()


def run_quietly(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(model.code, fastnn)


@pytest.mark.parametrize("model", chosen(), ids=lambda model: f"{model.seed}-{model.dtype}")
def test_random_model(model, keras_runs):
    theirs = keras_runs.result(model)
    try:
        assert isinstance(theirs, dict), f"Keras fails:\n{theirs}"
        agree(run_quietly(model), theirs, **model.tolerance)
    except Exception as error:
        raise AssertionError(f"{error}\n\nThis program shows it:\n\n{program(model)}") from error


# ---- the models themselves: nothing here needs Keras ----


def test_enough_models():
    assert len(models()) >= 200
    assert sum(model.dtype == "float32" for model in models()) == len(models()) // 6


def test_every_option_occurs_in_five_models():
    counts = Counter(option for model in models() for option in model.options)
    rare = [
        (kind, source, counts[kind, source])
        for kind, sources in OPTIONS.items()
        for source in sources
        if counts[kind, source] < 5
    ]
    assert not rare, f"{rare}: raise random_models.MODELS, or CHANCES of the kind"


def test_exceptions_are_few_and_have_reasons():
    assert len(EXCEPTIONS) <= 5
    assert all(EXCEPTIONS.values())


def test_options_stand_in_the_code():
    """What is counted is what runs."""

    def words(text):
        return set(re.findall(r"[A-Za-z_]\w*|\d+\.\d+", text))

    for model in models():
        for kind, source in model.options:
            assert words(source.replace("{rate}", "")) <= words(model.code), (model.seed, kind, source)


def test_models_are_the_same_each_time():
    again = models.__wrapped__()
    assert [model.code for model in again] == [model.code for model in models()]
    assert len({model.code for model in again}) == len(again)


@pytest.mark.parametrize(
    "change",
    [
        ("rng.normal(size=(", "1.001 * rng.normal(size=("),
        ("epochs=", "epochs=1 + "),
        ("batch_size=", "batch_size=1 + "),
    ],
    ids=["data", "epochs", "batches"],
)
def test_a_small_difference_is_found(change):
    """In a model's data, or its training."""
    model = models()[1]
    changed = run(model.code.replace(*change), fastnn)
    with pytest.raises(AssertionError):
        agree(changed, run_quietly(model), **TOLERANCES["float32"])
