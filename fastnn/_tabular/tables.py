"""Tables of numbers in files, CSV with a line of names or .npy; what is wrong is named by its place."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastnn import atomic

# What tables hold where something is missing.
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
DELIMITERS = ",;\t"


class Table(NamedTuple):
    """The cells of a file.

    Attributes
    ----------
    path : str
        For messages.
    names : list of str or None
        Of the columns; None where the file has none (.npy).
    rows : list of list of str, or ndarray
        Text as it stands in the file, or numbers (.npy).
    lines : list of int
        Of each row, its line in the file.
    digest : str
        SHA-256 of the file.
    """

    path: str
    names: list[str] | None
    rows: list[list[str]] | np.ndarray
    lines: list[int]
    digest: str

    def text(self, name: str) -> list[str]:
        """Return a column as text."""
        at = self.place(name)
        return [row[at].strip() for row in self.rows]

    def place(self, name: str) -> int:
        """Return the place of a column."""
        assert self.names is not None
        if name not in self.names:
            raise ValueError(f"{self.path} has no column {name!r}; there are: {', '.join(self.names)}.")
        return self.names.index(name)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return columns as numbers, (rows, columns).

        Raises
        ------
        ValueError
            For a cell that is missing, infinite, or no number: with its line and column.
        """
        places = [self.place(name) for name in names]
        found = np.empty((len(self.rows), len(places)))
        for column, at in enumerate(places):
            cells = [row[at] for row in self.rows]
            try:
                found[:, column] = np.array(cells).astype(np.float64)
            except ValueError:
                self._complain(names[column], cells)
            if not np.isfinite(found[:, column]).all():
                self._complain(names[column], cells)
        return found

    def _complain(self, name: str, cells: Sequence[str]) -> None:
        """Raise about the first cell of a column that is no finite number."""
        for line, cell in zip(self.lines, cells, strict=True):
            where = f"{self.path}, line {line}, column {name!r}"
            if cell.strip().lower() in MISSING:
                raise ValueError(
                    f"{where}: the value is missing ({cell!r}). A network needs a number in every cell: fill "
                    "it in, say with the column's mean, delete the line, or leave the column out with --drop."
                )
            try:
                value = float(cell)
            except ValueError:
                raise ValueError(
                    f"{where}: {cell!r} is not a number. Text has to become numbers first, say one column of "
                    "0 and 1 for each value (pandas.get_dummies), or leave the column out with --drop."
                ) from None
            if not np.isfinite(value):
                raise ValueError(f"{where}: {cell!r} is not finite; correct it or delete the line.")


def read(path: str) -> Table:
    """Return the table in a file.

    Raises
    ------
    ValueError
        For a file that is no table: lines of different lengths, no line of names, a name twice, no rows.
    OSError
        Where it cannot be read.
    """
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if path.endswith(".npy"):
        return _of_array(path, data, digest)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: this is not UTF-8 text ({error.reason}). Save the table as CSV in UTF-8."
        ) from None
    return _of_text(path, text, digest)


def _of_text(path: str, text: str, digest: str) -> Table:
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if names is None:
                names = _names(path, cells)
            elif len(cells) != len(names):
                raise ValueError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, where the first line names "
                    f"{len(names)} columns."
                )
            else:
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: this is not CSV ({error}).") from None
    if names is None:
        raise ValueError(f"{path} is empty.")
    if not rows:
        raise ValueError(f"{path} has names of columns, but no rows.")
    return Table(path, names, rows, lines, digest)


def _names(path: str, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if all(_is_number(name) for name in names):
        raise ValueError(
            f"{path}, line 1: the first line must name the columns, but it holds numbers "
            f"({', '.join(names[:4])})."
        )
    for at, name in enumerate(names):
        if not name:
            raise ValueError(f"{path}, line 1: column {at + 1} has no name.")
        if name in names[:at]:
            raise ValueError(f"{path}, line 1: the column {name!r} is there twice.")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_array(path: str, data: bytes, digest: str) -> Table:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not an array of numbers in NumPy's format: {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{path} must hold an array of numbers of shape (rows, columns), but it has shape "
            f"{getattr(array, 'shape', None)} and dtype {getattr(array, 'dtype', None)}."
        )
    if not len(array):
        raise ValueError(f"{path} has no rows.")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{path}, row {row}, column {column} (from 0): {array[row, column]} is not a finite number."
        )
    return Table(path, None, array, [*range(len(array))], digest)


def write_csv(path: str | None, names: Sequence[str], columns: Sequence[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all; None: to standard output."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    if path is None:
        sys.stdout.write(out.getvalue())
    else:
        atomic.write(path, out.getvalue().encode())


def write_npy(path: str, array: np.ndarray) -> None:
    """Write an array in NumPy's format, whole or not at all."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    atomic.write(path, out.getvalue())
