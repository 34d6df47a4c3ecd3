"""Lamb."""

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class Lamb(Optimizer):
    """Adam's directions, each variable going a way that is in proportion to its own norm.

    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``; in step t, with ``u = m / (1 -
    beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)`` and ``r = norm(w) / norm(u)`` over the whole variable
    (1 where one of the two is 0), ``w -= learning_rate * r * u`` (You et al., "Large batch optimization for
    deep learning: training BERT in 76 minutes", 2020). Made for large batches.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "lamb"
    slots = ("momentum", "velocity")
    beta_1 = Hyper(high=1.0)
    beta_2 = Hyper(high=1.0)
    epsilon = Hyper()

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        **kwargs,
    ):
        super().__init__(**given(locals()))

    @staticmethod
    def update(w, g, slots, step, hyper):
        beta_1, beta_2 = hyper["beta_1"], hyper["beta_2"]
        m = slots[0] + (g - slots[0]) * (1 - beta_1)
        v = slots[1] + (g * g - slots[1]) * (1 - beta_2)
        u = m / (1 - beta_1**step) / (np.sqrt(v / (1 - beta_2**step)) + hyper["epsilon"])
        norm, way = np.linalg.norm(w), np.linalg.norm(u)
        return w - hyper["learning_rate"] * (norm / way if norm > 0 and way > 0 else 1.0) * u, [m, v]
