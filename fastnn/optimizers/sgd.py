"""Gradient descent."""

from typing import ClassVar

from fastnn.optimizers.optimizer import Hyper, Optimizer, hyper


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    ``w -= learning_rate * g``; with momentum ``v = momentum * v - learning_rate * g``, then ``w += v``, or
    with Nesterov's ``w += momentum * v - learning_rate * g``.

    Parameters
    ----------
    learning_rate : float
    momentum : float
        In [0, 1).
    nesterov : bool
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, \
gradient_accumulation_steps
        Keras's; not supported yet, so only their defaults pass.
    name : str, optional
    """

    native = "sgd"
    hypers: ClassVar = {"learning_rate": Hyper(0.01), "momentum": Hyper(0.0, 0.0, 1.0)}
    slots = ("momentum",)

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
        self._set("momentum", momentum)
        self._nesterov = bool(nesterov)

    momentum = hyper("momentum")

    @property
    def nesterov(self) -> bool:
        return self._nesterov

    def slots_used(self):
        return self.slots if self.momentum else ()

    def native_hypers(self):
        return {**super().native_hypers(), "nesterov": float(self._nesterov)}

    @staticmethod
    def update(w, g, slots, step, hyper):
        lr, momentum = hyper["learning_rate"], hyper.get("momentum", 0.0)
        if momentum == 0:
            return w - lr * g, slots
        v = momentum * slots[0] - lr * g
        return w + (momentum * v - lr * g if hyper.get("nesterov") else v), [v]

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self._nesterov}
