"""What a network reports, a row of numbers, by the names of loss and metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.metric_list import Judge
from fastnn.metrics.metric import number


class Layout:
    """Where each name's numbers lie in a row.

    Parameters
    ----------
    keys : sequence of str
        Of the metrics that the network computes.
    widths : sequence of int
        How many numbers each of them has.
    """

    def __init__(self, keys: Sequence[str], widths: Sequence[int]):
        self.keys = ("loss", *keys)
        self.plain = all(width == 1 for width in widths)
        self._places: list[Any] = [0]
        at = 1
        for width in widths:
            self._places.append(at if width == 1 else slice(at, at + width))
            at += width

    def named(self, row: np.ndarray, prefix: str = "") -> dict[str, Any]:
        """Return each name's number, an array where it has several."""
        if self.plain:
            return dict(zip([prefix + key for key in self.keys], row.tolist(), strict=True))
        return {
            prefix + key: float(row[place]) if isinstance(place, int) else row[place].copy()
            for key, place in zip(self.keys, self._places, strict=True)
        }

    def columns(self, rows: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
        """Return the same of several rows: arrays (rows,), or (rows, numbers)."""
        return {prefix + key: rows[:, place] for key, place in zip(self.keys, self._places, strict=True)}

    def labels(self, prefix: str = "") -> list[str]:
        """Return a name for each number of a row: of several, ``precision[0]``, ..."""
        found: list[str] = []
        for key, place in zip(self.keys, self._places, strict=True):
            one = isinstance(place, int)
            found += (
                [prefix + key] if one else [f"{prefix}{key}[{i}]" for i in range(place.stop - place.start)]
            )
        return found


class Own:
    """The metrics of a compiled model that Python computes, batch by batch.

    Parameters
    ----------
    judges : sequence of Judge
    kind : str
        Of targets: class numbers are shown to them as (rows,), others as (rows, columns).
    """

    def __init__(self, judges: Sequence[Judge], kind: str):
        self.judges = [judge for judge in judges if judge.measure is None]
        self.kind = kind

    def __bool__(self) -> bool:
        return bool(self.judges)

    def reset(self) -> None:
        """Forget all batches."""
        for judge in self.judges:
            judge.metric.reset_state()

    def update(self, y: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None) -> None:
        """Show a batch to all of them."""
        y = y[:, 0] if self.kind == "class" else y
        for judge in self.judges:
            if judge.weighted and weight is not None:
                judge.metric.update_state(y, outputs, sample_weight=weight)
            else:
                judge.metric.update_state(y, outputs)

    def results(self) -> dict[str, Any]:
        """Return their results by name; a result that is a dict has names of its own."""
        found: dict[str, Any] = {}
        for judge in self.judges:
            result = judge.metric.result()
            if isinstance(result, dict):
                found.update({key: number(value) for key, value in result.items()})
                continue
            value = np.asarray(result)
            found[judge.key] = float(value.ravel()[0]) if value.size == 1 else value
        return found
