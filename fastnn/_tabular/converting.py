"""``fastnn convert A B``: models from one format into another, by the endings of their files."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from fastnn import convert
from fastnn.models import load_model

_KERAS = (".keras", ".h5")
_UNSAFE = {
    ".pt": "PyTorch's",
    ".pth": "PyTorch's",
    ".pkl": "pickle's",
    ".pickle": "pickle's",
    ".joblib": "joblib's",
}


def run(args: Namespace) -> None:
    """Read a model, write it in another format, and say what that is."""
    model = _read(args.source)
    _write(model, args.destination)
    size = os.path.getsize(args.destination)
    print(f"{args.destination}: {model.count_params():,} parameters, {size:,} bytes")


def _read(path: str) -> Any:
    ending = os.path.splitext(path)[1].lower()
    if ending in _UNSAFE:
        raise ValueError(
            f"{path}: {_UNSAFE[ending]} files can execute anything when they are read, so this command does "
            "not read them. Load it in Python if you trust it, and use fastnn.convert.from_torch or "
            "from_sklearn."
        )
    if ending == ".onnx":
        return convert.from_onnx(path)
    if ending in _KERAS:
        with open(path, "rb") as file:
            start = file.read(4)
        if start in (b"PK\x03\x04", b"\x89HDF"):  # else it is fastnn's, under Keras's ending
            return convert.from_keras(_keras().models.load_model(path))
    return load_model(path)


def _write(model: Any, path: str) -> None:
    ending = os.path.splitext(path)[1].lower()
    if ending in (".onnx", ".c"):
        model.export(path)
    elif ending == ".keras":
        _keras()
        convert.to_keras(model).save(path)
    elif ending == ".safetensors":
        model.save(path)
    else:
        raise ValueError(
            f"{path}: no format has this ending; there are .safetensors (fastnn's), .onnx, .c and .keras."
        )


def _keras() -> Any:
    try:
        import keras
    except ImportError:
        raise ImportError("Keras's files need Keras: pip install keras and one of its backends") from None
    return keras
