"""What a model needs, beside its weights, to train on as if nothing had happened."""

from typing import Any, NamedTuple

import numpy as np

from fastnn.variables import values


class Progress(NamedTuple):
    """The state of a training between two epochs.

    Attributes
    ----------
    seed : int
        The model's, which shuffles and chance follow.
    epochs : int
        That the network has been trained in all.
    iterations : int
        Batches that the optimizer has seen.
    slots : dict of str to list of ndarray
        What the optimizer remembers: for each of its slots an array for each of the model's weights. Empty
        where it has not taken a step.
    loss : str or None
        The one of several losses that was chosen by the first targets.
    """

    seed: int
    epochs: int
    iterations: int
    slots: dict[str, list[np.ndarray]]
    loss: str | None


def state(model: Any) -> tuple[list[np.ndarray], Progress]:
    """Return the weights and the progress of a model, of one moment even while it trains elsewhere."""
    engine, compiled = model._engine, model._compiled
    loss = None if compiled is None else compiled.chosen
    if engine is None:
        weights = values(model.weights)
        if model._engine is None:  # still: nothing has been trained
            return weights, Progress(model.seed, 0, 0, {}, loss)
        engine = model._engine
    if engine.stale:
        engine.sync()
    weights, slots, iterations, epochs = engine.net.snapshot()
    names: tuple[str, ...] = ()
    if compiled is not None:
        optimizer = compiled.optimizer
        if engine.optimizer is not optimizer:
            slots, iterations = optimizer.parked(engine) or ([], 0)
        names = optimizer.remembered()
    if len(names) != len(slots):  # it is going to forget, since its options were changed, or is not there
        names, slots, iterations = (), [], 0
    return weights, Progress(model.seed, epochs, iterations, dict(zip(names, slots, strict=True)), loss)


def kept(model: Any) -> tuple[list[np.ndarray], Progress | None]:
    """Return what a pickle holds of `state`; the progress is None where there is no network yet.

    Where nothing is trained meanwhile, the weights are the very arrays that the variables have, which a
    pickle writes once. Else those, written later, may be newer than what the optimizer remembers.
    """
    engine = model._engine
    if engine is not None and engine.stale:
        engine.sync()
    version = None if engine is None else engine.net.version
    weights, progress = state(model)
    if engine is None and model._engine is None:
        return weights, None
    if engine is not None and engine is model._engine:
        own = values(model.weights)
        if version == engine.net.version:
            weights = own
    return weights, progress


def resume(model: Any, progress: Progress) -> None:
    """Bring a compiled model, whose weights are set, to where another stood.

    Raises
    ------
    ValueError
        Where the model's optimizer remembers other things, or arrays of other shapes.
    """
    model.seed = progress.seed
    compiled = model._compiled
    if compiled is None:
        return
    if progress.loss is not None:
        compiled.choose(progress.loss)
    if not (progress.epochs or progress.iterations):
        return
    model._native("training")
    engine = model._ready(model._columns(), True)
    names = compiled.optimizer.remembered()
    if progress.iterations and tuple(progress.slots) != names:
        raise ValueError(
            f"Optimizer {type(compiled.optimizer).__name__} remembers {', '.join(names) or 'nothing'}, but "
            f"what was kept of it is {', '.join(progress.slots) or 'nothing'}."
        )
    slots = [progress.slots[name] for name in names] if progress.slots else engine.net.optimizer_slots()
    engine.net.set_optimizer_state(slots, progress.iterations, progress.epochs)
