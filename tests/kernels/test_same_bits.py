"""The contract on numbers: the same bits for every number of threads and every instruction set."""

import threading

import numpy as np
import pytest
from support import (
    THREADS,
    compiled,
    default_activation,
    digest,
    instruction_set,
    random_weights,
    run_python,
    targets,
    train,
)

from fastnn.kernels import runtime
from fastnn.kernels.threads import openmp
from fastnn.kernels.training import Training

# inputs, layers' units and activations, rows, batch, loss, optimizer, epochs
NETS = {
    "tiny 2-8-1": (2, [(8, "tanh")], 1, 4, 4, "mean_squared_error", "sgd", 20),
    "tiny 8-10-1": (8, [(10, "relu")], 1, 100, 32, "binary_crossentropy", "adam", 4),
    "tiny 4-16-3": (4, [(16, "relu")], 3, 45, 10, "sparse_categorical_crossentropy", "adam", 4),
    "middle": (32, [(64, "relu"), (64, "sigmoid")], 1, 200, 64, "binary_crossentropy", "adam", 3),
    "narrow": (100, [(3, "tanh"), (60, "relu")], 2, 90, 33, "mean_absolute_error", "nesterov", 3),
    "bottleneck": (
        70,
        [(90, "relu"), (2, "tanh"), (75, "sigmoid")],
        15,
        80,
        33,
        "categorical_crossentropy",
        "adam",
        3,
    ),
    "wide": (33, [(333, "relu"), (300, "tanh")], 10, 130, 33, "sparse_categorical_crossentropy", "adam", 2),
    "very wide": (5, [(1100, "relu")], 3, 40, 16, "mean_squared_error", "momentum", 2),
    "batch 1": (17, [(33, "tanh"), (9, "softmax")], 5, 21, 1, "mean_squared_error", "adam", 2),
    "batch 256": (20, [(50, "relu")], 4, 600, 256, "categorical_crossentropy", "momentum", 2),
    "batch 700": (13, [(37, "sigmoid")], 2, 1500, 700, "mean_squared_error", "adam", 2),
    "full batch": (19, [(40, "relu"), (24, "tanh")], 7, 1500, 1500, "categorical_crossentropy", "adam", 3),
    "smooth": (9, [(40, "gelu"), (24, "mish"), (12, "silu")], 2, 90, 33, "mean_squared_error", "adam", 3),
    "parameters": (
        9,
        [(40, ("elu", (0.7,))), (3, ("relu_general", (0.1, 0.0, 2.0, 0.2))), (21, ("celu", (0.4,)))],
        2,
        90,
        33,
        "mean_squared_error",
        "momentum",
        3,
    ),
    "tiny with a parameter": (4, [(13, ("leaky_relu", (0.2,)))], 2, 45, 10, "mean_squared_error", "adam", 6),
    "no hidden layer": (300, [], 10, 64, 20, "sparse_categorical_crossentropy", "sgd", 3),
}
OPTIMIZERS = {
    "sgd": ("sgd", {"learning_rate": 0.05}),
    "momentum": ("sgd", {"learning_rate": 0.02, "momentum": 0.9}),
    "nesterov": ("sgd", {"learning_rate": 0.02, "momentum": 0.9, "nesterov": 1.0}),
    "adam": ("adam", {"learning_rate": 0.01}),
}


def run(name, dtype, threads, *, weighted, check_team=True):
    """Train; return one digest of weights, optimizer state and logs."""
    inputs, hidden, outputs, rows, batch, loss, optimizer, epochs = NETS[name]
    rng = np.random.default_rng(42)
    layers = [(units, activation, i != 1) for i, (units, activation) in enumerate(hidden)]
    layers.append((outputs, default_activation(loss), True))
    weights = random_weights(layers, inputs, rng, dtype)
    optimizer, hyper = OPTIMIZERS[optimizer]
    net = compiled(
        layers,
        inputs,
        dtype,
        weights,
        loss,
        optimizer=optimizer,
        metrics=["mean_absolute_error"] if loss.startswith("mean") else [],
        **hyper,
    )
    x, y = rng.normal(size=(rows, inputs)).astype(dtype), targets(loss, rng, rows, outputs, dtype)
    weight = rng.uniform(0, 2, size=rows).astype(dtype) if weighted else None
    training = train(
        net,
        x,
        y,
        epochs=epochs,
        batch_size=batch,
        shuffle=True,
        seed=77,
        num_threads=threads,
        sample_weight=weight,
        validation=(x[: rows // 2], y[: rows // 2], None),
    )
    if check_team:
        assert training.threads == threads
    assert any(not np.array_equal(a, b) for a, b in zip(net.weights(), weights, strict=True))
    return digest([*net.weights(), *(w for slot in net.optimizer_slots() for w in slot), training.logs])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(NETS))
def test_training(name, dtype, weighted):
    found = {}
    best = runtime.instruction_sets()[0]
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in (THREADS if isa == best else (1, 3)) if openmp() else (1,):
                found[isa, threads] = run(name, dtype, threads, weighted=weighted)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("name", ["tiny 8-10-1", "wide", "full batch"])
def test_automatic_thread_count(name):
    assert run(name, np.float32, 0, weighted=False, check_team=False) == run(
        name, np.float32, 1, weighted=False
    )


def test_a_fit_that_changes_its_thread_count_on_the_way():
    """Left to itself a long fit measures its steps and may change its number of threads: the bits stay."""
    rng = np.random.default_rng(5)
    layers = [(256, "relu", True), (256, "relu", True), (10, "softmax", True)]
    weights = random_weights(layers, 64, rng, np.float32)
    x, y = rng.normal(size=(1024, 64)).astype("f4"), rng.integers(0, 10, size=(1024, 1)).astype("f4")
    results = set()
    for threads in (0, 1, 2):
        net = compiled(layers, 64, np.float32, weights, "sparse_categorical_crossentropy", optimizer="adam")
        training = Training(net, x, y, batch_size=256, shuffle=True, seed=1, epochs=30, num_threads=threads)
        teams = set()
        while training.epoch < 30:
            training.run(30, 0.02)
            teams.add(training.threads)
        assert threads == 0 or teams == {threads if openmp() else 1}
        results.add(
            digest([*net.weights(), *(w for slot in net.optimizer_slots() for w in slot), training.logs])
        )
    assert len(results) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_numbers_below_the_normal_range(optimizer, dtype):
    """They count as zero in every thread, on every instruction set; none is left in what is remembered."""
    rng = np.random.default_rng(9)
    tiny = np.finfo(dtype).tiny
    layers = [(40, "linear", True), (33, "relu", True), (3, "linear", True)]
    weights = [w * np.sqrt(tiny).astype(dtype) for w in random_weights(layers, 20, rng, dtype)]
    x = (rng.normal(size=(90, 20)) * np.sqrt(tiny) * 10.0 ** rng.uniform(-3, 3, size=(90, 20))).astype(dtype)
    y = (rng.normal(size=(90, 3)) * np.sqrt(tiny)).astype(dtype)
    optimizer, hyper = OPTIMIZERS[optimizer]
    found = {}
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in (1, 2, 5):
                net = compiled(layers, 20, dtype, weights, "mean_squared_error", optimizer=optimizer, **hyper)
                training = train(net, x, y, epochs=4, batch_size=33, num_threads=threads)
                state = [*net.weights(), *(w for slot in net.optimizer_slots() for w in slot), net.predict(x)]
                for w in state:
                    assert not ((w != 0) & (np.abs(w) < tiny)).any()
                found[isa, threads] = digest([*state, training.logs])
    assert len(set(found.values())) == 1, found


def test_callers_at_once_do_not_disturb_one_another():
    names = ["middle", "tiny 4-16-3", "bottleneck", "full batch"]
    alone = [run(name, np.float32, 2, weighted=False, check_team=False) for name in names]
    together = [None] * len(names)

    def work(i):
        together[i] = run(names[i], np.float32, 2, weighted=False, check_team=False)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


PROGRAM = """
import sys
sys.path.insert(0, {tests!r}); sys.path.insert(0, {kernels!r})
import numpy as np
from fastnn.kernels import runtime
from test_same_bits import run
print(runtime.instruction_set(), *(run(name, np.dtype(t), 2, weighted=True, check_team=False)
      for name in ("middle", "narrow", "tiny 4-16-3") for t in ("float32", "float64")))
"""


def test_programs_that_choose_by_environment_agree():
    import pathlib

    kernels = pathlib.Path(__file__).parent
    program = PROGRAM.format(tests=str(kernels.parent), kernels=str(kernels))
    answers = [run_python(program, FASTNN_ISA=isa).split() for isa in runtime.instruction_sets()]
    assert [answer[0] for answer in answers] == runtime.instruction_sets()
    assert len({tuple(answer[1:]) for answer in answers}) == 1
    limited = run_python(program, OMP_NUM_THREADS="1", OMP_THREAD_LIMIT="2").split()
    assert limited[1:] == answers[0][1:]


def test_rerunning_gives_the_same_bits():
    threads = 2 if openmp() else 1
    assert len({run("wide", np.float32, threads, weighted=True) for _ in range(3)}) == 1


def test_the_environment_of_openmp_changes_no_bits():
    import pathlib

    kernels = pathlib.Path(__file__).parent
    program = PROGRAM.format(tests=str(kernels.parent), kernels=str(kernels))
    answers = {
        tuple(run_python(program, **environment).split()[1:])
        for environment in (
            {"OMP_DYNAMIC": "true"},
            {"OMP_WAIT_POLICY": "passive"},
            {"OMP_SCHEDULE": "dynamic,1"},
            {"OMP_NUM_THREADS": "3"},
        )
    }
    assert len(answers) == 1
