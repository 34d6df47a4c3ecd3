"""Lion."""

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of a momentum.

    ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)``, then ``m = beta_2 * m + (1 - beta_2) * g``
    (Chen et al., "Symbolic discovery of optimization algorithms", 2023). Takes a learning rate three to ten
    times smaller than `Adam`'s.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1 : float
        In (0, 1].
    beta_2 : float
        In [0, 1].
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "lion"
    slots = ("momentum",)
    beta_1 = Hyper(high=1.0, closed=True)
    beta_2 = Hyper(high=1.0, closed=True)

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.99,
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
        if beta_1 == 0:
            raise ValueError(
                "Lion: beta_1 must be above 0, got 0; without it, only signs of gradients count."
            )
        super().__init__(**given(locals()))

    @staticmethod
    def update(w, g, slots, step, hyper):
        beta_1, beta_2 = hyper["beta_1"], hyper["beta_2"]
        sign = np.sign(beta_1 * slots[0] + (1 - beta_1) * g)
        return w - hyper["learning_rate"] * sign, [beta_2 * slots[0] + (1 - beta_2) * g]
