"""Adam and what was made of it."""

import math

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class Adam(Optimizer):
    """Steps of a size that adapts to each weight's gradients.

    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``, and in step t
    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)`` (Kingma and Ba,
    "Adam: a method for stochastic optimization", 2014).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Added to the uncorrected ``sqrt(v)``, as in Keras.
    amsgrad : bool
        Whether the largest ``v`` so far takes its place in the step (Reddi, Kale and Kumar, 2018).
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "adam"
    slots = ("momentum", "velocity", "velocity_hat")
    beta_1 = Hyper(high=1.0)
    beta_2 = Hyper(high=1.0)
    epsilon = Hyper()
    amsgrad = Hyper(kind=bool)

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
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

    def slots_used(self):
        return self.slots if self.amsgrad else self.slots[:2]

    @staticmethod
    def update(w, g, slots, step, hyper):
        beta_1, beta_2 = hyper["beta_1"], hyper["beta_2"]
        rate = hyper["learning_rate"] * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        m = slots[0] + (g - slots[0]) * (1 - beta_1)
        v = slots[1] + (g * g - slots[1]) * (1 - beta_2)
        largest = [np.maximum(slots[2], v)] if hyper.get("amsgrad") else []
        return w - rate * m / (np.sqrt([v, *largest][-1]) + hyper["epsilon"]), [m, v, *largest]


class AdamW(Adam):
    """`Adam` with decaying weights: each step begins with ``w -= w * weight_decay * learning_rate``.

    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).

    Parameters
    ----------
    weight_decay : float
    learning_rate, beta_1, beta_2, epsilon, amsgrad
        As of `Adam`.
    clipnorm, ..., name
        As of `Optimizer`.
    """

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
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
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number, got None; Adam is AdamW without it.")
        super().__init__(**given(locals()))


class Adamax(Optimizer):
    """`Adam` with the largest recent gradient in the place of the root of their mean square.

    ``m += (1 - beta_1) * (g - m)``, ``u = max(beta_2 * u, abs(g))``, and in step t
    ``w -= learning_rate / (1 - beta_1**t) * m / (u + epsilon)`` (Kingma and Ba, 2014, section 7).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "adamax"
    slots = ("momentum", "norm")
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
        m = slots[0] + (g - slots[0]) * (1 - hyper["beta_1"])
        u = np.maximum(hyper["beta_2"] * slots[1], np.abs(g))
        rate = hyper["learning_rate"] / (1 - hyper["beta_1"] ** step)
        return w - rate * m / (u + hyper["epsilon"]), [m, u]


class Nadam(Optimizer):
    """`Adam` with Nesterov's momentum.

    With ``u(t) = beta_1 * (1 - 0.96**t / 2)`` and U(t) the product of u(1) ... u(t), in step t
    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``, ``n = u(t+1) * m / (1 - U(t+1)) +
    (1 - u(t)) * g / (1 - U(t))`` and ``w -= learning_rate * n / (sqrt(v / (1 - beta_2**t)) + epsilon)``
    (Dozat, "Incorporating Nesterov momentum into Adam", 2016). U is that of the present ``beta_1``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "nadam"
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
        u = beta_1 * (1 - 0.5 * 0.96 ** np.arange(1, step + 2))
        product = u.prod()
        m = slots[0] + (g - slots[0]) * (1 - beta_1)
        v = slots[1] + (g * g - slots[1]) * (1 - beta_2)
        n = u[-1] * m / (1 - product) + (1 - u[-2]) * g / (1 - u[:-1].prod())
        root = np.sqrt(v / (1 - beta_2**step)) + hyper["epsilon"]
        return w - hyper["learning_rate"] * n / root, [m, v]
