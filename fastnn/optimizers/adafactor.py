"""Adafactor."""

import math

import numpy as np

from fastnn.optimizers.optimizer import Hyper, Optimizer, given


class Adafactor(Optimizer):
    """Steps that adapt to the mean square of the gradients of each row and each column of a matrix.

    In step t, with ``b = 1 - t**beta_2_decay``: of a matrix, ``r = b * r + (1 - b) * (mean(g**2, axis=1) +
    epsilon_1)``, ``c`` likewise over axis 0, and ``v = r / mean(r) * c``; of a vector ``v = b * v + (1 - b) *
    (g**2 + epsilon_1)``. With ``u = g / sqrt(v)`` and the root mean square ``rms`` over the whole variable,
    ``w -= max(epsilon_2, rms(w)) * min(learning_rate, 1 / sqrt(t)) * u / max(1, rms(u) / clip_threshold)``
    (Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_2_decay : float
        At most 0.
    epsilon_1, epsilon_2 : float
    clip_threshold : float
        Above 0.
    relative_step : bool
        Whether ``1 / sqrt(t)`` limits a learning rate without a schedule. In Keras's formula it limits every
        step, so that this makes no difference.
    weight_decay, ..., name
        As of `Optimizer`.

    Notes
    -----
    What it remembers has the shape of the weights: ``r`` stands in the first column of the first array (of a
    vector, all of it is ``v``), ``c`` in the first row of the second.
    """

    native = "adafactor"
    slots = ("rows", "columns")
    beta_2_decay = Hyper(-math.inf, 0.0, closed=True)
    epsilon_1 = Hyper()
    epsilon_2 = Hyper()
    clip_threshold = Hyper(1e-30)
    relative_step = Hyper(kind=bool)

    def __init__(
        self,
        learning_rate=0.001,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
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
        keep = 1 - step ** hyper["beta_2_decay"]
        rows, columns, square = slots[0].copy(), slots[1].copy(), g * g + hyper["epsilon_1"]
        if w.ndim == 2:
            rows[:, 0] = keep * rows[:, 0] + (1 - keep) * square.mean(axis=1)
            columns[0] = keep * columns[0] + (1 - keep) * square.mean(axis=0)
            v = np.outer(rows[:, 0] / rows[:, 0].mean(), columns[0])
        else:
            v = rows = keep * rows + (1 - keep) * square
        u = g / np.sqrt(v)
        u /= max(1.0, np.sqrt(np.mean(u * u)) / hyper["clip_threshold"])
        way = max(hyper["epsilon_2"], np.sqrt(np.mean(w * w))) * min(hyper["learning_rate"], step**-0.5)
        return w - way * u, [rows, columns]
