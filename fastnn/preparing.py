"""What ``fit``, ``evaluate`` and ``predict`` were given, as checked `Data` or batches of it."""

from typing import Any

from fastnn import class_weights, data
from fastnn.batches import Batches, are_batches, unpack
from fastnn.frames import column_names, require_names
from fastnn.judging import require_enough
from fastnn.training_loop import Data, Settings


def batches(
    model: Any,
    native: Any,
    given: Any,
    argument: str,
    steps: int | None = None,
    shuffle: bool = False,
    prefix: str = "",
    class_weight: Any = None,
    columns: int | None = None,
) -> tuple[Batches, list[list[str]]]:
    """Return batches whose items are checked `Data`, and what will hold the column names of the first frame.

    Without ``native``, what the model is compiled for, the data are x alone.
    """
    frames: list[list[str]] = []

    def convert(batch: Any, number: int) -> Data:
        where = f"{prefix}batch {number}: "
        x, y, weight = unpack(batch, f"{prefix}batch {number} of {argument}")
        if native is None:
            return Data(model._features(x, where + "x"), data.NOTHING, None)
        names = column_names(x)
        if names is not None:
            if frames:
                require_names(frames[0], names, where + "x")
            frames.append(names)
            del frames[1:]
        part = model._data(native, x, y, weight, where, columns)
        if class_weight is not None:
            weight = class_weights.sample_weight(class_weight, part.y, part.sample_weight)
            part = part._replace(sample_weight=weight)
        return part

    return Batches(given, argument, steps, shuffle, convert), frames


def validation(
    model: Any, native: Any, given: Any, columns: int, chosen: Settings, names: list[str] | None
) -> Data | Batches:
    """Return what ``validation_data`` is; ``names`` are those of the training data's columns."""
    if are_batches(given):
        found, _ = batches(
            model,
            native,
            given,
            "validation_data",
            chosen.validation_steps,
            prefix="validation_data: ",
            columns=columns,
        )
        require_enough(found, chosen)
        return found
    if not isinstance(given, list | tuple) or len(given) not in (2, 3):
        raise ValueError(
            f"validation_data must be (x, y) or (x, y, sample_weight), got {type(given).__name__}"
            + (f" of length {len(given)}." if isinstance(given, list | tuple) else ".")
        )
    x, y, weight = (*given, None) if len(given) == 2 else given
    its_names = column_names(x)
    if names is not None and its_names is not None:
        require_names(names, its_names, "validation_data: x")
    part = model._data(native, x, y, weight, "validation_data: ", columns)
    part.require_finite("validation_data: ")
    return part
