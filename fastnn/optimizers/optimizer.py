"""What all optimizers share: Keras's arguments, and the link to the networks that train with them."""

import math
import re
import weakref
from typing import Any, ClassVar

import numpy as np

from fastnn.kernels.rates import Rates
from fastnn.names import automatic, check
from fastnn.optimizers import schedules
from fastnn.optimizers.applying import apply, engine_of
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.registry import Configured

# What every optimizer takes beside the learning rate and the name, in the order of Keras's configs.
_COMMON = (
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


# Of these, what decides what a step consists of: networks take it when they are compiled.
_CHOICES = {*_COMMON} - {"weight_decay", "clipvalue", "loss_scale_factor"}


class Hyper:
    """An attribute that the update reads as a number, in a range (``low <= value < high``).

    Parameters
    ----------
    low, high : float
    closed : bool
        Whether the range includes ``high``.
    kind : type
        Of what the attribute gives: float, int, or bool for an option, which any value turns on or off.
    none : float, optional
        What the update reads where the attribute is None; without it, None is an error.
    """

    def __init__(
        self,
        low: float = 0.0,
        high: float = math.inf,
        closed: bool = False,
        kind: type = float,
        none: float | None = None,
    ):
        self.low, self.high, self.closed, self.kind, self.none = low, high, closed, kind, none

    def __set_name__(self, owner: type["Optimizer"], name: str) -> None:
        self.name = name
        owner.hypers = {**owner.hypers, name: self}

    def __get__(self, optimizer: "Optimizer | None", owner: type | None = None) -> Any:
        return self if optimizer is None else vars(optimizer)[self.name]

    def __set__(self, optimizer: "Optimizer", value: Any) -> None:
        if value is None and self.none is not None:
            number, kept = self.none, None
        else:
            number = self.number(value, f"{type(optimizer).__name__}: {self.name}")
            kept = self.kind(number)
        optimizer.tell(self.name, number)
        vars(optimizer)[self.name] = kept

    def number(self, value: Any, what: str) -> float:
        """Return the number that the update reads, if it is in the range."""
        if self.kind is bool:
            return float(bool(value))
        if self.kind is int and (isinstance(value, bool) or not hasattr(value, "__index__")):
            raise TypeError(f"{what} must be a whole number, got {value!r}.")
        value = _number(value, what)
        inside = self.low <= value <= self.high if self.closed else self.low <= value < self.high
        if not inside:
            upper = "at most" if self.closed else "below"
            bounds = f"at least {self.low:g}" if self.low > -math.inf else ""
            if self.high < math.inf:
                bounds += f"{' and ' if bounds else ''}{upper} {self.high:g}"
            raise ValueError(f"{what} must be {bounds}, got {value!r}.")
        return value


class Scalar(float):
    """A float with the methods of Keras's scalar variables: ``.numpy()``, ``.value``, ``.assign()``."""

    _owner: "Optimizer"
    _name: str

    @property
    def value(self) -> float:
        return float(self)

    def numpy(self) -> np.floating:
        return np.float64(self)

    def assign(self, value: float) -> None:
        setattr(self._owner, self._name, value)

    def __reduce__(self) -> tuple:
        return float, (float(self),)


class Count(int):
    """An int with ``.numpy()`` and ``.value``, as Keras's ``optimizer.iterations``."""

    @property
    def value(self) -> int:
        return int(self)

    def numpy(self) -> np.integer:
        return np.int64(self)


class Optimizer(Configured):
    """Base class of the optimizers.

    Subclasses declare ``native`` (the name of the compiled update), what it reads (each a `Hyper`), ``slots``
    (arrays it keeps for each weight) and `update`, the formula. Their constructors list all arguments, in
    Keras's order, for readers and type checkers, and hand them on by name.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A schedule is evaluated at the number of steps done, a callable without arguments is called; both for
        some steps ahead, unless the schedule is one of ``optimizers.schedules``.
    weight_decay : float, optional
        Before each step, ``w -= w * weight_decay * learning_rate``.
    clipnorm : float, optional
        Most that the norm of one variable's gradient may be; longer ones are shortened to it.
    clipvalue : float, optional
        Elements of gradients are limited to ``[-clipvalue, clipvalue]``.
    global_clipnorm : float, optional
        Most that the norm of all gradients together may be. At most one of the three can be set.
    use_ema : bool
        Whether a moving average of the weights is kept, with ``ema_momentum`` in [0, 1], which replaces them
        every ``ema_overwrite_frequency`` steps (None: never) and at the end of ``fit``.
    loss_scale_factor : float, optional
        The loss is multiplied, and its gradients divided, by this: a hint for half precision, accepted and
        without effect here, where gradients have at least 32 bits.
    gradient_accumulation_steps : int, optional
        At least 2: weights are updated only after so many steps, by the mean of the gradients since.
    name : str, optional

    Attributes
    ----------
    learning_rate : float
        Its present value. Can be assigned at any time, also between the epochs of a running ``fit``, unless
        it follows a schedule; a schedule can be assigned to it at any time.
    iterations : int
        Steps taken so far.

    Raises
    ------
    TypeError, ValueError
        For arguments of another kind, out of their range, unknown, or that exclude one another.

    Notes
    -----
    What an optimizer remembers stays when the model is compiled again with the same object, and starts anew
    with another one. As in Keras, gradients are clipped first, then weights decay, then comes the step.
    All arguments are attributes that can be assigned: numbers act at once, also within a ``fit``; norms to
    clip by, averages and accumulation from the next ``fit`` on (whoever turns one of the last two on or off
    makes the optimizer forget).
    """

    native: ClassVar[str]
    hypers: ClassVar[dict[str, Hyper]] = {"learning_rate": Hyper()}  # each `Hyper` enters itself
    slots: ClassVar[tuple[str, ...]] = ()
    choices = 0  # how often what a step consists of was chosen: a network compiled before takes it anew
    weight_decay = Hyper(none=0.0)
    clipvalue = Hyper(-math.inf, none=0.0)  # as in Keras, only a positive one clips

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **own: Any,
    ):
        kind = type(self).__name__
        unknown = {key: value for key, value in own.items() if key not in self.hypers}
        if unknown:
            raise TypeError(f"{kind} takes no argument {', '.join(map(repr, unknown))}.{_old_names(unknown)}")
        self.name = automatic(kind) if name is None else check(name, kind)
        self._hyper: dict[str, float] = {}
        self._engines: list[weakref.ref] = []
        self._parked: list[tuple[weakref.ref, list, int]] = []  # what it remembered of networks it left
        self._excluded: tuple[list, re.Pattern | None] = ([], None)
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        for key, value in {**clips, "loss_scale_factor": loss_scale_factor}.items():
            if value is not None:
                _number(value, f"{kind}: {key}")
        if sum(value is not None for value in clips.values()) > 1:
            found = ", ".join(f"{key}={value!r}" for key, value in clips.items() if value is not None)
            raise ValueError(
                f"{kind}: only one of clipnorm, clipvalue and global_clipnorm can be set, got {found}."
            )
        if use_ema and not 0 <= _number(ema_momentum, f"{kind}: ema_momentum") <= 1:
            raise ValueError(f"{kind}: ema_momentum must be between 0 and 1, got {ema_momentum!r}.")
        if use_ema and ema_overwrite_frequency:
            _whole(ema_overwrite_frequency, f"{kind}: ema_overwrite_frequency", 1)
        if gradient_accumulation_steps:
            _whole(gradient_accumulation_steps, f"{kind}: gradient_accumulation_steps", 2)
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.use_ema = bool(use_ema)
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.weight_decay = weight_decay
        self.clipvalue = clipvalue
        self._schedule: Any = None  # of the learning rate: a LearningRateSchedule, or a callable
        self.learning_rate = learning_rate
        for key, value in own.items():
            setattr(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("lr", "decay"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}.{_old_names({name: value})}")
        if name in _CHOICES:
            self.choices += 1
        super().__setattr__(name, value)

    # What training reads ------------------------------------------------------------------------------------

    def native_hypers(self) -> dict[str, float]:
        """Return the numbers for the compiled update, by name."""
        return {**self._hyper, **self.native_extras()}

    def native_rates(self) -> Rates | None:
        """Return the schedule of the learning rate for one compiled network, or None."""
        found = self._schedule
        if found is None:
            return None
        if isinstance(found, LearningRateSchedule):
            return found.native_rates()
        return Rates("table", function=lambda step: found())

    def native_extras(self) -> dict[str, float]:
        """Return the numbers of the options that make a step another one, where they are set."""
        found: dict[str, float] = {
            key: value
            for key in ("clipnorm", "global_clipnorm", "gradient_accumulation_steps")
            if (value := getattr(self, key)) and value > 0
        }
        if self.use_ema:
            found["use_ema"] = 1.0
            found["ema_momentum"] = self.ema_momentum
            found["ema_overwrite_frequency"] = self.ema_overwrite_frequency or 0
        return found

    def slots_used(self) -> tuple[str, ...]:
        """Return the slots that the update needs with the present numbers."""
        return self.slots

    def remembered(self) -> tuple[str, ...]:
        """Return the names of all that networks keep for this optimizer, an array for each weight."""
        more = {"average": self.use_ema, "gradient_accumulator": self.gradient_accumulation_steps}
        return (*self.slots_used(), *(name for name, kept in more.items() if kept))

    @staticmethod
    def update(w, g, slots, step, hyper):
        """Return (new weights, new slots) after step ``step``, counted from 1, with gradient ``g``."""
        raise NotImplementedError

    # Training loops of one's own ----------------------------------------------------------------------------

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Take one step with these gradients.

        Parameters
        ----------
        grads : Gradients, or sequence of array-like
            What ``model.gradients`` or ``model.backward`` returned (then nothing is converted), or one array
            for each trainable weight.
        trainable_variables : list of Variable, optional
            Whose gradients they are, in the same order: all trainable weights of one model. May be left out
            where the optimizer trains one model.

        Raises
        ------
        ValueError
            For another number of gradients, another shape, or None among them.
        FloatingPointError
            Where a weight would become infinite or NaN; the model stays as it was.
        RuntimeError
            Where the model is being trained by ``fit`` in another thread.

        Notes
        -----
        Clipping, decay of weights and all else that the optimizer does in ``fit`` is done here too. The model
        need not be compiled with this optimizer, but steps are quickest where it is. Steps from several
        threads are taken one after the other.
        """
        apply(self, grads, trainable_variables)

    def apply_gradients(self, grads_and_vars: Any) -> Count:
        """Take one step with pairs of a gradient and its variable; return the number of steps taken."""
        pairs = list(grads_and_vars)
        if pairs:
            grads, variables = zip(*pairs, strict=True)
            self.apply(grads, variables)
        return self.iterations

    def finalize_variable_values(self, var_list: Any) -> None:
        """With ``use_ema``, put the averages in the place of the variables' values, as `fit` does at its end.

        Parameters
        ----------
        var_list : list of Variable
            All trainable weights of one model.
        """
        if self.use_ema:
            engine = engine_of(self, list(var_list))
            engine.use(self)
            engine.finalize()

    def build(self, variables: Any) -> None:
        """Get ready for gradients of these variables, all trainable weights of one model."""
        engine_of(self, list(variables)).use(self)

    def bind(self, engine: Any) -> None:
        """Remember a network that trains with this optimizer, so that assigned numbers reach it."""
        self._engines = [ref for ref in self._engines if ref() not in (None, engine)]
        self._engines.append(weakref.ref(engine))

    def park(self, engine: Any) -> None:
        """Keep what the network remembers for this optimizer, since it is going to train with another."""
        self._parked = [entry for entry in self._parked if entry[0]() not in (None, engine)]
        self._parked.append((weakref.ref(engine), engine.net.optimizer_slots(), engine.net.iterations))

    def parked(self, engine: Any) -> tuple[list, int] | None:
        """Return what `park` kept for this network, if the optimizer still remembers as many arrays."""
        found = next((entry for entry in self._parked if entry[0]() is engine), None)
        return found[1:] if found is not None and len(found[1]) == len(self.remembered()) else None

    def unpark(self, engine: Any) -> tuple[list, int] | None:
        """Return the same, and keep it no longer: the network has it now."""
        found = self.parked(engine)
        self._parked = [entry for entry in self._parked if entry[0]() is not engine]
        return found

    def _bound(self) -> list[Any]:
        engines = [ref() for ref in self._engines]
        return [e for e in engines if e is not None and e.optimizer is self]

    def tell(self, name: str, value: float) -> None:
        """Keep a number that the update reads, once all networks that train with it have taken it."""
        for engine in self._bound():  # first, since a network may refuse
            engine.set_hyper(name, value)
        self._hyper[name] = value

    @property
    def iterations(self) -> Count:
        return Count(self._batches() // (self.gradient_accumulation_steps or 1))

    def _batches(self) -> int:
        engines = self._bound()
        parked = self._parked[-1][2] if self._parked else 0
        return engines[-1].net.iterations if engines else parked

    @property
    def learning_rate(self) -> Scalar:
        found = self._schedule
        if isinstance(found, LearningRateSchedule):
            value = found(self._batches())
        elif found is not None:
            value = found()
        else:
            value = self._hyper["learning_rate"]
        scalar = Scalar(value)
        scalar._owner, scalar._name = self, "learning_rate"
        return scalar

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule) or callable(value):
            self._schedule = value
            self._hyper.setdefault("learning_rate", 0.0)
            for engine in self._bound():
                engine.net.set_rates(self.native_rates())
            return
        if isinstance(self._schedule, LearningRateSchedule):
            raise TypeError(
                f"{type(self).__name__} follows the schedule {type(self._schedule).__name__}, so its "
                "learning_rate cannot be set to a number; make the optimizer with a number for that."
            )
        rate = self.hypers["learning_rate"].number(value, f"{type(self).__name__}: learning_rate")
        self.tell("learning_rate", rate)
        self._schedule = None

    # Weight decay -------------------------------------------------------------------------------------------

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Spare some variables the decay of weights; replaces what was excluded before.

        Parameters
        ----------
        var_list : list of Variable, optional
        var_names : list of str, optional
            Regular expressions: a variable in whose name (``"kernel"``, ``"bias"``) one is found is spared.

        Raises
        ------
        ValueError
            If a network trains with this optimizer already.
        """
        if self._bound():
            raise ValueError(
                "exclude_from_weight_decay() must be called before the optimizer trains a model."
            )
        if isinstance(var_names, str):
            raise TypeError(f"var_names must be a list of strings, got {var_names!r}.")
        pattern = re.compile("|".join(var_names)) if var_names else None
        self._excluded = (list(var_list or ()), pattern)

    def uses_weight_decay(self, variable: Any) -> bool:
        """Return whether ``weight_decay`` acts on this variable."""
        excluded, pattern = self._excluded
        if any(variable is v for v in excluded):
            return False
        return pattern is None or pattern.search(variable.name) is None

    def orthogonalises(self, variable: Any) -> bool:
        """Return whether the compiled update of matrices is this variable's, where vectors have another."""
        return len(variable.shape) == 2

    # Configuration ------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        rate: Any = self._hyper["learning_rate"]
        if isinstance(self._schedule, LearningRateSchedule):
            rate = schedules.serialize(self._schedule)
        elif self._schedule is not None:
            rate = float(self.learning_rate)
        common = {key: getattr(self, key) for key in _COMMON}
        own = {key: getattr(self, key) for key in self.hypers if key != "learning_rate"}
        return {"name": self.name, "learning_rate": rate, **common, **own}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = schedules.deserialize(config["learning_rate"], custom_objects)
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engines": [], "_parked": []}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name} learning_rate={self.learning_rate:g}>"


def given(names: dict[str, Any], but: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the arguments of a constructor by name, from its `locals()`, ``but`` some."""
    found = {**names, **names["kwargs"]}
    return {key: value for key, value in found.items() if key not in ("self", "__class__", "kwargs", *but)}


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.") from None
    if isinstance(value, str | bool):
        raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.")
    if not math.isfinite(number):
        raise ValueError(f"{what} must be finite, got {value!r}.")
    return number


def _whole(value: Any, what: str, least: int) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {value!r}.")


def _old_names(arguments: dict[str, Any]) -> str:
    if "lr" in arguments:
        return " Since Keras 3, 'lr' is 'learning_rate'."
    if "decay" in arguments:
        return " Since Keras 3, 'decay' is a learning-rate schedule."
    return ""
