"""What a metric is to a native epoch: row values, how they are kept, and what becomes of them at its end."""

from typing import NamedTuple

# What row values become over an epoch, in the order of plan.FinishKind; see scores.pyx.
FINISHES = ("mean", "root_mean", "thresholds", "best", "auc", "f_score", "r2", "iou", "batches")
# Quantities of a confusion at a threshold, in the order of scores.Quantity.
QUANTITIES = (
    "true_positives",
    "false_positives",
    "true_negatives",
    "false_negatives",
    "precision",
    "recall",
    "specificity",
)


class Measure(NamedTuple):
    """One metric.

    Row values are summed (``mean``, ``root_mean``, ``batches``, ``f_score``, ``r2``), or say which count
    grows.
    """

    rows: str  # of fastnn.kernels.METRICS or LOSSES
    parameters: tuple[float, ...] | None = (
        None  # of it, see csrc/metrics.h and losses.def; None: the defaults
    )
    thresholds: tuple[float, ...] = ()  # rising
    unit: int | None = None  # the only one looked at
    finish: str = "mean"
    options: tuple[float, ...] = ()  # of the finish: see scores.pyx
    vector: tuple[float, ...] = ()  # also of the finish: places of thresholds, weights of labels, classes
    separate: bool = False  # each unit has counts of its own
    whole: bool = False  # only the whole part of a row's weight counts
    weighted: bool = False  # by the rows' weights
    from_logits: bool = False  # of a loss


def measured(given: "Measure | str | tuple[str, tuple[float, ...]]") -> Measure:
    """Return the mean that a name of METRICS or LOSSES stands for, or a name and its parameters."""
    if isinstance(given, Measure):
        return given
    return Measure(given) if isinstance(given, str) else Measure(*given)
