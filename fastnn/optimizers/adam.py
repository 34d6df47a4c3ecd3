"""Adam."""

import math
from typing import ClassVar

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, hyper


class Adam(Optimizer):
    """Steps of a size that adapts to each weight's gradients (Kingma and Ba, 2014).

    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``, and in step t
    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Added to the uncorrected ``sqrt(v)``, as in Keras.
    amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
    ema_overwrite_frequency, \
loss_scale_factor, gradient_accumulation_steps
        Keras's; not supported yet, so only their defaults pass.
    name : str, optional
    """

    native = "adam"
    hypers: ClassVar = {
        "learning_rate": Hyper(0.001),
        "beta_1": Hyper(0.9, 0.0, 1.0),
        "beta_2": Hyper(0.999, 0.0, 1.0),
        "epsilon": Hyper(1e-7),
    }
    slots = ("momentum", "velocity")

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
        if amsgrad:
            raise NotImplementedError(f"Adam(amsgrad={amsgrad!r}): not in fastnn yet; leave it at False.")
        super().__init__(
            learning_rate,
            name,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            **kwargs,
        )
        self.amsgrad = False
        for key, value in (("beta_1", beta_1), ("beta_2", beta_2), ("epsilon", epsilon)):
            self._set(key, value)

    beta_1 = hyper("beta_1")
    beta_2 = hyper("beta_2")
    epsilon = hyper("epsilon")

    @staticmethod
    def update(w, g, slots, step, hyper):
        beta_1, beta_2 = hyper["beta_1"], hyper["beta_2"]
        rate = hyper["learning_rate"] * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        m = slots[0] + (g - slots[0]) * (1 - beta_1)
        v = slots[1] + (g * g - slots[1]) * (1 - beta_2)
        return w - rate * m / (np.sqrt(v) + hyper["epsilon"]), [m, v]

    def get_config(self):
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "amsgrad": False}
        return {**super().get_config(), **own}
