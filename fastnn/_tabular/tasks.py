"""What a target asks for, classes or a number: the last layer, the loss, the scores and their baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import layers
from fastnn._tabular.tables import MISSING, Table

# Whole numbers of at most so many different values, each of which occurs this often, are taken for classes.
MOST_CLASSES, LEAST_ROWS_A_CLASS = 20, 5


class Task(NamedTuple):
    """What is to be predicted.

    Attributes
    ----------
    target : str
        The column.
    classes : list of str or None
        As they stand in the table, in order; None: a number.
    """

    target: str
    classes: list[str] | None

    @property
    def metadata(self) -> dict[str, Any]:
        """What goes into the model's file."""
        kind = "regression" if self.classes is None else "classification"
        return {"task": kind, "target": self.target, "classes": self.classes}

    # The model ----------------------------------------------------------------------------------------------

    def head(self, y: np.ndarray) -> list[Any]:
        """Return the last layers; a number's are scaled as the training's targets ``y``."""
        if self.classes is None:
            return [
                layers.Dense(1),
                layers.Normalization(mean=float(y.mean()), variance=float(y.var()), invert=True),
            ]
        if len(self.classes) == 2:
            return [layers.Dense(1, activation="sigmoid")]
        return [layers.Dense(len(self.classes), activation="softmax")]

    @property
    def settings(self) -> dict[str, Any]:
        """Return loss and metrics for ``compile``."""
        if self.classes is None:
            return {"loss": "mse", "metrics": ["mae"]}
        loss = "binary_crossentropy" if len(self.classes) == 2 else "sparse_categorical_crossentropy"
        return {"loss": loss, "metrics": ["accuracy"]}

    # Targets and predictions --------------------------------------------------------------------------------

    def targets(self, table: Table) -> np.ndarray:
        """Return the targets of a table: numbers, or those of the classes.

        Raises
        ------
        ValueError
            For a missing one, text where numbers are expected, or an unknown class: with line and column.
        """
        if self.classes is None:
            return table.numbers([self.target])[:, 0]
        number = {name: i for i, name in enumerate(self.classes)}
        found = []
        for line, cell in zip(table.lines, _labels(table, self.target), strict=True):
            if cell not in number:
                raise ValueError(
                    f"{table.path}, line {line}, column {self.target!r}: {cell!r} is none of the classes "
                    f"that the model knows: {', '.join(self.classes[:10])}."
                )
            found.append(number[cell])
        return np.array(found)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of each class, (rows, classes), of a model's outputs."""
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """Return predictions of a model's outputs: numbers, or those of the classes."""
        if self.classes is None:
            return outputs[:, 0]
        return self.probabilities(outputs).argmax(axis=1)

    # Scores -------------------------------------------------------------------------------------------------

    def scores(self, y: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Return scores of outputs by name."""
        predicted = self.predicted(outputs)
        if self.classes is not None:
            return {"accuracy": float((predicted == y).mean())}
        return _errors(y, predicted)

    def baseline(self, trained: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Return the scores of always saying the most frequent class, or the mean, of ``trained``."""
        if self.classes is not None:
            most = np.bincount(trained, minlength=len(self.classes)).argmax()
            return {"accuracy": float((y == most).mean())}
        return _errors(y, np.full(len(y), trained.mean()))

    @property
    def baseline_name(self) -> str:
        """What the baseline always says."""
        return "the mean" if self.classes is None else "the most frequent class"


def _errors(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    error = predicted.astype(np.float64) - y
    return {"RMSE": float(np.sqrt((error**2).mean())), "MAE": float(np.abs(error).mean())}


def task_of(table: Table, target: str, wanted: str = "auto") -> Task:
    """Return the task of a target column.

    Parameters
    ----------
    table : Table
    target : str
    wanted : {"auto", "classification", "regression"}
        "auto": text, and whole numbers of few different values, are classes.
    """
    table.place(target)
    labels = _labels(table, target)
    different = sorted(set(labels), key=_by_number)
    if wanted == "regression" or (wanted == "auto" and not _are_classes(different, len(labels))):
        return Task(target, None)
    if len(different) < 2:
        raise ValueError(
            f"{table.path}: the target {target!r} has the one value {different[0]!r}; there is nothing to "
            "learn."
        )
    if len(different) > len(labels) // 2:
        raise ValueError(
            f"{table.path}: the target {target!r} has {len(different)} different values in {len(labels)} "
            "rows; that is too many for classes. For numbers pass --task regression."
        )
    return Task(target, different)


def _labels(table: Table, target: str) -> list[str]:
    """Return the target's cells, none of which may be missing; of whole numbers, however they are written."""
    cells = table.text(target)
    for line, cell in zip(table.lines, cells, strict=True):
        if cell.lower() in MISSING:
            raise ValueError(
                f"{table.path}, line {line}, column {target!r}: the target is missing ({cell!r}). Delete the "
                "line."
            )
    return [_plain(cell) for cell in cells]


def _plain(cell: str) -> str:
    """Return ``"1"`` for ``"1.0"``."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else cell


def _by_number(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def _are_classes(different: Sequence[str], rows: int) -> bool:
    try:
        numbers = [float(label) for label in different]
    except ValueError:
        return True
    few = len(numbers) <= min(MOST_CLASSES, rows // LEAST_ROWS_A_CLASS)
    return few and all(number.is_integer() for number in numbers)
