"""``optimizer.apply``: from gradients, in whatever form they come, to a step of their network."""

from typing import Any

import numpy as np

from fastnn import data
from fastnn.kernels.gradients import Gradients


def apply(optimizer: Any, gradients: Any, variables: Any = None) -> None:
    """Take one step; see ``Optimizer.apply``."""
    if isinstance(gradients, Gradients):
        _step(optimizer, gradients.home, gradients)
        return
    found = list(gradients)
    if not found:
        return
    if variables is None:
        engine = _only(optimizer)
    else:
        variables = list(variables)
        if len(variables) != len(found):
            raise ValueError(f"There are {len(found)} gradients for {len(variables)} trainable_variables.")
        engine = engine_of(optimizer, variables)
        place = {id(v): i for i, v in enumerate(variables)}
        found = [found[place[id(v)]] for v in engine.trained()]
    _step(optimizer, engine, Gradients.packed(engine.net, _arrays(found, engine)))


def engine_of(optimizer: Any, variables: list) -> Any:
    """Return the network whose trainable weights are these variables."""
    if not variables or not all(hasattr(v, "users") for v in variables):
        raise TypeError(
            "trainable_variables must be the weights of a model, as in model.trainable_variables."
        )
    wanted = {id(v) for v in variables}
    engines = [e for e in variables[0].users() if {id(v) for v in e.trained()} == wanted]
    for engine in engines:
        if engine.optimizer is optimizer:
            return engine
    if engines:
        return engines[0]
    users = variables[0].users()
    if not users:
        raise ValueError(
            "These variables are of no model that has run yet: call its forward() or gradients() first."
        )
    missing = [v.path for v in users[0].trained() if id(v) not in wanted]
    raise ValueError(
        "An optimizer takes a step of all trainable weights of a model"
        + (f"; there is no gradient for {', '.join(missing)}" if missing else "")
        + ". Set trainable=False on layers that must stay as they are."
    )


def _only(optimizer: Any) -> Any:
    engines = optimizer._bound()
    if len(engines) == 1:
        return engines[0]
    name = type(optimizer).__name__
    if not engines:
        raise ValueError(
            f"{name} knows no weights yet: pass trainable_variables=model.trainable_variables, or compile "
            "the model with it."
        )
    raise ValueError(
        f"{name} trains {len(engines)} models: say by trainable_variables= whose gradients these are."
    )


def _arrays(found: list, engine: Any) -> list[np.ndarray]:
    """Return the gradients as arrays of the network's dtype, or raise which one is wrong."""
    variables = engine.trained()
    if len(found) != len(variables):
        raise ValueError(
            f"There are {len(found)} gradients, but the model has {len(variables)} trainable weights."
        )
    arrays = []
    for i, (g, v) in enumerate(zip(found, variables, strict=True)):
        if g is None:
            raise ValueError(
                f"gradients[{i}], of {v.path}, is None: pass zeros, or set trainable=False on that layer."
            )
        a = data.array(g, f"gradients[{i}]")
        if a.shape != v.shape:
            raise ValueError(f"gradients[{i}] has shape {a.shape}, but {v.path} has shape {v.shape}.")
        arrays.append(data.contiguous(a, engine.dtype))
    return arrays


def _step(optimizer: Any, engine: Any, gradients: Gradients) -> None:
    engine.use(optimizer)
    engine.apply(gradients)
