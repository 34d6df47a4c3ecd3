"""Trained models in the formats of others, to be run without fastnn: ONNX, and plain C."""

import os
from typing import Any

from fastnn.exporting.steps import program

# format -> the ending of its files
FORMATS = {"onnx": ".onnx", "c": ".c"}


def export(model: Any, filepath: Any, format: str | None = None) -> None:
    """Write what ``model.predict`` computes; see `Model.export`."""
    path = os.fspath(filepath)
    if format is None:
        ending = os.path.splitext(path)[1]
        format = next((name for name, known in FORMATS.items() if known == ending), None)
        if format is None:
            raise ValueError(
                f"export: the ending of {path!r} is none of {', '.join(FORMATS.values())}; name the file so, "
                "or pass format='onnx' or format='c'. (model.save() writes fastnn's own files.)"
            )
    if format == "onnx":
        from fastnn.exporting import onnx_model as writer
    elif format == "c":
        from fastnn.exporting import c_source as writer  # type: ignore[no-redef]
    else:
        raise ValueError(f"export: format={format!r}: must be one of {', '.join(map(repr, FORMATS))}.")
    writer.write(program(model), path)
