"""``model.summary()``: a table of the layers, in plain text."""

import math
from collections.abc import Iterable
from typing import Any

from fastnn.config import terminal_width
from fastnn.kernels.runtime import bfloat16_kind

_HEADER = ["Layer (type)", "Output Shape", "Param #"]


def summary(model: Any, line_length: int | None, show_trainable: bool, layer_range: Any) -> list[str]:
    """Return the lines of a model's summary."""
    header = [*_HEADER, "Trainable"] if show_trainable else _HEADER
    rows = [_row(layer, show_trainable) for layer in _selected(model.layers, layer_range)]
    widths = _widths(line_length, header, rows)
    lines = [
        f'Model: "{model.name}"',
        _rule("┏━┳┓", widths),
        _cells("┃", header, widths),
        _rule("┡━╇┩", widths),
    ]
    for i, row in enumerate(rows):
        lines += [_rule("├─┼┤", widths)] if i else []
        lines.append(_cells("│", row, widths))
    lines.append(_rule("└─┴┘", widths))
    trained, frozen = _size(model.trainable_weights), _size(model.non_trainable_weights)
    kept = model.optimizer_size()
    parts = {
        "Total": _sum(trained, frozen, kept),
        "Trainable": trained,
        "Non-trainable": frozen,
        "Optimizer": kept,
    }
    for name, size in parts.items():
        if size is not None:
            lines.append(f" {name} params: {size[0]:,} ({_bytes(size[1])})")
    if model.precision == "bfloat16":
        lines.append(f" Training precision: bfloat16 ({bfloat16_kind()}), weights float32")
    return lines


def _row(layer: Any, show_trainable: bool) -> list[str]:
    shape = "?" if layer.output_shape is None else str(layer.output_shape)
    count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
    row = [f"{layer.name} ({type(layer).__name__})", shape, count]
    return [*row, ("Y" if layer.trainable else "N") if layer.weights else "-"] if show_trainable else row


def _selected(layers: list, layer_range: Any) -> list:
    if layer_range is None:
        return layers
    import re

    ends = []
    for pattern in layer_range:
        found = [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        if not found:
            raise ValueError(f"layer_range: no layer's name matches {pattern!r}.")
        ends.append(found)
    if len(ends) != 2:
        raise ValueError(
            f"layer_range must have two names, the first and the last layer's, got {layer_range!r}."
        )
    return layers[ends[0][0] : ends[1][-1] + 1]


def _widths(line_length: int | None, header: list[str], rows: list[list[str]]) -> list[int]:
    """Share the line out as Keras does, but never cut anything off."""
    length = line_length or min(88, terminal_width() - 4)
    room = length - len(header) - 1
    shares = [0.46, 0.335, 0.205] if len(header) == 3 else [0.41, 0.29, 0.18, 0.12]
    needed = [max(len(row[i]) for row in [header, *rows]) + 2 for i in range(len(header))]
    wanted = [math.floor(room * share) for share in shares]
    wanted[2] += room - sum(wanted)
    return [max(pair) for pair in zip(wanted, needed, strict=True)]


def _rule(marks: str, widths: list[int]) -> str:
    left, line, middle, right = tuple(marks)
    return left + middle.join(line * w for w in widths) + right


def _cells(bar: str, cells: list[str], widths: list[int]) -> str:
    texts = [
        f" {c:>{w - 2}} " if i == 2 else f" {c:<{w - 2}} "
        for i, (c, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return bar + bar.join(texts) + bar


def _size(variables: Iterable[Any]) -> tuple[int, int]:
    counts = [(math.prod(v.shape), 4 if v.dtype == "float32" else 8) for v in variables]
    return sum(n for n, _ in counts), sum(n * itemsize for n, itemsize in counts)


def _sum(*sizes: tuple[int, int] | None) -> tuple[int, int]:
    known = [s for s in sizes if s is not None]
    return sum(n for n, _ in known), sum(b for _, b in known)


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} TB"
