"""A training's state in a file, and a model brought back to it: what `BackupAndRestore` needs."""

from typing import Any

from fastnn.errors import FormatError
from fastnn.files import container
from fastnn.files.contents import damage, progress_of, require_none_left, take, whole, words
from fastnn.files.models import written
from fastnn.files.weights import require_fit
from fastnn.resuming import resume


def save(model: Any, path: Any, epoch: int) -> None:
    """Write a model as ``model.save`` does, and the number of the epoch that comes next."""
    tensors, content = written(model)
    container.write(path, tensors, {**content, "next_epoch": epoch}, True)


def restore(model: Any, path: Any) -> int:
    """Bring a compiled model to the state that `save` wrote; return the epoch that comes next.

    Weights, seed, counters, what the optimizer remembers and its numbers (its learning rate, unless that
    follows a schedule) become those of the file.

    Raises
    ------
    FormatError
        For a damaged file.
    ValueError
        Where the model is another one: other layers, or another optimizer.
    """
    tensors, content = container.read(path)
    with damage(path):
        if "next_epoch" not in content:
            raise FormatError("it is a model, but no backup: it does not say where the training stood.")
        epoch = whole(content["next_epoch"], "next_epoch")
        names = words(content["weights"], "weights") or []
        weights = [take(tensors, f"weights/{name}") for name in names]
        progress = progress_of(content, names, tensors)
        config = content["model"]["compile_config"]["optimizer"]
        kind, numbers = config["class_name"], dict(config["config"])
        for key in [key for key in tensors if key == "epochs" or key.startswith("history/")]:
            del tensors[key]
        require_none_left(tensors)
    require_fit(model, weights, f"The backup {path} has")
    optimizer = model.optimizer
    if kind != type(optimizer).__name__:
        raise ValueError(
            f"The backup {path} is of a training with {kind}, but model {model.name!r} has "
            f"{type(optimizer).__name__}. Delete the file to train from the start."
        )
    model.set_weights(weights)
    for name in optimizer.hypers:
        if name in numbers and not isinstance(numbers[name], dict):
            setattr(optimizer, name, numbers[name])
    resume(model, progress)
    return epoch
