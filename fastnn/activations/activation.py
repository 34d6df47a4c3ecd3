"""What an activation is: its formula and derivative, the arguments that it carries, its compiled routine."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.errors import TrainingWarning, warn
from fastnn.kernels.own import OwnFunction

Array = np.ndarray

# How the derivative of a `Custom` activation is looked at: at so many numbers, with this step and tolerance.
LOOK_AT, STEP, TOLERANCE = 256, 1e-6, 1e-3


class Form(NamedTuple):
    """One line of ``csrc/activations.def``, as formulas in NumPy.

    ``function(z, *parameters)``; ``derivative(v, *parameters)``, where v is the output or the input, as
    ``reads`` says; for row-wise ones ``rowwise(v, da)`` instead, the gradient passed through.
    """

    name: str
    function: Callable[..., Array]
    derivative: Callable[..., Array] | None = None
    reads: str = "output"
    rowwise: Callable[[Array, Array], Array] | None = None
    compiled: bool = True  # else it works on arrays only, and layers refuse it


class Activation:
    """A function from pre-activations ``z`` to outputs, with the arguments that it was given.

    Those of `fastnn.activations` are functions with Keras's signatures; given to a layer, they work with
    their defaults. ``functools.partial(activations.relu, max_value=6)`` carries other arguments, in Keras
    too, and so does ``activations.relu.with_arguments(max_value=6)``.

    Parameters
    ----------
    choose : callable
        Keras's arguments (after the array) -> name and parameters of a form; its name is the activation's.
    forms : dict of str to Form
    arguments : dict, optional
        Those given.

    Attributes
    ----------
    name : str
        Of the compiled routine: ``relu(max_value=6)`` is computed by ``relu_max``.
    parameters : tuple of float
        What that is given.
    arguments : dict
        All arguments, defaults included.
    """

    def __init__(
        self,
        choose: Callable[..., tuple[str, tuple[float, ...]]],
        forms: dict[str, Form],
        arguments: dict[str, Any] | None = None,
    ):
        self.__name__ = self.__qualname__ = choose.__name__
        self.__doc__ = choose.__doc__
        own = inspect.signature(choose)
        first = inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.__signature__ = own.replace(parameters=[first, *own.parameters.values()])
        self._choose = choose
        self._forms = forms
        known = list(own.parameters)
        for name in arguments or {}:
            if name not in known:
                takes = f"takes {', '.join(known)}" if known else "takes none beside the array"
                raise TypeError(f"{self.__name__} takes no argument {name!r}: it {takes}.")
        defaults = {k: p.default for k, p in own.parameters.items() if p.default is not p.empty}
        self.arguments = {**defaults, **(arguments or {})}
        self.missing = [name for name in known if name not in self.arguments]
        self._chosen = None if self.missing else choose(**self.arguments)

    def with_arguments(self, **arguments: Any) -> "Activation":
        """Return the same function with these arguments instead of its defaults.

        Raises
        ------
        TypeError, ValueError
            For an argument that the function does not have, or that cannot be.
        """
        return Activation(self._choose, self._forms, {**self.arguments, **arguments})

    def _choice(self) -> tuple[str, tuple[float, ...]]:
        if self._chosen is None:
            example = ", ".join(f"{name}=..." for name in self.missing)
            raise ValueError(
                f"activation {self.__name__!r} has no defaults: give it its arguments, as in "
                f"functools.partial(activations.{self.__name__}, {example})."
            )
        return self._chosen

    @property
    def name(self) -> str:
        return self._choice()[0]

    @property
    def parameters(self) -> tuple[float, ...]:
        return self._choice()[1]

    @property
    def form(self) -> Form:
        """The formulas."""
        return self._forms[self.name]

    @property
    def specification(self) -> str | tuple[str, tuple[float, ...]]:
        """What ``fastnn.kernels`` take: the name, with the parameters if there are any."""
        return (self.name, self.parameters) if self.parameters else self.name

    @property
    def operation(self) -> tuple:
        """The operation of a compiled network that computes it behind a layer."""
        return ("activation", self.specification)

    def __call__(self, x: object, *args: Any, **kwargs: Any) -> Array:
        """Return f(x) by the formula in NumPy; further arguments as in Keras."""
        if args or kwargs:
            names = [name for name in inspect.signature(self).parameters if name != "x"]
            if len(args) > len(names):
                raise TypeError(f"{self.__name__} takes at most {1 + len(names)} arguments.")
            both = {**dict(zip(names, args, strict=False)), **kwargs}
            return self.with_arguments(**both)(x)
        return self._along(lambda z: self.form.function(z, *self.parameters), as_float(x))

    def backward(self, z: object, da: object) -> Array:
        """Return dL/dz for pre-activations ``z`` and ``da`` = dL/da."""

        def through(z: Array, da: Array) -> Array:
            v = z if form.reads == "input" else form.function(z, *self.parameters)
            if form.rowwise is not None:
                return form.rowwise(v, da)
            assert form.derivative is not None
            return da * form.derivative(v, *self.parameters)

        form = self.form
        return self._along(through, as_float(z), as_float(da))

    def _along(self, function: Callable[..., Array], *arrays: Array) -> Array:
        axis = self.arguments.get("axis", -1)
        if axis == -1:
            return function(*arrays)
        return np.moveaxis(function(*(np.moveaxis(a, axis, -1) for a in arrays)), -1, axis)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation):
            return NotImplemented
        return (type(self), self.__name__, self.arguments) == (
            type(other),
            other.__name__,
            other.arguments,
        )

    def __hash__(self) -> int:
        return hash((self.__name__, tuple(sorted(self.arguments.items(), key=lambda item: item[0]))))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.given().items())
        return f"<activation {self.__name__}({given})>" if given else f"<activation {self.__name__}>"

    def given(self) -> dict[str, Any]:
        """Return the arguments that are not the defaults."""
        own = inspect.signature(self._choose).parameters
        return {name: value for name, value in self.arguments.items() if value != own[name].default}

    def __reduce__(self) -> tuple:
        return restored, (self.__name__, self.given())


def restored(name: str, arguments: dict[str, Any]) -> Activation:
    """Return the function of this name, with these arguments if there are any."""
    from fastnn.activations.functions import FUNCTIONS

    return FUNCTIONS[name].with_arguments(**arguments) if arguments else FUNCTIONS[name]


class Custom(Activation):
    """An activation of one's own: a function and its derivative, both on NumPy arrays, element by element.

    Layers take it as any other (``Dense(20, activation=Custom(f, df))``), and compute it in Python in the
    middle of the compiled code: in training and in `predict`, but slowly, at some ten microseconds a call for
    each few dozen rows. At its first use by a layer, ``df`` is compared with central differences of ``f``.

    Parameters
    ----------
    f : callable
        ``z -> a``, of any shape.
    df : callable
        The derivative, as a function of what ``reads`` says.
    reads : {"input", "output"}
        Whether ``df`` takes ``z`` or ``a = f(z)``.
    name : str, optional
        By default that of ``f``.

    Raises
    ------
    TypeError, ValueError
        Where f or df cannot be called, or ``reads`` is something else.

    Examples
    --------
    >>> cube = Custom(lambda z: z**3, lambda z: 3 * z**2, name="cube")
    >>> cube([2.0])
    array([8.])
    """

    def __init__(
        self,
        f: Callable[[Array], Array],
        df: Callable[[Array], Array],
        reads: str = "input",
        name: str | None = None,
    ):
        for what, function in (("f", f), ("df", df)):
            if not callable(function):
                raise TypeError(f"Custom: {what} must be a function of an array, got {function!r}.")
        if reads not in ("input", "output"):
            raise ValueError(f"Custom: reads must be 'input' or 'output', got {reads!r}.")
        self.__name__ = self.__qualname__ = getattr(f, "__name__", "custom") if name is None else name
        self.__doc__ = f.__doc__
        self.arguments = {}
        self._own = Form(self.__name__, f, df, reads)
        self.function = OwnFunction(f, df, reads == "output", self.__name__, self.look)

    def look(self, z: Array) -> None:
        """Compare the derivative at ``z`` with central differences; warn where they differ."""
        z = np.ravel(z)[:LOOK_AT].astype(np.float64)
        with np.errstate(all="ignore"):
            form = self._own
            assert form.derivative is not None
            step = STEP * np.maximum(1.0, np.abs(z))
            want = (np.asarray(form.function(z + step)) - np.asarray(form.function(z - step))) / (2 * step)
            got = np.asarray(form.derivative(z if form.reads == "input" else form.function(z)))
            if got.shape != z.shape or want.shape != z.shape:
                return  # said where it is used
            wrong = np.abs(got - want) / np.maximum(1.0, np.abs(want))
        if np.isfinite(wrong).any() and np.nanmax(wrong) > TOLERANCE:
            i = int(np.nanargmax(np.where(np.isfinite(wrong), wrong, -1)))
            warn(
                f"Activation {self.__name__!r}: its derivative differs from central differences most at "
                f"z = {z[i]:.6g}: df gives {got[i]:.6g}, the differences {want[i]:.6g}. Unless f has a kink "
                "there, training goes the wrong way.",
                TrainingWarning,
            )

    @property
    def name(self) -> str:
        return self.__name__

    @property
    def parameters(self) -> tuple[float, ...]:
        return ()

    @property
    def form(self) -> Form:
        return self._own

    @property
    def operation(self) -> tuple:
        return ("own", self.function)

    def __call__(self, x: object, *args: Any, **kwargs: Any) -> Array:
        """Return f(x)."""
        if args or kwargs:
            raise TypeError(f"{self.__name__} takes no arguments beside the array.")
        return self._own.function(as_float(x))

    def with_arguments(self, **arguments: Any) -> Activation:
        """Refused: what f needs, it holds itself."""
        raise TypeError(f"{self.__name__} takes no arguments beside the array.")

    def given(self) -> dict[str, Any]:
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom) and self._own == other._own

    def __hash__(self) -> int:
        return hash(self._own)

    def __reduce__(self) -> tuple:
        form = self._own
        return Custom, (form.function, form.derivative, form.reads, form.name)


def as_float(x: object) -> Array:
    """Return ``x`` as an array of floating-point numbers; whole ones become float64."""
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)
