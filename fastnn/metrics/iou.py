"""Intersection over union: of the rows that are of a class or guessed to be, the share that are both."""

import numpy as np

from fastnn.config import epsilon
from fastnn.errors import warn
from fastnn.kernels.measures import Measure
from fastnn.metrics.metric import Metric


class IoU(Metric):
    """Mean, over some classes, of ``tp / (tp + fp + fn)``; classes that do not occur count for nothing.

    Parameters
    ----------
    num_classes : int
    target_class_ids : list of int
        The classes whose mean it is.
    name : str, optional
    dtype : str
        "int32", by default, keeps the whole parts of weights; "float32" all of them.
    ignore_class : int, optional
        Rows of this class count for nothing.
    sparse_y_true, sparse_y_pred : bool
        Whether targets and predictions are class numbers; else the largest of the last axis is the class.
    axis : int
        -1.
    """

    _direction = "up"

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(None, name)
        if axis != -1:
            raise NotImplementedError(f"axis={axis!r}: only the last axis, -1, is supported.")
        self.dtype = "int32" if dtype in (None, "int") else str(dtype)
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"target_class_ids has class {max(target_class_ids)}, but there are 0 to {num_classes - 1}."
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        size = (num_classes, num_classes)
        self.total_cm = self.add_variable(size, dtype="float64", name="total_confusion_matrix")

    @property
    def _whole(self) -> bool:
        return "int" in self.dtype

    def update_state(self, y_true, y_pred, sample_weight=None):
        y, p = np.asarray(y_true), np.asarray(y_pred)
        y = (y if self.sparse_y_true else y.argmax(axis=-1)).astype(np.int64).ravel()
        p = (p if self.sparse_y_pred else p.argmax(axis=-1)).astype(np.int64).ravel()
        if y.shape != p.shape:
            raise ValueError(f"y_true has {y.size} classes and y_pred {p.size}; they must agree.")
        weight: np.ndarray = np.ones(())
        if sample_weight is not None:
            weight = np.asarray(sample_weight)
            if self._whole and weight.dtype.kind == "f":
                warn(
                    f"{type(self).__name__}: of weights only the whole part counts, its dtype being int32.",
                    UserWarning,
                )
        weight = np.broadcast_to(weight.ravel() if weight.ndim else weight, y.shape).astype(np.float64)
        weight = np.trunc(weight) if self._whole else weight
        known = (y >= 0) & (y < self.num_classes) & (p >= 0) & (p < self.num_classes)
        if self.ignore_class is not None:
            known &= y != self.ignore_class
        cells = np.zeros(self.total_cm.shape)
        np.add.at(cells, (y[known], p[known]), weight[known])
        self.total_cm.assign_add(cells)

    def result(self):
        cells = self.total_cm.value
        both = np.diag(cells)[self.target_class_ids]
        either = (cells.sum(axis=0) + cells.sum(axis=1) - np.diag(cells))[self.target_class_ids]
        seen = either > 1e-9
        shares = np.where(seen, both / (either + epsilon()), 0)
        return float(shares.sum() / (seen.sum() + epsilon()))

    def measure(self, units):
        return self._measured(float(bool(self.sparse_y_pred)), 0.0)

    def _measured(self, guesses: float, threshold: float) -> Measure:
        ignored = -1 if self.ignore_class is None else self.ignore_class
        return Measure(
            "iou",
            (self.num_classes, ignored, float(bool(self.sparse_y_true)), guesses, threshold),
            finish="iou",
            options=(self.num_classes,),
            vector=tuple(float(c) for c in self.target_class_ids),
            whole=self._whole,
        )

    def get_config(self):
        own = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}

    def _config(self, *left_out: str) -> dict:
        return {key: value for key, value in IoU.get_config(self).items() if key not in left_out}


class BinaryIoU(IoU):
    """`IoU` of the classes 0 and 1, where predictions are 1 from ``threshold`` on.

    Parameters
    ----------
    target_class_ids : list of int
    threshold : float
    name, dtype : str, optional
    """

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(
            y_true, np.asarray(y_pred, np.float32) >= np.float32(self.threshold), sample_weight
        )

    def measure(self, units):
        return self._measured(2.0, self.threshold)

    def get_config(self):
        config = self._config("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        return {**config, "threshold": self.threshold}


class MeanIoU(IoU):
    """`IoU` of all classes."""

    def __init__(
        self,
        num_classes,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )

    def get_config(self):
        return self._config("target_class_ids")


class OneHotIoU(IoU):
    """`IoU` where targets are one-hot, and predictions are too or say how likely each class is."""

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        return self._config("sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """`OneHotIoU` of all classes."""

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        return self._config("target_class_ids", "sparse_y_true")
