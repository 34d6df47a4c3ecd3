"""Losses as metrics: their mean over the rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.metrics.classes import MeanMetric


def loss_metric(function: Callable[..., np.ndarray], options: dict[str, Any], name: str) -> MeanMetric:
    """Return the metric that is the mean over rows of a loss with these options."""
    body = {
        "__doc__": f"Mean over rows of `{function.__name__}`.",
        "__module__": __name__,
        "function": staticmethod(function),
        "options": lambda self: dict(options),
    }
    return type("MeanMetricWrapper", (MeanMetric,), body)(name)
