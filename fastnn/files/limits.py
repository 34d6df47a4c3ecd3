"""How much a file may say beside its numbers, so that a small one cannot ask for much memory.

Loading takes the file's size, what the network computes, and 16 MB: for Python's objects of the header, and
for what is made of them. Each limit is far beyond what a network that trains on a CPU has: a thousand layers,
a hundred thousand names of columns, or a metric of 500 classes. A history is counted as the network is.
"""

from collections.abc import Iterator
from typing import Any

MEGABYTE = 2**20

LONGEST = 2 * MEGABYTE  # a header, which is there several times while it is read
OBJECTS = 7 * MEGABYTE  # what JSON takes as Python's objects
MADE = 8 * MEGABYTE  # what is made of them: layers, metrics and their counts

# Bytes of memory, rounded up, of a list or dict with one entry, and of a number or word among others.
_HOLDER, _ENTRY = 240, 64
# Of a layer; of what else is made of a dict; of a metric, which may be just a name.
_LAYER, _THING, _METRIC = 2048, 512, 4096
# Of counts: true and false positives and negatives at a threshold; an entry of a confusion matrix.
_THRESHOLD, _CELL = 160, 24
_THRESHOLDS = 200  # of metrics that are not told how many


def of_header(text: bytes) -> str:
    """Return what is too much about a header that has not been parsed, in words; empty where nothing is."""
    if len(text) > LONGEST:
        return f"its header has {len(text)} bytes, more than {LONGEST}"
    size = _HOLDER * (text.count(b"{") + text.count(b"[")) + _ENTRY * text.count(b",")
    if size > OBJECTS:
        return f"its header takes some {size} bytes of memory, more than {OBJECTS}"
    return ""


def of_content(content: Any) -> str:
    """Return what is too much about the things that are to be made, in words; empty where nothing is."""
    size = 0
    for cost in _costs(content, ""):
        size += cost
        if size > MADE:
            return f"its layers, metrics and settings take more than {MADE} bytes of memory"
    return ""


def _costs(value: Any, key: str) -> Iterator[int]:
    # key: where in the content the value stands, or the list that holds it
    metrics = key in ("metrics", "weighted_metrics")
    if isinstance(value, dict):
        if "class_name" in value:
            yield _METRIC if metrics else _LAYER if key == "layers" else _THING
        yield _CELL * _number(value.get("num_classes")) ** 2
        if {"thresholds", "num_thresholds", "num_labels"} & value.keys():
            listed = value.get("thresholds")
            count = _number(value.get("num_thresholds", _THRESHOLDS))
            count = max(count, len(listed) if isinstance(listed, list) else 1)
            yield _THRESHOLD * count * max(1, _number(value.get("num_labels")))
        for name, inner in value.items():
            yield from _costs(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _costs(inner, key)
    elif metrics and isinstance(value, str):
        yield _METRIC


def _number(value: Any) -> int:
    # as Python would count with it: also a fraction, or text of digits
    try:
        return min(max(0, int(value)), 2**62)
    except (TypeError, ValueError, OverflowError):
        return 0
