"""Area under a curve of a confusion: ROC, precision-recall, or its gain."""

import numpy as np

from fastnn.activations import sigmoid
from fastnn.config import epsilon
from fastnn.metrics.confusion import Confusion, divide_evenly, ratio

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(Confusion):
    """Area under the curve, by a sum over thresholds.

    Parameters
    ----------
    num_thresholds : int
        More than 1; evenly spaced from 0 to 1.
    curve : {"ROC", "PR", "PRGAIN"}
        True over false positive rate; precision over recall; precision gain over recall gain (Flach & Kull,
        "Precision-Recall-Gain curves", 2015).
    summation_method : {"interpolation", "minoring", "majoring"}
        The mean height of two neighbours (of PR, positives are interpolated: Davis & Goadrich, 2006), the
        smaller one, or the larger one.
    name, dtype : str, optional
    thresholds : list of float, optional
        In [0, 1], instead of ``num_thresholds``; 0 and 1 are added.
    multi_label : bool
        The area of each output by itself, and their mean; else all outputs count as one.
    num_labels : int, optional
        Number of outputs, with ``multi_label``.
    label_weights : list of float, optional
        Of the outputs: of their areas in the mean, or of what they count.
    from_logits : bool
        Predictions go through the sigmoid first.
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        super().__init__(dtype, name)
        self._given_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(thresholds)
            even = divide_evenly([0.0, *inner, 1.0])
        else:
            if num_thresholds <= 1:
                raise ValueError(f"num_thresholds must be an integer > 1, got {num_thresholds!r}.")
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
            even = True
        if num_labels and not multi_label:
            raise ValueError("num_labels is needed only with multi_label=True.")
        self.num_thresholds = len(inner) + 2
        self.curve = _one_of("curve", curve, CURVES)
        self.summation_method = _one_of("summation_method", summation_method, SUMMATIONS)
        self.multi_label = bool(multi_label)
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float64)
        self.from_logits = bool(from_logits)
        self.thresholds = [0.0 - epsilon(), *inner, 1.0 + epsilon()]
        self._even = even
        self.top_k = self.class_id = None
        if not multi_label:
            self._add_counts((self.num_thresholds,))
        elif num_labels:
            self._add_counts((self.num_thresholds, num_labels))

    def update_state(self, y_true, y_pred, sample_weight=None):
        p = np.asarray(y_pred)
        if self.multi_label and p.ndim != 2:
            raise ValueError(
                f"y_pred must have two dimensions with multi_label=True, but has shape {p.shape}."
            )
        if not self._variables:
            self._add_counts((self.num_thresholds, p.shape[1]))
        if self.from_logits:
            p = sigmoid(p if p.dtype.kind == "f" else p.astype(np.float64))
        of_labels = None if self.multi_label else self.label_weights
        self._take_in(y_true, p, sample_weight, self.multi_label, of_labels)

    def result(self):
        if not self._variables:
            return 0.0
        tp, fp, tn, fn = (v.value for v in self._variables)
        if self.curve == "PR" and self.summation_method == "interpolation":
            terms = self._pr_terms(tp, fp, fn)
        else:
            x, y = self._points(tp, fp, tn, fn)
            if self.summation_method == "interpolation":
                height = (y[:-1] + y[1:]) / 2
            else:
                height = (np.minimum if self.summation_method == "minoring" else np.maximum)(y[:-1], y[1:])
            terms = (x[:-1] - x[1:]) * height
        if not self.multi_label:
            return float(terms.sum())
        areas = terms.sum(axis=0)
        if self.label_weights is None:
            return float(areas.mean())
        return float(ratio((areas * self.label_weights).sum(), self.label_weights.sum()))

    def _points(self, tp, fp, tn, fn):
        if self.curve == "ROC":
            return ratio(fp, fp + tn), ratio(tp, tp + fn)
        if self.curve == "PR":
            return ratio(tp, tp + fn), ratio(tp, tp + fp)
        scale = ratio(tp + fn, tn + fp)
        recall_gain = np.where(tp == 0, 0.0, 1 - scale * ratio(fn, tp))
        precision_gain = np.where(tp == 0, 1.0, 1 - scale * ratio(fp, tp))
        return np.maximum(recall_gain, 0), precision_gain

    @staticmethod
    def _pr_terms(tp, fp, fn):
        gained, p = tp[:-1] - tp[1:], tp + fp
        slope = ratio(gained, np.maximum(p[:-1] - p[1:], 0))
        intercept = tp[1:] - slope * p[1:]
        both = (p[:-1] > 0) & (p[1:] > 0)
        growth = np.where(both, ratio(p[:-1], np.maximum(p[1:], 0)), 1.0)
        return ratio(slope * (gained + intercept * np.log(growth)), np.maximum(tp[1:] + fn[1:], 0))

    def measure(self, units):
        if self.num_labels and self.num_labels != units:
            raise ValueError(
                f"metric {self.name!r}: num_labels={self.num_labels}, but there are {units} outputs."
            )
        weights = () if self.label_weights is None else tuple(self.label_weights.tolist())
        if weights and len(weights) != units:
            raise ValueError(
                f"metric {self.name!r} has {len(weights)} label_weights, but there are {units} outputs."
            )
        options = (CURVES.index(self.curve), SUMMATIONS.index(self.summation_method))
        return self._measure(
            "auc", options, vector=weights, separate=self.multi_label, logits=float(self.from_logits)
        )

    def get_config(self):
        config = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.tolist(),
            "from_logits": self.from_logits,
        }
        return {**config, "thresholds": self.thresholds[1:-1]} if self._given_thresholds else config


def _one_of(argument: str, value: str, known: tuple[str, ...]) -> str:
    """Return the one of ``known`` that ``value`` is, in small letters or as Keras writes it."""
    for name in known:
        if value in (name, name.lower(), name.capitalize()):
            return name
    raise ValueError(f"{argument}={value!r}: must be one of {', '.join(map(repr, known))}.")
