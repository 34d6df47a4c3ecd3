"""Models in which every layer, activation, loss and optimizer occurs, each with others in every round.

``models(round)`` are programs made of the lines of `keras_options`. Within a round every line of each kind is
there; from round to round the kinds move against each other, so that soon every two lines have met, and data,
weights and shapes are new.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from keras_options import COLUMNS, HEADS, OPTIONS

# What is not there, since Keras has it not, or draws other numbers; the words are as in `OPTIONS`.
MORE: dict[str, dict[str, str]] = {
    "loss": {
        "Quantile([0.1, 0.5, 0.9])": "quantiles",
        "Quantile(0.3)": "real",
    },
    "activation": {'"sparsemax"': ""},
    "layer": {
        "Dropout(0.3)": "",
        "AlphaDropout(0.2)": "",
        "GaussianNoise(0.4)": "",
        "GaussianDropout(0.3)": "",
        'Residual([k.layers.Dense(17, activation="relu"), k.layers.Dense(WIDTH)])': "",
        'Residual([k.layers.LayerNormalization(), k.layers.Dense(WIDTH, activation="gelu")])': "",
    },
}

WIDTHS = (20, 3, 70, 33, 9, 130)
# rows, rows of a batch: one step and several, in and beyond the 256 rows of one sum, a shorter last batch
BATCHES = ((21, 8), (300, 300), (90, 33), (600, 256), (40, 1), (130, 64), (520, 300))


class Model(NamedTuple):
    """One program: with k, np and partial defined, leaves a trained ``model`` and its ``history``."""

    name: str
    code: str


def _lines(kind: str) -> list[str]:
    return [*OPTIONS[kind], *MORE.get(kind, {})]


def _optimizer_options() -> list[str]:
    options = [line for kind in ("clip", "average", "accumulation", "loss scale") for line in OPTIONS[kind]]
    return ["", *options, "weight_decay=0.1"]


KINDS: Mapping[str, list[str]] = {
    "loss": _lines("loss"),
    "optimizer": _lines("optimizer"),
    "optimizer option": _optimizer_options(),
    "layer": _lines("layer"),
    "activation": _lines("activation"),
    "dense": ["", *OPTIONS["dense"]],
    "first layer": ["", "", "", *OPTIONS["first layer"]],
}
# How far each kind moves on from one round to the next, so that all of them meet.
_STEPS = {
    "loss": 0,
    "optimizer": 1,
    "optimizer option": 1,
    "layer": 5,
    "activation": 7,
    "dense": 3,
    "first layer": 1,
}
COUNT = max(map(len, KINDS.values()))  # of a round


def models(round: int) -> list[Model]:
    """Return the models of a round: one for each line of the longest kind, and some tiny ones."""
    return [*(_model(round, i) for i in range(COUNT)), *(_model(round, i, True) for i in range(0, COUNT, 5))]


def _model(round: int, i: int, tiny: bool = False) -> Model:
    rng = np.random.default_rng([round, i])
    drawn = {kind: lines[(i + round * _STEPS[kind]) % len(lines)] for kind, lines in KINDS.items()}
    second = KINDS["activation"][(i + round * 11 + 19) % len(KINDS["activation"])]
    words = {**OPTIONS["loss"], **MORE["loss"]}[drawn["loss"]].split()
    units, last, targets = _head(rng, words)
    rows, batch = BATCHES[(i + round) % len(BATCHES)]
    widths = [WIDTHS[(i + round) % len(WIDTHS)], WIDTHS[(2 * i + round + 1) % len(WIDTHS)]]
    dtype = ("float32", "float64")[(i + round) % 2]
    flat = drawn["first layer"] == "Flatten()"
    dense = f", {drawn['dense']}" if drawn["dense"] else ""
    layers = [
        f"Input(({COLUMNS // 3}, 3))" if flat else f"Input(({COLUMNS},))",
        *([f"layers.{drawn['first layer']}"] if drawn["first layer"] else []),
        f"layers.Dense({widths[0]}, activation={drawn['activation']}{dense})",
        "layers." + drawn["layer"].replace("WIDTH", str(widths[0])),
        f"layers.Dense({widths[1]}, activation={second})",
        f'layers.Dense({units}, activation={last}, name="last")',
    ]
    if tiny:  # one small layer: such networks have a path of their own
        layers = [f"Input(({COLUMNS},))", f"layers.Dense(9, activation={second})", layers[-1]]
    option = drawn["optimizer option"]
    if "weight_decay" in option and "AdamW" in drawn["optimizer"]:
        option = ""
    optimizer = f"{drawn['optimizer'][:-1]}{', ' if option else ''}{option})"
    weight = "w" if i % 3 == round % 3 else "None"
    shape = f"({rows}, {COLUMNS // 3}, 3)" if "3))" in layers[0] else f"({rows}, {COLUMNS})"
    code = f"""
k.config.set_floatx("{dtype}")
k.utils.set_random_seed({round})
rng = np.random.default_rng([{round}, {i}])
x, y, w = rng.normal(size={shape}), {targets.replace("ROWS", str(rows))}, rng.uniform(0, 2, {rows})
model = k.Sequential([{", ".join(f"k.{layer}" for layer in layers)}])
model.compile(k.optimizers.{optimizer}, k.losses.{drawn["loss"]})
history = model.fit(x, y, batch_size={batch}, epochs=2, sample_weight={weight},
                    validation_data=(x[:19], y[:19]), verbose=0).history
"""
    return Model(f"{round}-{i}{'-tiny' if tiny else ''}", code)


def _head(rng: np.random.Generator, words: list[str]) -> tuple[int, str, str]:
    """Return the last layer's units and activation, and targets that suit the loss."""
    if words == ["quantiles"]:
        return 3, "None", "rng.normal(size=(ROWS, 1))"
    head = HEADS[str(rng.choice([word for word in words if word in HEADS]))]
    units = int(rng.choice(head.units))
    return units, str(rng.choice(head.activations)), re.sub("UNITS", str(units), head.targets)
