"""The metrics of ``compile``: from what was given to one `Judge` each."""

from typing import Any, NamedTuple

from fastnn import metrics
from fastnn.kernels.measures import Measure
from fastnn.losses.resolving import shape_of_targets
from fastnn.metrics.metric import Metric
from fastnn.metrics.reductions import MeanMetricWrapper
from fastnn.metrics.rows import targets_of
from fastnn.names import snake_case


class Judge(NamedTuple):
    """One metric of a compiled model."""

    key: str  # in histories
    metric: Metric
    weighted: bool
    measure: Measure | None  # what the native epoch does; None: Python looks at every batch


def listed(given: Any, argument: str) -> list[Any]:
    """Return the metrics of an argument of ``compile``, flat, or raise that it is no list."""
    if not given:
        return []
    if not isinstance(given, list | tuple | dict):
        raise ValueError(f"{argument} must be a list, as in {argument}=['accuracy'], got {given!r}.")
    found: list[Any] = []
    for m in given.values() if isinstance(given, dict) and "class_name" not in given else given:
        nested = isinstance(m, list | tuple) or (isinstance(m, dict) and "class_name" not in m)
        found.extend(listed(m, argument) if nested else [m])
    for m in found:
        # raise what is wrong with it; nothing is made yet, since that uses up a name
        if isinstance(m, str) and m.lower() not in _CHOSEN:
            metrics.METRICS.find(m, argument)
        elif not isinstance(m, str | type):
            metrics.get(m, argument)
    return found


def resolve(
    plain: list[Any], weighted: list[Any], units: int, kind: str, columns: int, loss: str
) -> tuple[Judge, ...]:
    """Return the judges of an output of ``units``, in the order of their results.

    ``kind`` and ``columns`` are those of the targets of the loss, which is named ``loss``.
    """
    found: list[Judge] = []
    used: dict[str, int] = {}
    for given, by_weight in [(m, False) for m in plain] + [(m, True) for m in weighted]:
        metric = _object(given, units, kind)
        measure = native_measure(metric, units)
        if measure is not None:
            measure = measure._replace(weighted=by_weight)
            _require_targets(metric, measure, units, kind, columns, loss)
        found.append(Judge(_key(metric.name, by_weight, used), metric, by_weight, measure))
    return tuple(found)


# Names that stand for one of several metrics, by output and targets: binary, sparse and categorical.
CROSSENTROPY = ("crossentropy", "ce")
_CHOSEN = {
    **dict.fromkeys(
        ("accuracy", "acc"), ("binary_accuracy", "sparse_categorical_accuracy", "categorical_accuracy")
    ),
    **dict.fromkeys(
        CROSSENTROPY,
        ("binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy"),
    ),
}


def crossentropy(units: int, sparse: bool) -> str:
    """Return which one of a loss that is one of `CROSSENTROPY`."""
    return _choice("crossentropy", units, sparse)


def _choice(name: str, units: int, sparse: bool) -> str:
    binary, of_class_numbers, categorical = _CHOSEN[name.lower()]
    return binary if units == 1 else of_class_numbers if sparse else categorical


def _object(given: Any, units: int, kind: str) -> Metric:
    if isinstance(given, str) and given.lower() in _CHOSEN:
        found = metrics.get(_choice(given, units, kind == "class"))
    else:
        found = metrics.get(given, "metrics")
    if not isinstance(found, Metric):
        name = getattr(found, "name", None) or snake_case(getattr(found, "__name__", type(found).__name__))
        found = MeanMetricWrapper(found, name=name)
    if isinstance(given, str):
        found.name = given
    return found


def native_measure(metric: Metric, units: int) -> Measure | None:
    """Return the metric's measure, unless a class of the user's own changed what it computes."""
    for kind in type(metric).__mro__:
        if kind in metrics.CLASSES or kind is Metric:
            return metric.measure(units)
        if {"update_state", "result", "reset_state", "_fn"} & set(vars(kind)):
            return None
    return None


def _require_targets(
    metric: Metric, measure: Measure, units: int, kind: str, columns: int, loss: str
) -> None:
    wanted = targets_of(measure.rows)
    if units == 1 or wanted == "any":
        return
    needed = units
    if wanted == "class":
        needed = 1
    elif wanted == "repeated":
        needed = units // max(1, len(measure.parameters or ()))
    if (wanted == "class") != (kind == "class") or needed != columns:
        raise ValueError(
            f"metrics: {metric.name!r} ({type(metric).__name__}) takes {shape_of_targets(wanted, needed)}, "
            f"but the loss {loss} takes {shape_of_targets(kind, columns)}."
        )


def _key(name: str, weighted: bool, used: dict[str, int]) -> str:
    """Return the key in histories, as Keras makes the same name different."""
    if name in used and weighted:
        name = f"weighted_{name}"
    count = used.get(name, 0)
    used[name] = count + 1
    return f"{name}_{count}" if count else name
