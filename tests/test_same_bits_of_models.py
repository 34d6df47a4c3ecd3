"""The same bits for every number of threads and every instruction set: all layers, losses and optimizers.

By default two rounds of `same_bits_models`; ``pytest --full`` takes all 100, each with seeds of its own.
"""

import re
import warnings
from functools import partial

import numpy as np
import same_bits_models
from same_bits_models import KINDS, models
from support import digest, instruction_set, state

import fastnn
from fastnn.kernels import runtime
from fastnn.kernels.threads import openmp

THREADS = (1, 2, 3, 4, 7, 8, 16)
ROUNDS, FEW = 100, 2


def trained(code):
    """(digests of weights, optimizer and predictions; history), or with it what diverged and how."""
    found = {"k": fastnn, "np": np, "partial": partial}
    history = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.TrainingWarning)
        try:
            exec(code, found)
            history = found["history"]
        except FloatingPointError as error:
            history = str(error)
        model = found["model"]
        assert all(np.isfinite(w).all() for w in model.get_weights())
        return (
            digest(model.get_weights()),
            state(model),
            history,
            digest([model.predict(found["x"], verbose=0)]),
        )


def pytest_generate_tests(metafunc):
    if "round" in metafunc.fixturenames:
        metafunc.parametrize("round", range(ROUNDS if metafunc.config.getoption("--full") else FEW))


def test_models(round):
    diverged = 0
    for model in models(round):
        found = {}
        for isa in runtime.instruction_sets():
            for threads in THREADS if openmp() else (1,):
                with instruction_set(isa):
                    fastnn.set_num_threads(threads)
                    found[isa, threads] = trained(model.code)
        first = next(iter(found.values()))
        others = [where for where, result in found.items() if result != first]
        assert not others, f"{model.name} differs on {others}:\n{model.code}"
        diverged += isinstance(first[2], str)
    assert diverged <= len(models(round)) // 10


def test_a_round_has_every_layer_loss_and_optimizer():
    for round in (0, 57):
        code = "".join(model.code for model in models(round))
        for kind, names in {
            "layers": fastnn.layers.LAYERS.entries,
            "losses": [name for name in fastnn.losses.LOSSES.entries if name[1].islower()],
            "optimizers": fastnn.optimizers.OPTIMIZERS.entries,
        }.items():
            known = {name for name in names if name[0].isupper() and name != "InputLayer"}
            assert known <= set(re.findall(rf"k\.{kind}\.(\w+)\(", code)), (kind, round)
        used = set(re.findall(r"activation=\"(\w+)\"|k\.activations\.(\w+)", code))
        names = {name for pair in used for name in pair}
        # the one that halves the columns is for layers of one's own
        same = {"swish": "silu", "hard_swish": "hard_silu", "linear": "None", "Activation": "", "glu": ""}
        known = {same.get(name, name) for name in fastnn.activations.ACTIVATIONS.entries} - {"", "None"}
        assert known <= names


def test_rounds_bring_every_loss_and_optimizer_together():
    losses, optimizers = len(KINDS["loss"]), len(KINDS["optimizer"])
    met = {
        (i % losses, (i + round) % optimizers)
        for round in range(ROUNDS)
        for i in range(same_bits_models.COUNT)
    }
    assert len(met) == losses * optimizers
