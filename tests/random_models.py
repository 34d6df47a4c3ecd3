"""Random models as source code, run by fastnn or by Keras: see test_random_models_against_keras.py.

python tests/random_models.py 17       prints model 17 as a program that compares the two by itself
python tests/random_models.py --keras FOLDER 17 18 ...
                                       runs models with Keras and leaves what came out in FOLDER
"""

import inspect
import os
import pickle
import re
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras_options import COLUMNS, HEADS, HIDDEN, OPTIONS, ROWS, VALIDATION_ROWS

MODELS = 240  # raise it where a test says that an option occurs too rarely
FLOAT32_EVERY = 6  # one model in so many
TOLERANCES = {
    "float32": {"rtol": 1e-3, "atol": 1e-5},
    "float64": {"rtol": 1e-6, "atol": 1e-12},
}

# Penalties that have a corner at 0: where weights are 0 exactly, see EXCEPTIONS.
L1 = re.compile(r"\bL1|\"l1\"|Orthogonal")

# How often a model has an option of a kind; what is not here, it always has.
CHANCES = {
    "reduction": 0.15,
    "named metric": 0.5,
    "weighted": 0.3,
    "schedule": 0.25,
    "decay": 0.2,
    "clip": 0.35,
    "average": 0.15,
    "accumulation": 0.2,
    "loss scale": 0.08,
    "first layer": 0.2,
    "weights": 0.5,
    "layer": 0.6,
    "validation": 0.7,
    "callbacks": 0.2,
    "afterwards": 0.4,
}


class Model(NamedTuple):
    """One random model."""

    seed: int
    dtype: str
    code: str  # with k, np and rng defined, leaves its findings in the dict ``found``
    options: frozenset[tuple[str, str]]  # (kind, source), of OPTIONS

    @property
    def tolerance(self) -> dict[str, float]:
        """How near to Keras's its findings have to be."""
        return TOLERANCES[self.dtype]


class _Draw:
    """Draws options for one model, those first that were drawn least so far."""

    def __init__(self, rng: np.random.Generator, counts: Counter, words: set[str]):
        self.rng, self.counts, self.words = rng, counts, words
        self.drawn: set[tuple[str, str]] = set()

    def __call__(self, kind: str, fits: Callable[[str], bool] = lambda source: True) -> str:
        """Return an option that fits; "" where there is none, or by chance."""
        if self.rng.random() >= CHANCES.get(kind, 1.0):
            return ""
        fitting = [
            source
            for source, where in OPTIONS[kind].items()
            if (not where or self.words & set(where.split()))
            and (kind, source) not in self.drawn
            and fits(source)
        ]
        if not fitting:
            return ""
        order = self.rng.permutation(len(fitting))
        return self.take(kind, fitting[min(order, key=lambda i: self.counts[kind, fitting[i]])])

    def take(self, kind: str, source: str) -> str:
        self.drawn.add((kind, source))
        self.counts[kind, source] += 1
        return source


def _with(call: str, *arguments: str) -> str:
    """Return ``call`` with further arguments."""
    name, _, inside = call.partition("(")
    return f"{name}({', '.join(a for a in (inside[:-1], *arguments) if a)})"


def _optimizer(draw: _Draw) -> tuple[str, str]:
    """Return an optimizer, and a line to come after it."""
    optimizer = draw("optimizer")
    rate = re.search(r"\((0\.\d+)", optimizer)
    assert rate is not None, f"the first argument of {optimizer} is to be the rate"
    decay, _, line = ("" if "AdamW" in optimizer else draw("decay")).partition("; ")
    clip, average, accumulation, scale = map(draw, ("clip", "average", "accumulation", "loss scale"))
    schedule = draw("schedule")
    optimizer = _with(optimizer, decay, clip, average, accumulation, scale)
    if schedule:
        schedule = f"k.optimizers.schedules.{schedule.format(rate=rate[1])}"
        optimizer = optimizer.replace(rate[1], schedule, 1)
    draw.words |= {"fixed-rate"} if not schedule else set()
    draw.words |= {"zeros"} if "l1_regularization_strength" in optimizer else set()
    draw.words |= {"goes-on"} if not average else set()  # Keras on JAX cannot once the averages were taken
    return f"k.optimizers.{optimizer}", line


def _dense_options(draw: _Draw, bias: bool) -> list[str]:
    found = [] if bias else [draw.take("dense", "use_bias=False")]

    def fits(source: str) -> bool:
        names = {option.partition("=")[0] for option in (*found, source)}
        on_bias = names & {"bias_regularizer", "bias_constraint"}
        return (
            len(names) == len(found) + 1
            and not ("use_bias" in names and on_bias)
            and not ("zeros" in draw.words and L1.search(source))
            and not any(L1.search("".join(pair)) and "NonNeg" in "".join(pair) for pair in pairs(source))
        )

    def pairs(source: str) -> list[tuple[str, str]]:
        """Of options for the same weights."""
        return [(source, other) for other in found if source[:4] == other[:4]]

    for _ in range(draw.rng.integers(0, 3)):
        found.append(draw("dense", fits))
    return found


def _layers(draw: _Draw, units: int, last: str) -> list[str]:
    rng, found = draw.rng, []
    first = draw("first layer")
    found.append(f"Input(({COLUMNS // 3}, 3))" if first == "Flatten()" else f"Input(({COLUMNS},))")
    found += [f"layers.{first}"] if first else []
    for _ in range(rng.integers(1, 3)):
        activation = draw("activation")
        layer = draw("layer", lambda source: not ("zeros" in draw.words and L1.search(source)))
        # A bias before batch normalisation has rounding noise for a gradient, of which some steps make much.
        noise = layer.startswith("Batch") and "sharp" in draw.words
        dense = f"Dense({rng.choice(HIDDEN)}, activation={activation})"
        found.append(f"layers.{_with(dense, *_dense_options(draw, not noise))}")
        found += [f"layers.{layer}"] if layer else []
    found.append(f'layers.Dense({units}, activation={last}, name="last")')
    return found


def _metrics(draw: _Draw) -> list[str]:
    found: dict[str, list[str]] = {"metrics": [], "weighted_metrics": []}
    if named := draw("named metric"):
        found["metrics"].append(named)
    for i in range(draw.rng.integers(1, 4)):
        metric = draw("metric")
        if metric:
            where = draw("weighted") or "metrics"
            found[where].append("k.metrics." + _with(metric, f'name="m{i}"'))
    return [f"    {where}=[{', '.join(chosen)}]," for where, chosen in found.items() if chosen]


def _generate(seed: int, counts: Counter) -> Model:
    rng = np.random.default_rng(seed)
    dtype = "float64" if seed % FLOAT32_EVERY else "float32"
    draw = _Draw(rng, counts, {dtype, *HEADS})
    loss = draw("loss")
    name = str(rng.choice([word for word in OPTIONS["loss"][loss].split() if word in HEADS]))
    head = HEADS[name]
    draw.words = {dtype, name, *head.words.split()} | ({"tame"} if name != "positive" else set())
    units = int(rng.choice(head.units))
    optimizer, line = _optimizer(draw)
    draw.words |= {"sharp"} if dtype == "float32" or "Lion" in optimizer else set()
    layers = _layers(draw, units, str(rng.choice(head.activations)))
    metrics = _metrics(draw)
    fit = [draw("batches"), f"epochs={rng.integers(2, 4)}", draw("weights"), draw("validation")]
    callbacks = draw("callbacks")
    fit += [f"callbacks=[{callbacks}]"] if callbacks else []
    afterwards, reduction = draw("afterwards"), draw("reduction")
    shape = layers[0].removeprefix("Input((").removesuffix("))").rstrip(",")
    names = {"ROWS": str(ROWS + VALIDATION_ROWS), "UNITS": str(units)}
    targets = re.sub("ROWS|UNITS", lambda m: names[m[0]], head.targets)
    lines = [
        f'k.config.set_floatx("{dtype}")',
        f"rng = np.random.default_rng({seed})",
        f"x, y = rng.normal(size=({ROWS + VALIDATION_ROWS}, {shape})), {targets}",
        f"w = rng.uniform(0.2, 2, {ROWS + VALIDATION_ROWS})",
        *(f"{name}, {name}_val = {name}[:{ROWS}], {name}[{ROWS}:]" for name in "xyw"),
        "model = k.Sequential([",
        *(f"    k.{layer}," for layer in layers),
        "])",
        f"optimizer = {optimizer}",
        *([line] if line else []),
        "model.compile(",
        "    optimizer=optimizer,",
        f"    loss=k.losses.{_with(loss, reduction)},",
        *metrics,
        "    run_eagerly=True,  # Keras then needs to compile single operations only, which models share",
        ")",
        "set_weights(model, rng)",
        f'found["fit"] = model.fit(x, y, {", ".join(f for f in fit if f)}, shuffle=False, verbose=0).history',
        *(["model.reset_metrics()", f'found["afterwards"] = {afterwards}'] if afterwards else []),
        'found["evaluate"] = model.evaluate(x, y, batch_size=8, verbose=0)',
        'found["predict"] = model.predict(x_val, batch_size=8, verbose=0)',
        'found["weights"] = model.get_weights()',
    ]
    return Model(seed, dtype, "\n".join(lines) + "\n", frozenset(draw.drawn))


@cache
def models() -> list[Model]:
    """All of them; the same ones each time."""
    counts: Counter = Counter()
    return [_generate(seed, counts) for seed in range(MODELS)]


# ---- running them ----------------------------------------------------------------------------------


def set_weights(model, rng):
    """Give each weight values that suit its name."""
    values = []
    for v in model.weights:
        shape = tuple(v.shape)
        if v.name == "kernel":
            values.append(rng.normal(size=shape) / np.sqrt(shape[0]))
        elif v.name in ("gamma", "scale", "moving_variance"):
            values.append(rng.uniform(0.5, 1.5, shape))
        else:
            values.append(0.1 * rng.normal(size=shape))
    model.set_weights(values)


def flat(value, name=""):
    """Return {name: float64 array} of all numbers in dicts and lists of them."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{name}[{key!r}]").items()}
    if hasattr(value, "history"):
        return flat(value.history, name)
    # One number in an array is an array on JAX and a float on PyTorch.
    if isinstance(value, (list, tuple)) and len({np.shape(np.squeeze(part)) for part in value}) != 1:
        return {k: v for i, part in enumerate(value) for k, v in flat(part, f"{name}[{i}]").items()}
    return {name: np.squeeze(np.asarray(value, np.float64))}


def run(code, k):
    """Return what the code of a model finds, with ``k`` for Keras."""
    found = {}
    exec(code, {"k": k, "np": np, "partial": partial, "found": found, "set_weights": set_weights})
    return flat(found)


def keep_float64():
    """Let Keras on JAX keep float64 in means and moments, as on TensorFlow: a table says 32 bits."""
    from keras.src.backend.common import dtypes

    assert dtypes.BIT64_TO_BIT32_DTYPE["float64"] in ("float32", "float64")
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def agree(ours, theirs, rtol, atol):
    """Raise AssertionError where what two runs found is not the same."""
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=rtol, atol=atol, err_msg=name)


def program(model: Model) -> str:
    """Return Python that compares a model by itself."""
    own = "\n\n".join(inspect.getsource(f) for f in (set_weights, flat, run, keep_float64, agree))
    tolerances = ", ".join(f"{key}={value}" for key, value in model.tolerance.items())
    return f"""import os
from functools import partial

os.environ.update({environment(model.dtype)!r})
import keras
import numpy as np

import fastnn


{own}

CODE = '''
{model.code}'''
{"keep_float64()" if model.dtype == "float64" else ""}
ours, theirs = run(CODE, fastnn), run(CODE, keras)
agree(ours, theirs, {tolerances})
"""


def environment(dtype: str) -> dict[str, str]:
    """Return what Keras needs to be told before it is imported."""
    return {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": str(int(dtype == "float64")),
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false",
    }


class KerasRuns:
    """Processes in which Keras runs models, while others are compared.

    Parameters
    ----------
    chosen : list of Model
    folder : Path
    processes : int
        For the models of float64; there is one more for those of float32.
    """

    def __init__(self, chosen: list[Model], folder: Path, processes: int):
        self.folder, self.of = folder, {}
        wide = [m for m in chosen if m.dtype == "float64"]
        shares = [wide[i::processes] for i in range(processes)]
        for share in filter(None, [[m for m in chosen if m.dtype == "float32"], *shares]):
            log = folder / f"{share[0].seed}.log"
            command = [sys.executable, __file__, "--keras", str(folder), *(str(m.seed) for m in share)]
            with log.open("w") as out:
                process = subprocess.Popen(
                    command, env={**os.environ, **environment(share[0].dtype)}, stdout=out, stderr=out
                )
            self.of.update({m.seed: (process, log) for m in share})

    def result(self, model: Model) -> Any:
        """Return what the model found with Keras; wait for it."""
        path, (process, log) = self.folder / f"{model.seed}.pickle", self.of[model.seed]
        while not path.exists():
            if process.poll() is not None and not path.exists():
                raise RuntimeError(f"Keras's process ended before model {model.seed}:\n{log.read_text()}")
            time.sleep(0.02)
        return pickle.loads(path.read_bytes())

    def close(self) -> None:
        for process, _ in self.of.values():
            process.kill()
            process.wait()


def _run_with_keras(folder: Path, seeds: list[int]) -> None:
    import keras

    if models()[seeds[0]].dtype == "float64":
        keep_float64()
    for seed in seeds:
        print(seed, time.process_time(), flush=True)
        try:
            found: Any = run(models()[seed].code, keras)
        except Exception:
            found = traceback.format_exc()
        unfinished = folder / f"{seed}.unfinished"
        unfinished.write_bytes(pickle.dumps(found))
        unfinished.rename(folder / f"{seed}.pickle")


if __name__ == "__main__":
    if sys.argv[1] == "--keras":
        _run_with_keras(Path(sys.argv[2]), [int(seed) for seed in sys.argv[3:]])
    else:
        print(program(models()[int(sys.argv[1])]), end="")
