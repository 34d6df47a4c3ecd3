"""Penalties on rows on their way."""

from fastnn import regularizers
from fastnn.layers.layer import Layer


class ActivityRegularization(Layer):
    """Rows as they are; the loss of a batch gets ``(l1 * sum(abs(x)) + l2 * sum(x**2)) / rows``.

    What ``activity_regularizer=L1L2(l1, l2)`` does behind another layer.

    Parameters
    ----------
    l1, l2 : float
        At least 0.
    **kwargs
        As for `Activation`.
    """

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def plan(self):
        return []

    def call(self, x):
        return x

    def get_config(self):
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}
