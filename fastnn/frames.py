"""Data frames: the names of their columns, remembered by `fit` and compared afterwards."""

from typing import Any

import numpy as np


def column_names(x: Any) -> list[str] | None:
    """Return the names of a frame's columns; None where ``x`` is no frame, or has names that are no text."""
    if isinstance(x, np.ndarray):
        return None
    columns = getattr(x, "columns", None)
    if columns is None or not hasattr(x, "to_numpy") or callable(columns):
        return None
    names = list(columns)
    return names if names and all(isinstance(name, str) for name in names) else None


def require_names(known: list[str], names: list[str], argument: str) -> None:
    """Raise ValueError where the columns of a frame are not those that a model was trained on."""
    if names == known:
        return
    missing = [name for name in known if name not in set(names)]
    other = [name for name in names if name not in set(known)]
    if not missing and not other:
        raise ValueError(
            f"{argument} has the columns that the model was trained on, but in another order: {_list(names)} "
            f"instead of {_list(known)}. Pass {argument}[{_list(known)}]."
        )
    parts = []
    if missing:
        parts.append(f"{_list(missing)} missing")
    if other:
        parts.append(f"{_list(other)} not seen in training")
    raise ValueError(
        f"{argument} has other columns than the model was trained on: {', and '.join(parts)}. Trained on: "
        f"{_list(known)}."
    )


def _list(names: list[str], most: int = 8) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return f"[{shown}, ... ({len(names)} in all)]" if len(names) > most else f"[{shown}]"
