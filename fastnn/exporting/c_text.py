"""C as text: names, numbers, arrays and comments, none of which a name or a weight can break."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

WIDTH = 100  # columns of a line


class Words(NamedTuple):
    """What differs between the C of one model and of another.

    Attributes
    ----------
    prefix : str
        Of all names.
    real : str
        The type of a number.
    suffix : str
        Of its constants, and of libm's functions.
    dtype : numpy.dtype
    """

    prefix: str
    real: str
    suffix: str
    dtype: np.dtype

    def number(self, value: float) -> str:
        """Return a constant, to the bit.

        In hexadecimal: C99 (6.4.4.2) promises its exact value, but of decimal digits, however many, only one
        of the two numbers beside what they say.
        """
        with np.errstate(over="ignore"):
            value = float(self.dtype.type(value))
        if np.isinf(value):
            return f"{'-' if value < 0 else ''}HUGE_VAL{self.suffix.upper()}"
        mantissa, exponent = value.hex().split("p")
        return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}{self.suffix}"

    def array(self, name: str, values: np.ndarray) -> str:
        """Return the definition of a constant array of one or two dimensions, in wrapped lines."""
        sizes = "".join(f"[{n}]" for n in values.shape)
        head = f"static const {self.real} {self.prefix}_{name}{sizes} = {{"
        if values.ndim == 1:
            return "\n".join([head, *wrapped(map(self.number, values)), "};"])
        rows = [[self.number(value) for value in row] for row in values]
        whole = ["{" + ", ".join(row) + "}" for row in rows]
        if max(map(len, whole)) < WIDTH - 4:
            return "\n".join([head, *wrapped(whole), "};"])
        lines = []
        for row in rows:
            first, *rest = wrapped(row)
            lines += ["    {" + first.lstrip(), *rest]
            lines[-1] = lines[-1].removesuffix(",") + "},"
        return "\n".join([head, *lines, "};"])


def words(stem: str, dtype: np.dtype) -> Words:
    """Return the words for a file of this name (without ``.c``) and dtype."""
    real, suffix = {"float32": ("float", "f"), "float64": ("double", "")}[dtype.name]
    return Words(identifier(stem), real, suffix, dtype)


def identifier(stem: str) -> str:
    """Return what the names in a file begin with, made of the file's own.

    Accents are dropped, what C's names cannot hold becomes ``_``. An underscore and more always follow, so
    it may be a keyword or a function of libm.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(c))
    # No double or leading underscores: those names belong to compilers.
    found = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    return f"model_{found}".rstrip("_") if not found or found[0].isdigit() else found


def wrapped(items: Iterable[str]) -> list[str]:
    """Return indented lines of items, a comma after each."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return [*lines, line]


def quoted(text: str) -> str:
    """Return a name for a comment: in quotes and ASCII, with JSON's escapes.

    So nothing in it ends the comment or begins another.
    """
    return json.dumps(text).replace("*/", "*\\u002f").replace("/*", "\\u002f*")


def comment(lines: list[str]) -> str:
    """Return a comment of these lines."""
    first, *rest = lines
    return "\n".join(["/* " + first, *(f"   {line}".rstrip() for line in rest)]) + " */"
