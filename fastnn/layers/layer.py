"""What all layers share: name, dtype, weights, and building at the first known input shape."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn import constraints, data, initializers, regularizers
from fastnn.config import standard_dtype
from fastnn.names import automatic, check
from fastnn.registry import Configured
from fastnn.variables import Variable, replace_all, values

Shape = tuple[int | None, ...]


# Where weights come from instead of their initializers: shape, dtype and name -> array.
Source = Callable[[tuple[int, ...], str, str], np.ndarray]
_source: ContextVar[Source | None] = ContextVar("weights", default=None)


@contextmanager
def weights_from(source: Source) -> Iterator[None]:
    """Within this context, layers that are built take their weights from ``source``, in order.

    Called before anything of a weight's size is allocated, it checks that there is an array of this shape.
    """
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


class KerasTensor:
    """A symbol for rows to come: what ``Input`` returns and ``model.inputs`` holds."""

    def __init__(self, shape: Shape, dtype: str, layer: "Layer | None" = None):
        self.shape = shape
        self.dtype = dtype
        self.name = automatic("KerasTensor")
        self.layer = layer

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class Layer(Configured):
    """Base class of the layers.

    Parameters
    ----------
    activity_regularizer : str or Regularizer, optional
        Of the outputs, `L1`, `L2` or `L1L2`: the loss of a batch gets their penalty divided by its rows.
    trainable : bool
    dtype : {"float32", "float64"}, optional
        By default ``config.floatx()``. All layers of a model have the same.
    autocast : bool
        Accepted for Keras's sake; input is always cast to the model's dtype.
    name : str, optional
        By default ``dense``, ``dense_1``, ...
    input_dim, input_shape : int, tuple of int
        For the first layer of a model, instead of an ``Input`` before it.
    """

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ):
        kind = type(self).__name__
        shape = kwargs.pop("input_shape", None)
        columns = kwargs.pop("input_dim", None)
        if kwargs:
            raise TypeError(f"{kind} takes no argument {', '.join(map(repr, kwargs))}.")
        if columns is not None:
            shape = (columns,)
        if not isinstance(trainable, bool | np.bool_):
            raise TypeError(f"{kind}: trainable must be True or False, got {trainable!r}.")
        self.input_shape_argument = None if shape is None else standard_shape(shape, f"{kind}: input_shape")
        self._dtype = standard_dtype(dtype)
        self.name = automatic(kind) if name is None else check(name, kind)
        self.autocast = bool(autocast)
        self.activity_regularizer = regularizers.get(activity_regularizer, f"{kind}: activity_regularizer")
        regularizers.of_outputs(self.activity_regularizer, f"{kind}: activity_regularizer")
        self.built = False
        self.path: str | None = None
        self._input_shape: Shape | None = None
        self._trainable = bool(trainable)
        self._weights: list[Variable] = []

    # To be defined by subclasses ----------------------------------------------------------------------------

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs of ``input_shape`` (the first element, the rows, is None)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape that comes out where ``input_shape`` goes in."""
        return tuple(input_shape)

    def check_input(self, input_shape: Shape) -> None:
        """Raise ValueError where the layer cannot take inputs of this shape."""

    def columns(self, input_shape: Shape) -> int:
        """Return how many numbers a row of this shape has."""
        if None in input_shape[1:]:
            raise ValueError(f"Layer {self.name!r} gets rows of unknown shape {input_shape}.")
        return math.prod(n for n in input_shape[1:] if n is not None)

    def require_columns(self, input_shape: Shape) -> None:
        """Raise where rows have no known number of columns."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                f"Layer {self.name!r} ({type(self).__name__}) takes rows of a known number of columns, "
                f"shape (None, columns), but gets {tuple(input_shape)}."
            )

    def plan(self) -> list[tuple]:
        """Return the operations of the compiled network that the layer consists of."""
        raise NotImplementedError(
            f"Layer {self.name!r} is a {type(self).__name__}: layers of your own have no compiled "
            "counterpart. Use those of "
            "fastnn.layers, or write the training loop with fastnn.kernels."
        )

    def operations(self) -> list[tuple]:
        """Return `plan`, and what the layer's `activity_regularizer` adds to it."""
        found = regularizers.of_outputs(self.activity_regularizer, f"{self.name}: activity_regularizer")
        return self.plan() if found is None else [*self.plan(), ("penalty", found)]

    def call(self, x: np.ndarray) -> np.ndarray:
        """Return the layer's output for rows ``x``."""
        raise NotImplementedError

    # Building -----------------------------------------------------------------------------------------------

    def build_in(self, input_shape: Shape, parent: str = "") -> None:
        """Build with paths below ``parent``, or check that the layer was built for this shape."""
        if self.built:
            if self._input_shape is not None and self._input_shape[1:] != tuple(input_shape)[1:]:
                raise ValueError(
                    f"Layer {self.name!r} was built for inputs of shape {self._input_shape}, but gets "
                    f"{tuple(input_shape)}."
                )
            return
        self.check_input(tuple(input_shape))
        self.path = f"{parent}/{self.name}" if parent else self.name
        try:
            self.build(tuple(input_shape))
        except BaseException:
            self._weights = []
            raise
        self._input_shape = tuple(input_shape)
        self.built = True

    def add_weight(
        self,
        shape: tuple[int, ...],
        initializer: Any,
        name: str,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Variable:
        """Create a Variable of this layer."""
        regularizer = regularizers.get(regularizer, f"{name}_regularizer")
        constraint = constraints.get(constraint, f"{name}_constraint")
        path = f"{self.path or self.name}/{name}"
        constraints.require_axis(constraint, len(shape), path)
        regularizers.require_kernel(regularizer, shape, path)
        value = self._first_value(shape, initializers.get(initializer, f"{name}_initializer"), name, path)
        variable = Variable(value, name, path, trainable, regularizer, constraint)
        self._weights.append(variable)
        return variable

    def _first_value(self, shape: tuple[int, ...], initializer: Any, name: str, path: str) -> np.ndarray:
        source = _source.get()
        if source is not None:
            return source(shape, self.dtype, name)
        value = np.array(initializer(shape, dtype=self.dtype), dtype=self.dtype, order="C")
        if value.shape != tuple(shape):
            raise ValueError(
                f"{path}: the initializer returned shape {value.shape}, but {tuple(shape)} was asked for."
            )
        return value

    def __call__(self, x: Any) -> np.ndarray:
        """Return the layer's output for rows ``x``, building it first if need be."""
        if isinstance(x, KerasTensor):
            raise NotImplementedError("Functional graphs of layers are not supported: use Sequential([...]).")
        x = data.rows(x, "x", np.dtype(self.dtype))
        self.check_input(x.shape) if self.built else self.build_in((None, *x.shape[1:]))
        return self.call(x)

    # Weights ------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for v in self._weights:
            v.trainable = self._trainable

    @property
    def weights(self) -> list[Variable]:
        return list(self._weights)

    @property
    def variables(self) -> list[Variable]:
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    def asked(self, trainable: bool = True) -> list[dict[str, Any]]:
        """Return what is asked of each weight in training, as the compiled network takes it.

        Parameters
        ----------
        trainable : bool
            Whether the model and the layers around this one are trained.
        """
        trained = {id(v) for v in self.trainable_weights} if trainable else set()
        return [
            {
                "trained": id(v) in trained,
                **regularizers.asked(v.regularizer),
                **constraints.asked(v.constraint),
            }
            for v in self.weights
        ]

    @property
    def losses(self) -> list[float]:
        """The penalties of the weights that are trained."""
        weights = self.trainable_weights
        return [v.regularizer(v.value) for v in weights if v.regularizer is not None]

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the weights, in the order of ``weights``: of one moment, whoever trains."""
        return [value.copy() for value in values(self.weights)]

    def set_weights(self, weights: Any) -> None:
        """Replace the weights by arrays as `get_weights` returns them; on any error none is replaced."""
        variables = self.weights
        try:
            arrays = list(weights)
        except TypeError:
            raise TypeError(f"weights must be a list of arrays, got {type(weights).__name__}.") from None
        if len(arrays) != len(variables):
            built = (
                ""
                if self.built
                else " It is not built yet: its weights come with the first data, or with build()."
            )
            raise ValueError(
                f"{self.name!r} has {len(variables)} weights, but {len(arrays)} arrays were given.{built}"
            )
        converted = [v.convert(a) for v, a in zip(variables, arrays, strict=True)]
        replace_all(variables, converted)

    def count_params(self) -> int:
        """Return the number of weights, counting single numbers."""
        if not self.built:
            raise ValueError(
                f"{self.name!r} is not built yet: its weights come with the first data, or with "
                "build(input_shape)."
            )
        return sum(math.prod(v.shape) for v in self.weights)

    # Shapes and configuration -------------------------------------------------------------------------------

    @property
    def input_shape(self) -> Shape | None:
        """Shape of the input, ``(None, columns)``; None before the layer is built."""
        return self._input_shape

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the output; None before the layer is built."""
        return None if self._input_shape is None else self.compute_output_shape(self._input_shape)

    @property
    def input(self) -> KerasTensor:
        """A symbol for the rows that come in; AttributeError before the layer is built."""
        return self._symbol(self.input_shape, "input")

    @property
    def output(self) -> KerasTensor:
        """A symbol for the rows that go out; AttributeError before the layer is built."""
        return self._symbol(self.output_shape, "output")

    def _symbol(self, shape: Shape | None, attribute: str) -> KerasTensor:
        if shape is None:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined {attribute}."
            )
        return KerasTensor(shape, self.dtype, self)

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def compute_dtype(self) -> str:
        return self.dtype

    @property
    def variable_dtype(self) -> str:
        return self.dtype

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "trainable": self._trainable, "dtype": dtype_config(self.dtype)}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    def get_build_config(self) -> dict[str, Any] | None:
        return None if self._input_shape is None else {"input_shape": self._input_shape}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def dtype_config(dtype: str) -> dict[str, Any]:
    """Return Keras's serialised dtype policy."""
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype},
        "registered_name": None,
    }


def standard_shape(shape: Any, what: str) -> Shape:
    """Return a tuple of positive ints and Nones, or raise what is wrong with ``shape``."""
    if isinstance(shape, str) or not hasattr(shape, "__iter__"):
        hint = f" For rows of {shape} numbers write ({shape},)." if isinstance(shape, int) else ""
        raise ValueError(f"{what} must be a tuple, got {shape!r}.{hint}")
    found = []
    for n in shape:
        if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__") or n < 1):
            raise ValueError(f"{what} must consist of positive whole numbers, got {tuple(shape)!r}.")
        found.append(None if n is None else int(n))
    return tuple(found)
