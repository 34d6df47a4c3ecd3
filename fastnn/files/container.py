"""The container: a safetensors file that holds tensors, one JSON text, and the digest of them all.

The text is the one entry, ``"fastnn"``, of the file's metadata. In it, ``"sha256"`` is the SHA-256 of the
whole file as it would be with zeros in the place of these 64 digits, so that a damaged file is found out
whatever the damage; a hostile one can bring the right digest, and what reads the text has to check all of it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import atomic
from fastnn._version import __version__
from fastnn.errors import FormatError
from fastnn.files import limits

# Raised when what is written could be misread by an older fastnn.
FORMAT = 1
KEY = "fastnn"
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}

_ZEROS = b"0" * 64
# As it stands in the header: JSON within JSON, so that quotation marks have backslashes.
_MARK = rb'\\"sha256\\": \\"'
_DIGEST = re.compile(_MARK + rb'([0-9a-f]{64})\\"')
_HEADER = 8  # bytes before the header, its length in little-endian order
_OTHERS = {b"PK\x03\x04": "a zip archive, as Keras writes", b"\x89HDF": "an HDF5 file, as Keras writes"}


def write(path: Any, tensors: Mapping[str, np.ndarray], content: Mapping[str, Any], overwrite: bool) -> None:
    """Write a file, or leave the old one as it is and raise.

    Parameters
    ----------
    path : str or path-like
    tensors : mapping of str to ndarray
        Of float32, float64 or int64.
    content : mapping
        What JSON can hold.
    overwrite : bool
        False: a file that is there is an error.
    """
    from safetensors.numpy import save

    try:
        text = json.dumps(
            {"sha256": _ZEROS.decode(), "format": FORMAT, "fastnn": __version__, **content}, default=_plain
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"The model's settings cannot be written as JSON: {error}.") from None
    data = save({name: np.ascontiguousarray(a) for name, a in tensors.items()}, {KEY: text})
    too_much = limits.of_header(_header(data)) or limits.of_content(json.loads(text))
    if too_much:
        raise ValueError(f"The model cannot be written, since nobody could read it: {too_much}.")
    start, end = _digits(data) or (0, 0)
    if data[start:end] != _ZEROS:
        raise ValueError("A name in the model contains the mark that is kept for the file's digest.")
    digest = hashlib.sha256(data).hexdigest().encode()
    atomic.write(path, data[:start] + digest + data[end:], overwrite)


def read(path: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors of a file, and its text as a dict.

    Raises
    ------
    FormatError
        Where anything about it is not as `write` writes it.
    OSError
        Where it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        return _read(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error.__cause__


def _read(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    for magic, kind in _OTHERS.items():
        if data.startswith(magic):
            raise FormatError(
                f"this is {kind}, not a file of fastnn's. Load it there, and convert it: "
                "fastnn.convert.from_keras(model)."
            )
    place = _digits(data)
    if place is None:
        raise FormatError(
            "this is not a file that model.save() wrote: it is cut off, damaged or of another kind."
        )
    start, end = place
    hashed = hashlib.sha256(data[:start])
    hashed.update(_ZEROS)
    hashed.update(memoryview(data)[end:])
    if hashed.hexdigest().encode() != data[start:end]:
        raise FormatError("the file is damaged: its SHA-256 is not the one that it was written with.")
    content = _content(_header(data))
    return _tensors(data), content


def _header(data: bytes) -> bytes:
    """Return the header of a safetensors file; empty where there is none."""
    size = int.from_bytes(data[:_HEADER], "little")
    return data[_HEADER : _HEADER + size] if len(data) >= _HEADER + size else b""


def _digits(data: bytes) -> tuple[int, int] | None:
    """Return where the digest's digits begin and end, None where there are none, or several."""
    found = list(_DIGEST.finditer(_header(data)))
    return None if len(found) != 1 else (found[0].start(1) + _HEADER, found[0].end(1) + _HEADER)


def _content(text: bytes) -> dict[str, Any]:
    """Return the JSON text in a header."""
    if too_much := limits.of_header(text):
        raise FormatError(f"{too_much}.")
    try:
        header = json.loads(text, object_pairs_hook=_unique)
        metadata = header["__metadata__"]
        if set(metadata) != {KEY}:
            raise FormatError(f"its metadata must be {KEY!r} alone, but it has {sorted(metadata)}.")
        if any(len(entry) != 3 for name, entry in header.items() if name != "__metadata__"):
            raise FormatError("a tensor is not described by dtype, shape and place alone.")
        content = json.loads(metadata[KEY], object_pairs_hook=_unique)
        version = content["format"]
        if type(version) is not int or version < 1:
            raise FormatError(f"its format is {version!r}, which must be a whole number from 1 on.")
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise FormatError(
            f"its header is not what fastnn writes ({type(error).__name__}: {error})."
        ) from error
    if version > FORMAT:
        raise FormatError(
            f"it has format {version}, written by fastnn {content.get('fastnn')}; this is {__version__}, "
            f"which reads formats up to {FORMAT}. Install a newer fastnn."
        )
    if too_much := limits.of_content(content):
        raise FormatError(f"{too_much}.")
    return content


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    """Return the numbers of a file, which the library has found to follow one another without gaps."""
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise FormatError(f"it is not a valid safetensors file: {error}.") from error
    found = {}
    for name, entry in entries:
        if entry["dtype"] not in DTYPES:
            raise FormatError(f"tensor {name!r} has dtype {entry['dtype']}, not one of {', '.join(DTYPES)}.")
        try:
            found[name] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        except ValueError as error:  # more dimensions than NumPy has
            raise FormatError(f"tensor {name!r} cannot be an array ({error}).") from error
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of JSON's pairs; a key that is there twice is read differently by different readers."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FormatError("its header has a key twice.")
    return found


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a NumPy number or array."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} is no number, text, list or dict")
