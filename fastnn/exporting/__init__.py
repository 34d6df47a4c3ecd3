"""Trained models in the formats of others, to be run without fastnn: ONNX, and plain C."""

import os
from importlib import import_module
from typing import Any, NamedTuple

from fastnn.exporting.steps import program


class Format(NamedTuple):
    """The ending of a format's files, and the module that writes them."""

    ending: str
    module: str


FORMATS = {"onnx": Format(".onnx", "onnx_model"), "c": Format(".c", "c_source")}


def export(model: Any, filepath: Any, format: str | None = None) -> None:
    """Write what ``model.predict`` computes; see `Model.export`."""
    path = os.fspath(filepath)
    if format is None:
        ending = os.path.splitext(path)[1]
        format = next((name for name, known in FORMATS.items() if known.ending == ending), None)
        if format is None:
            endings = ", ".join(known.ending for known in FORMATS.values())
            raise ValueError(
                f"export: the ending of {path!r} is none of {endings}; name the file so, or pass "
                "format='onnx' or format='c'. (model.save() writes fastnn's own files.)"
            )
    if format not in FORMATS:
        raise ValueError(f"export: format={format!r}: must be one of {', '.join(map(repr, FORMATS))}.")
    import_module(f"fastnn.exporting.{FORMATS[format].module}").write(program(model), path)
