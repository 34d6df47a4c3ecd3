"""Random networks for conversions: what they are made of, built by fastnn, Keras or PyTorch.

A network is a list of ``(kind, arguments)``, a layer each; an argument "activation" is ``(name, arguments)``,
and a Residual has a list of its own. Kinds and activations are dealt from shuffled decks, so that each comes
up again and again.
"""

import functools
from typing import Any

import numpy as np

COLUMNS, ROWS = 6, 9
UNITS = (1, 3, 6, 17)

NAMES = """
    celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus tanh tanh_shrink
"""
ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES.split()),
    ("celu", {"alpha": 0.4}),
    ("elu", {"alpha": 0.7}),
    ("gelu", {"approximate": True}),
    ("hard_shrink", {"threshold": 0.2}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"negative_slope": 0.1, "max_value": 2.0, "threshold": 0.3}),
    ("soft_shrink", {"threshold": 0.1}),
    ("squareplus", {"b": 1.0}),
    ("threshold", {"threshold": 0.2, "default_value": -0.3}),
]

# what may stand behind a Dense
BEHIND: list[tuple[str, dict[str, Any]]] = [
    ("BatchNormalization", {}),
    ("BatchNormalization", {"scale": False, "momentum": 0.9}),
    ("BatchNormalization", {"center": False, "epsilon": 1e-4}),
    ("LayerNormalization", {}),
    ("LayerNormalization", {"center": False}),
    ("LayerNormalization", {"scale": False}),
    ("RMSNormalization", {}),
    ("PReLU", {}),
    ("Rescaling", {"scale": 0.5, "offset": -0.25}),
    ("Dropout", {"rate": 0.3}),
    ("AlphaDropout", {"rate": 0.2}),
    ("GaussianDropout", {"rate": 0.2}),
    ("GaussianNoise", {"stddev": 0.1}),
    ("ActivityRegularization", {"l2": 0.01}),
    ("Residual", {}),
    ("Activation", {}),
    ("ELU", {"alpha": 0.5}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("ReLU", {"max_value": 3.0, "negative_slope": 0.1}),
    ("Softmax", {}),
]
FIRST: list[tuple[str, dict[str, Any]]] = [
    ("Normalization", {}),
    ("Normalization", {"given": True}),
    ("Normalization", {"axis": None, "invert": True}),
    ("Rescaling", {"scale": [0.1, 0.5, 1.0, 2.0, 0.3, 0.7], "offset": [0.0, 1.0, -1.0, 0.5, 0.2, 0.1]}),
    ("Flatten", {}),
]


class Deck:
    """Deals its cards in random order, all of them before any comes again."""

    def __init__(self, cards: list, rng: np.random.Generator):
        self._cards, self._rng, self._rest = cards, rng, []

    def deal(self) -> Any:
        if not self._rest:
            self._rest = [self._cards[i] for i in self._rng.permutation(len(self._cards))]
        return self._rest.pop()


def networks(count: int, seed: int, without: tuple[str, ...] = ()) -> list[list[tuple[str, dict]]]:
    """Return so many networks, of one to five Dense layers each; without some activations."""
    rng = np.random.default_rng(seed)
    activations = Deck([card for card in ACTIVATIONS if card[0] not in without], rng)
    behind, first = Deck(BEHIND, rng), Deck(FIRST, rng)

    def dense(units: int) -> tuple[str, dict]:
        return "Dense", {
            "units": units,
            "activation": activations.deal(),
            "use_bias": bool(rng.random() < 0.7),
        }

    def layer(columns: int) -> tuple[str, dict]:
        kind, arguments = behind.deal()
        if kind == "LayerNormalization" and columns == 1:
            return layer(columns)  # of one column, nothing is left but the offset and rounding
        if kind == "Activation":
            return kind, {"activation": activations.deal()}
        if kind == "Residual":
            inside = [dense(UNITS[rng.integers(len(UNITS))]), dense(columns)]
            return kind, {"layers": inside if rng.random() < 0.5 else inside[1:]}
        return kind, arguments

    found = []
    for _ in range(count):
        network = [first.deal()] if rng.random() < 0.4 else []
        depth = int(rng.integers(1, 6))
        for _ in range(depth):
            units = int(rng.choice(UNITS))
            network.append(dense(units))
            if rng.random() < 0.5:
                network.append(layer(units))
        found.append(network)
    return found


def rows(seed: int, dtype: str, columns: int = COLUMNS) -> np.ndarray:
    """Return rows to predict."""
    return np.random.default_rng(seed).normal(size=(ROWS, columns)).astype(dtype)


def activation(k: Any, name: str, arguments: dict) -> Any:
    """Return an activation of ``k``, which is fastnn or Keras."""
    function = getattr(k.activations, name)
    return functools.partial(function, **arguments) if arguments else function


def layer(k: Any, kind: str, arguments: dict, dtype: str) -> Any:
    """Return a layer of ``k``, which is fastnn or Keras; no Residual."""
    arguments = dict(arguments)
    if "activation" in arguments:
        arguments["activation"] = activation(k, *arguments["activation"])
    if kind == "Rescaling":
        arguments = {key: v if np.isscalar(v) else np.array(v) for key, v in arguments.items()}
    if kind == "Normalization":
        seen = np.random.default_rng(5).normal(0.2, 1.5, size=(50, COLUMNS)).astype(dtype)
        if arguments.pop("given", False):
            arguments.update(mean=seen.mean(axis=0).tolist(), variance=seen.var(axis=0).tolist())
            return k.layers.Normalization(**arguments, dtype=dtype)
        made = k.layers.Normalization(**arguments, dtype=dtype)
        made.adapt(seen)
        return made
    return getattr(k.layers, kind)(**arguments, dtype=dtype)


def of_fastnn(network: list, dtype: str) -> Any:
    """Return a network as fastnn's model."""
    import fastnn

    def made(kind: str, arguments: dict) -> Any:
        if kind == "Residual":
            return fastnn.layers.Residual([made(*one) for one in arguments["layers"]], dtype=dtype)
        return layer(fastnn, kind, arguments, dtype)

    shape = (COLUMNS // 3, 3) if network[0][0] == "Flatten" else (COLUMNS,)
    return fastnn.Sequential([fastnn.Input(shape, dtype=dtype), *(made(*one) for one in network)])


def of_keras(network: list, dtype: str, style: str) -> Any:
    """Return a network as Keras's model: "sequential", "nested" or "functional" (with a Residual, always)."""
    import keras

    def through(network: list, tensor: Any) -> Any:
        for kind, arguments in network:
            if kind == "Residual":
                inside = through(arguments["layers"], tensor)
                tensor = keras.layers.Add(dtype=dtype)([inside, tensor])
            else:
                tensor = layer(keras, kind, arguments, dtype)(tensor)
        return tensor

    shape = (COLUMNS // 3, 3) if network[0][0] == "Flatten" else (COLUMNS,)
    start = keras.Input(shape, dtype=dtype)
    if style == "functional" or any(kind == "Residual" for kind, _ in network):
        return keras.Model(start, through(network, start))
    layers = [layer(keras, *one, dtype) for one in network]
    if style == "nested":
        layers = [*layers[:1], keras.Sequential([keras.layers.Identity(dtype=dtype), *layers[1:]])]
    return keras.Sequential([start, *layers])


def set_weights(variables: list, rng: np.random.Generator) -> None:
    """Give each of fastnn's or Keras's variables values that suit its name."""
    for v in variables:
        shape = tuple(v.shape)
        if v.name == "kernel":
            v.assign(rng.normal(size=shape) / np.sqrt(shape[0]))
        elif v.name in ("gamma", "scale", "moving_variance"):
            v.assign(rng.uniform(0.5, 1.5, shape))
        elif v.name in ("bias", "beta", "moving_mean", "alpha"):
            v.assign(0.2 * rng.normal(size=shape))


def distance(ours: Any, theirs: Any) -> float:
    """Return the largest difference of two outputs of a model, over the largest magnitude in them."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    assert np.isfinite(theirs).all()
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300))
