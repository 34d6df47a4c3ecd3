"""RMSprop."""

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class RMSprop(Optimizer):
    """Gradients divided by the root of their mean square (Hinton, lecture 6e of "Neural networks", 2012).

    ``v = rho * v + (1 - rho) * g**2`` and ``w -= learning_rate * g / sqrt(v + epsilon)``. Centered,
    ``a = rho * a + (1 - rho) * g``, and ``v - a**2`` (at least 0) takes the place of ``v`` in the root. With
    momentum, ``b = momentum * b + d``, where d is what would be taken from ``w``, and ``w -= b``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    rho : float
        In [0, 1].
    momentum : float
    epsilon : float
    centered : bool
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "rmsprop"
    slots = ("velocity", "momentum", "average_gradient")
    rho = Hyper(high=1.0, closed=True)
    momentum = Hyper()
    epsilon = Hyper()
    centered = Hyper(kind=bool)

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.9,
        momentum=0.0,
        epsilon=1e-7,
        centered=False,
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
        wanted = {"momentum": self.momentum, "average_gradient": self.centered}
        return ("velocity", *(name for name, on in wanted.items() if on))

    @staticmethod
    def update(w, g, slots, step, hyper):
        rho, rest = hyper["rho"], list(slots[1:])
        found = [rho * slots[0] + (1 - rho) * g * g]
        spread = found[0]
        if hyper.get("centered"):
            average = rho * rest.pop() + (1 - rho) * g
            spread = np.maximum(found[0] - average**2, 0)
        move = hyper["learning_rate"] * g / np.sqrt(spread + hyper["epsilon"])
        if hyper.get("momentum"):
            move = hyper["momentum"] * rest.pop() + move
            found.append(move)
        return w - move, [*found, average] if hyper.get("centered") else found
