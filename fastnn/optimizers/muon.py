"""Muon."""

import math
import re
from typing import Any

import numpy as np

from fastnn.optimizers.adam import Adam
from fastnn.optimizers.optimizer import Hyper, Optimizer, given

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
    weight_decay, ..., name
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
    slots = ("momentum", "velocity")
    adam_beta_1 = Hyper(high=1.0)
    adam_beta_2 = Hyper(high=1.0)
    epsilon = Hyper()
    adam_weight_decay = Hyper(none=0.0)
    adam_lr_ratio = Hyper()
    momentum = Hyper(high=1.0, closed=True)
    nesterov = Hyper(kind=bool)
    ns_steps = Hyper(high=60.0, closed=True, kind=int)
    muon_a = Hyper(*_ANY)
    muon_b = Hyper(*_ANY)
    muon_c = Hyper(*_ANY)
    rms_rate = Hyper(none=-1.0)

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
        if isinstance(exclude_layers, str):
            raise TypeError(f"Muon: exclude_layers must be a list of strings, got {exclude_layers!r}.")
        super().__init__(**given(locals(), but=("exclude_layers", "exclude_embeddings")))
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings

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
