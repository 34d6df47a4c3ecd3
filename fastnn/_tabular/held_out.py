"""Which rows of a table were held out, as text for a model's file: a bit for each row, in base 64."""

import base64

import numpy as np


def packed(rows: np.ndarray, count: int) -> str:
    """Return some of so many rows, given by number, as text."""
    chosen = np.zeros(count, bool)
    chosen[rows] = True
    return base64.b64encode(np.packbits(chosen).tobytes()).decode()


def unpacked(text: str, count: int) -> np.ndarray:
    """Return the numbers of the rows; ``count`` is that of all."""
    bits = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.flatnonzero(np.unpackbits(bits, count=count))
