"""Gradient descent."""

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    ``w -= learning_rate * g``; with momentum ``v = momentum * v - learning_rate * g``, then ``w += v``, or
    with Nesterov's ``w += momentum * v - learning_rate * g``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    momentum : float
        In [0, 1].
    nesterov : bool
    weight_decay, ..., name
        As of `Optimizer`.
    """

    native = "sgd"
    slots = ("momentum",)
    momentum = Hyper(high=1.0, closed=True)
    nesterov = Hyper(kind=bool)

    def __init__(
        self,
        learning_rate=0.01,
        momentum=0.0,
        nesterov=False,
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
        return self.slots if self.momentum else ()

    @staticmethod
    def update(w, g, slots, step, hyper):
        lr, momentum = hyper["learning_rate"], hyper.get("momentum", 0.0)
        if momentum == 0:
            return w - lr * g, slots
        v = momentum * slots[0] - lr * g
        return w + (momentum * v - lr * g if hyper.get("nesterov") else v), [v]
