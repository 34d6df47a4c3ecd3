"""``from_keras`` and ``to_keras``: the same layers, weights and settings there and here.

fastnn's layers have Keras's names and arguments, so that a layer's configuration is most of its conversion;
what differs is adapted on the way: activations with arguments, adapted statistics, dtypes. Everything goes
through NumPy, whatever Keras's backend is.
"""

import inspect
from typing import Any

import numpy as np

from fastnn import config, initializers
from fastnn.convert.common import Names, blaming, copy_trainable, describe, require, require_built
from fastnn.convert.keras_activations import as_kerass, as_ours
from fastnn.convert.keras_graphs import Link, chain, is_kerass
from fastnn.layers import LAYERS, InputLayer, Layer, Normalization, Rescaling, Residual
from fastnn.models import Sequential

# Of configurations, what one of the two does not know; only values without effect are ever left out.
_NOT_KERASS = ("quantization_config", "renorm", "renorm_clipping", "renorm_momentum", "rms_scaling")
_NOT_OURS = ("dtype", "build_config")
_COMPILE = (
    *("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics"),
    *("run_eagerly", "steps_per_execution", "jit_compile"),
)
_ADVICE = " Pass compile=False, and compile the model that is returned."


# ---- from Keras ----------------------------------------------------------------------------------------


def from_keras(model: Any, compile: bool = True, dtype: str | None = None) -> Sequential:
    """Return a model with the layers and weights of a Keras model, of any backend.

    Parameters
    ----------
    model : keras.Sequential or functional keras.Model
        Built, and a chain of layers; models in it are taken apart, and a branch ``x + f(x)`` becomes a
        `layers.Residual`. docs/convert.md lists the layers.
    compile : bool
        Whether to compile the new model as the other one is: optimizer and its numbers, loss, metrics. What
        the optimizer remembers stays behind.
    dtype : {"float32", "float64"}, optional
        Of the new model, for one whose layers compute in several dtypes, or in float16. By default theirs.

    Returns
    -------
    Sequential
        Which shares nothing with the other model.

    Raises
    ------
    ValueError
        For a model that cannot be taken: it names the first layer for which that is so, and why.
    TypeError
        For something else than a Keras model.
    ImportError
        Where Keras is not installed.

    Examples
    --------
    >>> model = fastnn.convert.from_keras(keras.saving.load_model("model.keras"))
    """
    keras = require("keras", "keras", "from_keras")
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"from_keras takes a keras.Model, got {type(model).__module__}.{type(model).__qualname__}."
        )
    if not model.built or (isinstance(model, keras.Sequential) and not model.layers):
        raise ValueError(
            f"from_keras: model {model.name!r} has no weights yet; give it keras.Input(shape=(columns,)), or "
            "call build(), before it is converted."
        )
    with blaming("from_keras"):
        links = chain(model)
        reader = _Reader(links, dtype)
        layers = [reader.layer(link) for link in links]
        shape = InputLayer(batch_shape=(None, *model.input_shape[1:]), dtype=reader.dtype)
        made = Sequential([shape, *layers], trainable=model.trainable, name=model.name)
        reader.copy_weights()
    if compile and model.compiled:
        _compile(made, model)
    return made


class _Reader:
    """Makes layers of Keras's, all of one dtype and with different names."""

    def __init__(self, links: list[Link], dtype: str | None):
        self._names = Names()
        self._pairs: list[tuple[Layer, Any]] = []
        self.dtype = config.standard_dtype(dtype) if dtype else self._common(links)

    def _common(self, links: list[Link]) -> str:
        """Return the dtype of all layers, or raise which one computes in another."""
        found, first = "", None
        for layer in _flat(links):
            if not hasattr(layer, "dtype_policy"):
                continue
            policy = layer.dtype_policy.name
            if policy not in config.DTYPES or (found and policy != found):
                what = f"computes in {policy}"
                if first is not None and policy in config.DTYPES:
                    what += f", but {describe(first)} in {found}"
                raise ValueError(
                    f"{describe(layer)} {what}: fastnn's models are float32 or float64 throughout. Pass "
                    "dtype='float32' to take the weights so; predictions then differ by the other dtype's "
                    "rounding."
                )
            found, first = policy, first or layer
        return found or config.floatx()

    def layer(self, link: Link) -> Layer:
        """Return the layer of a link; its weights follow, once the model is built."""
        theirs = link.layer
        own = {
            "name": self._names.unique(theirs.name.replace("/", "_")),
            "dtype": self.dtype,
            "trainable": bool(getattr(theirs, "trainable", True)) and link.trained,
        }
        if link.inside is not None:
            # x + f(x) is an operation, without settings; an Add layer has some
            settings = theirs.get_config() if hasattr(theirs, "trainable") else {}
            penalty = settings.get("activity_regularizer")
            inside = [self.layer(one) for one in link.inside]
            return Residual(inside, activity_regularizer=penalty, **own)
        kind = type(theirs).__name__
        with blaming(f"{describe(theirs)} cannot be taken"):
            if not is_kerass(theirs):
                raise ValueError(f"it is of {type(theirs).__module__}, not one of Keras's layers.")
            if kind not in LAYERS or kind in ("InputLayer", "Residual"):
                raise ValueError(f"fastnn has no such layer; it has {LAYERS.listed()}.")
            made = LAYERS[kind].from_config({**_config(theirs), **own})
        self._pairs.append((made, theirs))
        return made

    def copy_weights(self) -> None:
        """Copy all weights, and which of them are trained."""
        for ours, theirs in self._pairs:
            if ours.weights:
                ours.set_weights([_array(v).astype(self.dtype) for v in theirs.weights])
                copy_trainable(ours, [v.trainable for v in theirs.weights])


def _flat(links: list[Link]) -> list[Any]:
    return [layer for link in links for layer in (link.layer, *_flat(link.inside or []))]


def _array(variable: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable))


def _config(theirs: Any) -> dict[str, Any]:
    """Return the arguments of the layer here, but for its name, dtype and whether it is trained."""
    import keras

    source = theirs
    if hasattr(theirs, "activation"):
        # Keras cannot serialise an activation with arguments; a stand-in has none.
        source = object.__new__(type(theirs))
        source.__dict__.update({**theirs.__dict__, "activation": keras.activations.linear})
    found = {key: value for key, value in source.get_config().items() if key not in _NOT_OURS}
    if hasattr(theirs, "activation"):
        found["activation"] = as_ours(theirs.activation)
    for key in found:
        if key.endswith("_initializer"):
            found[key] = _initializer(found[key])
    kind = type(theirs).__name__
    if kind == "Rescaling":
        found.update(scale=_constant(theirs.scale), offset=_constant(theirs.offset))
    if kind == "Normalization":
        found.update(_statistics(theirs))
    return {key: value for key, value in found.items() if value is not _DEFAULT}


_DEFAULT = object()


def _initializer(given: Any) -> Any:
    # the weights exist: one of the user's own is not worth an error
    try:
        return initializers.get(given)
    except (ValueError, TypeError, NotImplementedError):
        return _DEFAULT


def _constant(value: Any) -> Any:
    return value if isinstance(value, int | float) else np.asarray(value, np.float64)


def _statistics(theirs: Any) -> dict[str, Any]:
    """Return axis, mean and variance of a Normalization: as given, or as adapted."""
    shape = theirs.get_build_config()["input_shape"]
    axes = sorted(axis % len(shape) for axis in theirs.axis)
    if axes and axes != list(range(1, len(shape))):
        raise ValueError(
            f"axis={theirs.axis!r} of inputs of shape {shape}: put it behind Flatten, so that each column "
            "has a mean of its own."
        )
    mean, variance = theirs.input_mean, theirs.input_variance
    if mean is None:
        mean, variance = _array(theirs.adapt_mean), _array(theirs.adapt_variance)
    mean, variance = (np.asarray(v, np.float64) for v in (mean, variance))
    if 0 < mean.ndim < len(axes):  # as Keras aligns it: with the last axes
        mean, variance = (np.broadcast_to(v, shape[1:]) for v in (mean, variance))
    flat = [v.reshape(-1) if v.ndim else v for v in (mean, variance)]
    return {"axis": -1 if axes else None, "mean": flat[0], "variance": flat[1]}


def _compile(ours: Sequential, theirs: Any) -> None:
    """Compile a model with what a Keras model was compiled with."""
    given = theirs.get_compile_config()
    found = {key: given[key] for key in _COMPILE if key in given}
    if isinstance(found.get("loss"), dict) and is_kerass(theirs.loss):
        # of Huber's delta and CosineSimilarity's axis, Keras's configurations know nothing
        known = inspect.signature(type(theirs.loss)).parameters
        kept = {k: v for k, v in getattr(theirs.loss, "_fn_kwargs", {}).items() if k in known}
        found["loss"] = {**found["loss"], "config": {**kept, **found["loss"]["config"]}}
    optimizer = found.get("optimizer")
    if isinstance(optimizer, dict) and isinstance(optimizer["config"].get("learning_rate"), float):
        inner = {**optimizer["config"], "learning_rate": _shortest(optimizer["config"]["learning_rate"])}
        found["optimizer"] = {**optimizer, "config": inner}
    with blaming("from_keras: what the model was compiled with cannot be taken", _ADVICE):
        ours.compile_from_config(found)


def _shortest(rate: float) -> float:
    """Return the number that somebody wrote: Keras keeps rates in float32, 0.001 as 0.0010000000474974513."""
    written = float(str(np.float32(rate)))
    return written if np.float32(written) == rate else rate


# ---- to Keras ------------------------------------------------------------------------------------------


def to_keras(model: Any, compile: bool = True) -> Any:
    """Return a Keras model with the layers and weights of a model.

    Parameters
    ----------
    model : Sequential
        Built. docs/convert.md lists the layers.
    compile : bool
        Whether to compile the new model as this one is: optimizer and its numbers, loss, metrics. What the
        optimizer remembers stays behind, and so does ``precision``, which Keras has not.

    Returns
    -------
    keras.Sequential or keras.Model
        A functional one where there is a `layers.Residual`.

    Raises
    ------
    ValueError
        For a model that is not built, or a layer that Keras cannot have: it names the first one.
    TypeError
        For something else than a fastnn model.
    ImportError
        Where Keras is not installed.
    """
    keras = require("keras", "keras", "to_keras")
    require_built(model, "to_keras")
    writer = _Writer(keras)
    with blaming("to_keras"):
        start = keras.Input(shape=model.input_shape[1:], dtype=model.dtype)
        if any(isinstance(layer, Residual) for layer in model.layers):
            made = keras.Model(start, writer.apply(model.layers, start), name=model.name)
            if not model.trainable:
                made.trainable = False
        else:
            layers = [writer.layer(layer) for layer in model.layers]
            made = keras.Sequential([start, *layers], trainable=model.trainable, name=model.name)
        writer.copy_weights()
    if compile and model.compiled:
        given = {key: value for key, value in model.get_compile_config().items() if key in _COMPILE}
        with blaming("to_keras: what the model was compiled with cannot be taken", _ADVICE):
            made.compile_from_config(given)
    return made


class _Writer:
    """Makes Keras's layers of ours."""

    def __init__(self, keras: Any):
        self._keras = keras
        self._names = Names()
        self._pairs: list[tuple[Layer, Any]] = []

    def apply(self, layers: list[Layer], tensor: Any) -> Any:
        """Return what comes out of these layers where the symbolic tensor goes in."""
        for layer in layers:
            if isinstance(layer, Residual):
                inside = self.apply(layer.layers, tensor)
                own = {key: value for key, value in layer.get_config().items() if key != "layers"}
                own["name"] = self._names.unique(layer.name)
                tensor = self._keras.layers.Add.from_config(own)([tensor, inside])
            else:
                tensor = self.layer(layer)(tensor)
        return tensor

    def layer(self, ours: Layer) -> Any:
        """Return the layer of Keras's; its weights follow, once the model is built."""
        kind = type(ours).__name__
        with blaming(f"{describe(ours)} cannot be taken"):
            if LAYERS.entries.get(kind) is not type(ours):
                raise ValueError(f"it is of {type(ours).__module__}, not one of fastnn's layers.")
            found = {key: value for key, value in ours.get_config().items() if key not in _NOT_KERASS}
            found["name"] = self._names.unique(ours.name)
            if "activation" in found:
                activation = ours.activation  # type: ignore[attr-defined]
                found["activation"] = as_kerass(activation, self._keras, ours.dtype)
            if isinstance(ours, Normalization):
                found.update(axis=_kerass_axis(ours), mean=None, variance=None)
            if isinstance(ours, Rescaling):
                pair = {"scale": _constant(ours.scale), "offset": _constant(ours.offset)}
                found.update(self._keras.saving.serialize_keras_object(pair))
            made = getattr(self._keras.layers, kind).from_config(found)
        self._pairs.append((ours, made))
        return made

    def copy_weights(self) -> None:
        """Copy all weights, and which of them are trained."""
        for ours, theirs in self._pairs:
            if isinstance(ours, Normalization):
                _adapt(theirs, ours)
            if not ours.weights:
                continue
            theirs.set_weights(ours.get_weights())
            kept = _array(theirs.weights[0]).dtype.name
            if kept != ours.dtype:
                raise ValueError(
                    f"Keras's backend keeps the weights of {describe(ours)} in {kept}, not {ours.dtype}. JAX "
                    "has float64 only where it is told before it starts: JAX_ENABLE_X64=1 in the environment."
                )
            if ours.trainable:
                for mine, other in zip(ours.weights, theirs.weights, strict=True):
                    other.trainable = mine.trainable


def _kerass_axis(ours: Normalization) -> Any:
    """Return the axes along which Keras keeps means: it counts columns axis by axis."""
    if ours.mean is None or ours.input_shape is None:
        raise ValueError("it knows no mean and variance yet: call adapt(data) first.")
    return None if ours.mean.size == 1 else tuple(range(1, len(ours.input_shape)))


def _adapt(theirs: Any, ours: Normalization) -> None:
    """Give Keras's layer our statistics, as its adapt() does: what its constructor is given gets float32."""
    for variable in theirs.weights:
        if variable.name in ("mean", "variance"):
            variable.assign(np.reshape(getattr(ours, variable.name), tuple(variable.shape)))
    theirs.finalize_state()
