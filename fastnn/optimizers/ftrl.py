"""Ftrl."""

import math

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class Ftrl(Optimizer):
    """Follow the regularised leader: weights that are exactly 0 where the evidence is small.

    With ``p = -learning_rate_power`` and ``r = learning_rate``: ``n = a + g**2``,
    ``z += g + 2 * l2_shrinkage * w - (n**p - a**p) / r * w``,
    ``w = (clip(z, -l1, l1) - z) / (n**p / r + 2 * l2 + beta / r)``, then ``a = n`` (McMahan et al., "Ad click
    prediction: a view from the trenches", 2013, algorithm 1). Weights follow from ``z`` and ``a`` alone, so
    what a layer's initializer set has only a part in the first step, and a weight without a gradient becomes
    0.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    learning_rate_power : float
        At most 0; 0 keeps the learning rate fixed.
    initial_accumulator_value : float
        What ``a`` starts from.
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength, beta : float
        At least 0.
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "ftrl"
    slots = ("accumulator", "linear")
    learning_rate_power = Hyper(-math.inf, 0.0, closed=True)
    initial_accumulator_value = Hyper()
    l1_regularization_strength = Hyper()
    l2_regularization_strength = Hyper()
    l2_shrinkage_regularization_strength = Hyper()
    beta = Hyper()

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
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
        p, rate, l1 = (
            -hyper["learning_rate_power"],
            hyper["learning_rate"],
            hyper["l1_regularization_strength"],
        )
        l2 = 2 * hyper["l2_regularization_strength"] + hyper["beta"] / rate
        n = slots[0] + g * g
        z = slots[1] + g + 2 * hyper["l2_shrinkage_regularization_strength"] * w
        z = z - (n**p - slots[0] ** p) / rate * w
        return (np.clip(z, -l1, l1) - z) / (n**p / rate + l2), [n, z]
