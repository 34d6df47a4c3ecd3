"""Muon."""

import math
import re
from typing import Any, ClassVar

import numpy as np

from fastnn.optimizers.adam import Adam
from fastnn.optimizers.optimizer import Hyper, Optimizer, flag, hyper

_ANY = (-math.inf, math.inf)


class Muon(Optimizer):
    """Steps of matrices along a momentum with all its singular values brought near one.

    Of a matrix, ``m = momentum * m + g``, ``u = g + momentum * m`` (without ``nesterov`` ``u = m``) and ``x =
    u / (norm(u) + 1e-7)``, transposed where it has more rows than columns; then ``ns_steps`` times ``a = x @
    x.T``, ``x = muon_a * x + (muon_b * a + muon_c * a @ a) @ x``, and ``w -= learning_rate * rms_rate *
    sqrt(max(w.shape)) * x`` (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
    Liu et al., "Muon is scalable for LLM training", 2025). All vectors, and matrices that are excluded, take
    steps of `AdamW`, with ``learning_rate * adam_lr_ratio``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    adam_beta_1, adam_beta_2 : float
        In [0, 1).
    adam_weight_decay : float, optional
        The decay of variables that take Adam's steps; ``weight_decay`` is that of the others.
    epsilon : float
        Of Adam's steps.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name
        As of `Optimizer`.
    exclude_layers : list of str, optional
        Regular expressions: a matrix in whose path one is found takes Adam's steps. The last layer's name
        should be among them.
    exclude_embeddings : bool
        Whether the same holds for ``"embedding"``, in upper or lower case.
    muon_a, muon_b, muon_c : float
    adam_lr_ratio : float
    momentum : float
        In [0, 1].
    ns_steps : int
        At most 60.
    nesterov : bool
    rms_rate : float, optional
        None leaves out the factor ``rms_rate * sqrt(max(w.shape))``.
    """

    native = "muon"
    hypers: ClassVar = {
        "learning_rate": Hyper(0.001),
        "adam_beta_1": Hyper(0.9, 0.0, 1.0),
        "adam_beta_2": Hyper(0.999, 0.0, 1.0),
        "epsilon": Hyper(1e-7),
        "adam_weight_decay": Hyper(0.004),
        "adam_lr_ratio": Hyper(1.0),
        "momentum": Hyper(0.95, 0.0, 1.0, closed=True),
        "nesterov": Hyper(1.0, 0.0, 1.0, closed=True),
        "ns_steps": Hyper(5.0, 0.0, 60.0, closed=True),
        "muon_a": Hyper(3.4445, *_ANY),
        "muon_b": Hyper(-4.775, *_ANY),
        "muon_c": Hyper(2.0315, *_ANY),
        "rms_rate": Hyper(0.2, *_ANY),
    }
    slots = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate=0.001,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        epsilon=1e-7,
        weight_decay=0.004,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        exclude_layers=None,
        exclude_embeddings=True,
        muon_a=3.4445,
        muon_b=-4.7750,
        muon_c=2.0315,
        adam_lr_ratio=1,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
        **kwargs,
    ):
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        if isinstance(exclude_layers, str):
            raise TypeError(f"Muon: exclude_layers must be a list of strings, got {exclude_layers!r}.")
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.epsilon = epsilon
        self.adam_weight_decay = adam_weight_decay
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.nesterov = nesterov
        self.ns_steps = ns_steps
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.rms_rate = rms_rate
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings

    adam_beta_1 = hyper("adam_beta_1")
    adam_beta_2 = hyper("adam_beta_2")
    epsilon = hyper("epsilon")
    adam_lr_ratio = hyper("adam_lr_ratio")
    momentum = hyper("momentum")
    nesterov = flag("nesterov")
    muon_a = hyper("muon_a")
    muon_b = hyper("muon_b")
    muon_c = hyper("muon_c")

    @property
    def adam_weight_decay(self) -> float | None:
        return self._adam_weight_decay

    @adam_weight_decay.setter
    def adam_weight_decay(self, value: float | None) -> None:
        self._set("adam_weight_decay", 0.0 if value is None else value)
        self._adam_weight_decay = value

    @property
    def ns_steps(self) -> int:
        return int(self._hyper["ns_steps"])

    @ns_steps.setter
    def ns_steps(self, value: int) -> None:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"Muon: ns_steps must be a whole number, got {value!r}.")
        self._set("ns_steps", value)

    @property
    def rms_rate(self) -> float | None:
        return self._rms_rate

    @rms_rate.setter
    def rms_rate(self, value: float | None) -> None:
        if value is not None and value < 0:
            raise ValueError(f"Muon: rms_rate must be at least 0, or None, got {value!r}.")
        self._set("rms_rate", -1.0 if value is None else value)  # what the compiled update takes for none
        self._rms_rate = value

    def orthogonalises(self, variable: Any) -> bool:
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return False
        return not any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def get_config(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in ("exclude_layers", "exclude_embeddings")}
        return {**super().get_config(), **own}

    @staticmethod
    def update(w, g, slots, step, hyper):
        if w.ndim != 2:
            rate = hyper["learning_rate"] * hyper["adam_lr_ratio"]
            names = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2", "epsilon": "epsilon"}
            of_adam = {"learning_rate": rate, **{name: hyper[its] for name, its in names.items()}}
            return Adam.update(w, g, slots, step, of_adam)
        m = hyper["momentum"] * slots[0] + g
        x = g + hyper["momentum"] * m if hyper["nesterov"] else m
        x = x / (np.linalg.norm(x) + 1e-7)
        x = x.T if w.shape[0] > w.shape[1] else x
        for _ in range(int(hyper["ns_steps"])):
            a = x @ x.T
            x = hyper["muon_a"] * x + (hyper["muon_b"] * a + hyper["muon_c"] * a @ a) @ x
        x = x.T if w.shape[0] > w.shape[1] else x
        way = hyper["rms_rate"] * math.sqrt(max(w.shape)) if hyper["rms_rate"] >= 0 else 1.0
        return w - hyper["learning_rate"] * way * x, [m, slots[1]]
