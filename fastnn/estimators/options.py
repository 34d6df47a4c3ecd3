"""What the constructors' arguments may be, and which of them do not go together."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastnn import optimizers
from fastnn.activations import FUNCTIONS
from fastnn.callbacks import Callback
from fastnn.optimizers import Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_WHOLE = Interval(Integral, 1, None, closed="left")

# Those that a layer takes by their name alone; scikit-learn has names of its own for two of them.
ACTIVATIONS = {name for name, f in FUNCTIONS.items() if not f.missing and f.form.compiled}
ACTIVATIONS |= {"identity", "logistic"}

CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")

CONSTRAINTS: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", _WHOLE],
    "activation": [StrOptions(ACTIVATIONS), list, tuple, callable],
    "solver": [StrOptions({"lbfgs", *optimizers.TABLE}), Optimizer],
    "alpha": [_NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), _WHOLE],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), LearningRateSchedule],
    "learning_rate_init": [_POSITIVE],
    "power_t": [_NOT_NEGATIVE],
    "max_iter": [_WHOLE],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_NOT_NEGATIVE],
    "verbose": ["verbose"],
    "warm_start": ["boolean", StrOptions({"optimizer"})],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean", StrOptions({"loss"})],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [_POSITIVE],
    "n_iter_no_change": [_WHOLE, Options(Real, {np.inf})],
    "max_fun": [_WHOLE],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "batch_norm": ["boolean"],
    "layer_norm": ["boolean"],
    "l1": [_NOT_NEGATIVE],
    **{name: [_POSITIVE, None] for name in CLIPS},
    "callbacks": [list, tuple, Callback, None],
}


def losses(*names: str) -> list[Any]:
    """Return the constraints of ``loss``."""
    return [StrOptions(set(names)), callable]


QUANTILE = [Interval(Real, 0, 1, closed="neither")]
GAMMA = [_NOT_NEGATIVE]
CLASS_WEIGHT = [dict, list, StrOptions({"balanced"}), None]


def require_together(e: Any, incremental: bool, validated: bool) -> None:
    """Raise for arguments of an estimator each of which is right, but not beside the others.

    Parameters
    ----------
    e : BaseMLP
    incremental : bool
        Whether this is `partial_fit`.
    validated : bool
        Whether `fit` was given validation data.
    """
    if e.batch_norm and e.layer_norm:
        raise ValueError("batch_norm=True and layer_norm=True: choose one of them.")
    clips = {name: getattr(e, name) for name in CLIPS if getattr(e, name) is not None}
    if len(clips) > 1 or (clips and isinstance(e.solver, Optimizer)):
        found = ", ".join(f"{name}={value!r}" for name, value in clips.items())
        raise ValueError(
            f"{found}: only one of {', '.join(CLIPS)} can be set."
            if len(clips) > 1
            else f"{found}: an Optimizer clips as it was made to; write {type(e.solver).__name__}({found})."
        )
    if incremental and isinstance(getattr(e, "class_weight", None), str):
        raise ValueError(
            f"class_weight={e.class_weight!r} is not for partial_fit, which does not see all rows. Give the "
            "weights: sklearn.utils.compute_class_weight('balanced', classes=classes, y=y) returns them."
        )
    if not isinstance(e.solver, str) or e.solver != "lbfgs":
        return
    refused = {
        "dropout": np.any(e.dropout),
        "batch_norm": e.batch_norm,
        "learning_rate": isinstance(e.learning_rate, LearningRateSchedule),
        "callbacks": e.callbacks,
        "validation data": validated,
        "early_stopping": e.early_stopping == "loss",
        **clips,
    }
    found = ", ".join(name for name, given in refused.items() if given)
    if found:
        raise ValueError(
            f"solver='lbfgs' works on all rows at once, without epochs or steps: {found} cannot be used with "
            "it. Take solver='adam' or another optimizer."
        )
