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
        return values(model.weights), Progress(model.seed, 0, 0, {}, loss)
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
