"""Adagrad and Adadelta."""

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares.

    ``a += g**2`` and ``w -= learning_rate * g / sqrt(a + epsilon)`` (Duchi, Hazan and Singer, "Adaptive
    subgradient methods for online learning and stochastic optimization", 2011).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    initial_accumulator_value : float
        What ``a`` starts from.
    epsilon : float
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "adagrad"
    slots = ("accumulator",)
    initial_accumulator_value = Hyper()
    epsilon = Hyper()

    def __init__(
        self,
        learning_rate=0.001,
        initial_accumulator_value=0.1,
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
        a = slots[0] + g * g
        return w - hyper["learning_rate"] * g / np.sqrt(a + hyper["epsilon"]), [a]


class Adadelta(Optimizer):
    """Steps as large as recent steps were, for each weight (Zeiler, "ADADELTA", 2012).

    ``a = rho * a + (1 - rho) * g**2``, ``d = -sqrt(b + epsilon) / sqrt(a + epsilon) * g``,
    ``b = rho * b + (1 - rho) * d**2`` and ``w += learning_rate * d``. The paper's learning rate is 1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    rho : float
        In [0, 1].
    epsilon : float
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "adadelta"
    slots = ("accumulated_grad", "accumulated_delta_var")
    rho = Hyper(high=1.0, closed=True)
    epsilon = Hyper()

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.95,
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
        rho, epsilon = hyper["rho"], hyper["epsilon"]
        a = rho * slots[0] + (1 - rho) * g * g
        d = -np.sqrt(slots[1] + epsilon) * g / np.sqrt(a + epsilon)
        return w + hyper["learning_rate"] * d, [a, rho * slots[1] + (1 - rho) * d * d]
