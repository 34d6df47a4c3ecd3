"""Arrays as the functions of ``fastnn.kernels`` take them."""

import numpy as np

LOOK_ROWS = 1 << 12  # rows looked at in one go


def as_matrix(array, name: str, dtype=None) -> np.ndarray:
    """A C-contiguous, aligned, native matrix of `array`: itself if it is one, else a copy.

    Raises ``TypeError`` for anything but real numbers, ``ValueError`` for anything but two
    dimensions. Without `dtype`, float64 stays and all else becomes float32.
    """
    given = np.asarray(array)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {given.dtype}; expected real numbers")
    if given.ndim != 2:
        raise ValueError(f"{name} has shape {given.shape}; expected a matrix of two dimensions")
    if dtype is None:
        dtype = (
            np.float64
            if given.dtype == np.float64 or given.dtype == np.dtype("f8").newbyteorder()
            else np.float32
        )
    return np.require(given, dtype, ["C", "A"])


def as_output(out, name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
    """`out` if it can take a result of this shape and dtype in place; a new array if it is ``None``.

    Raises ``ValueError`` naming what is wrong with it.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"{name} has shape {out.shape} and dtype {out.dtype}; expected {shape} and {np.dtype(dtype)}"
        )
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous, aligned and writeable")
    return out


def as_vector(array, name: str, size: int, dtype) -> np.ndarray:
    """A contiguous vector of `size` elements; zeros for ``None``."""
    if array is None:
        return np.zeros(size, dtype)
    given = np.asarray(array)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {given.dtype}; expected real numbers")
    if given.shape != (size,):
        raise ValueError(f"{name} has shape {given.shape}; expected {(size,)}")
    return np.require(given, dtype, ["C", "A"])


def as_threads(num_threads) -> int:
    """0 for ``None`` (automatic), else a checked positive count."""
    if num_threads is None:
        return 0
    if isinstance(num_threads, bool) or not hasattr(num_threads, "__index__"):
        raise TypeError(f"num_threads must be a positive integer or None, not {num_threads!r}")
    if not 1 <= num_threads <= 1024:
        raise ValueError(
            f"num_threads must be between 1 and 1024, or None for automatic, not {num_threads!r}"
        )
    return int(num_threads)


def require_finite_rows(x, y, sample_weight, label=""):
    """Raise ValueError naming the first row of these arrays that holds NaN or infinity, if one does."""
    for name, array in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        if array is None:
            continue
        for first in range(0, len(array), LOOK_ROWS):
            part = array[first : first + LOOK_ROWS]
            finite = np.isfinite(part).reshape(len(part), -1).all(axis=1)
            if not finite.all():
                row = first + int(finite.argmin())
                raise ValueError(
                    f"{label}{name} contains NaN or infinity (first in row {row}); "
                    "remove or replace such values first"
                )
