"""A regularizer of one's own, for tests of models that have one."""

import numpy as np

from fastnn import regularizers


class Quartic(regularizers.Regularizer):
    """A penalty of one's own: ``factor * sum(x ** 4)``."""

    def __init__(self, factor=0.1):
        self.factor = factor

    def __call__(self, x):
        return self.factor * np.sum(x**4)

    def gradient(self, x):
        return 4 * self.factor * x**3

    def get_config(self):
        return {"factor": self.factor}
