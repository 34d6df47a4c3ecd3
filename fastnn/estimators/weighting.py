"""``class_weight``: what rows count by their classes, as scikit-learn's ``compute_sample_weight`` has it."""

from typing import Any

import numpy as np
from sklearn.utils import compute_class_weight


class ClassWeights:
    """The weights of the classes, for rows of any data.

    Parameters
    ----------
    class_weight : dict, list of dict, or "balanced"
    classes : ndarray
    y : ndarray of bool, (rows, outputs)
        That is balanced: of two classes a column, of more one-hot, or a column for each of several labels.
    labels : bool
        Whether these are several labels, whose weights are multiplied.

    Raises
    ------
    ValueError
        For a dict where a list is needed, and the other way, or items too many or too few.
    """

    def __init__(self, class_weight: Any, classes: np.ndarray, y: np.ndarray, labels: bool):
        self._labels = labels
        columns = self._columns(y)
        if labels and isinstance(class_weight, dict):
            raise ValueError(
                "class_weight is a dict, but y has several labels: give a list with a dict for each of them, "
                "as [{0: 1, 1: 5}, {0: 1, 1: 2}], or 'balanced'."
            )
        if isinstance(class_weight, list) and len(class_weight) != (len(columns) if labels else 0):
            wanted = f"a list of {len(columns)} dicts, one for each label" if labels else "a dict"
            raise ValueError(f"class_weight is a list of {len(class_weight)} items, but y needs {wanted}.")
        names = np.array([0, 1]) if labels else classes
        self._weights = []
        for i, column in enumerate(columns):
            if isinstance(class_weight, str):
                there = np.unique(column)
                found = np.ones(len(names))
                found[there] = compute_class_weight("balanced", classes=there, y=column)
            else:
                one = class_weight[i] if labels else class_weight
                found = compute_class_weight(one, classes=names, y=names)
            self._weights.append(found)

    def _columns(self, y: np.ndarray) -> list[np.ndarray]:
        # numbers of the classes
        if y.shape[1] > 1 and not self._labels:
            return [y.argmax(axis=1)]
        return [column.astype(np.intp) for column in y.T]

    def rows(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
        """Return the weights of rows, those given included."""
        found = np.ones(len(y))
        for weights, column in zip(self._weights, self._columns(y), strict=True):
            found = found * weights[column]
        return found if sample_weight is None else found * sample_weight
