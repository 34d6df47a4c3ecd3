"""Settings of the process: the dtype of new layers, and how progress is shown (``keras.config``)."""

import sys

__all__ = [
    "backend",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "epsilon",
    "floatx",
    "is_interactive_logging_enabled",
    "set_floatx",
]

DTYPES = ("float32", "float64")
_EPSILON = 1e-7

_floatx = "float32"
_interactive: bool | None = None


def floatx() -> str:
    """Return the dtype of layers that are made without ``dtype=``: ``"float32"`` or ``"float64"``."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the dtype of layers made from now on without ``dtype=``.

    Parameters
    ----------
    value : {"float32", "float64"}
        Models that exist already keep theirs.

    Raises
    ------
    ValueError
        For any other dtype.
    """
    global _floatx
    _floatx = standard_dtype(value, "value")


def epsilon() -> float:
    """Return 1e-7: losses on probabilities clip these to [epsilon, 1 - epsilon]."""
    return _EPSILON


def backend() -> str:
    """Return ``"fastnn"``; there is one backend."""
    return "fastnn"


def enable_interactive_logging() -> None:
    """Make ``verbose="auto"`` draw progress bars, wherever the output goes."""
    global _interactive
    _interactive = True


def disable_interactive_logging() -> None:
    """Make ``verbose="auto"`` print one line an epoch, wherever the output goes."""
    global _interactive
    _interactive = False


def is_interactive_logging_enabled() -> bool:
    """Whether ``verbose="auto"`` draws bars: as was set, else on a terminal and in notebooks."""
    return is_interactive() if _interactive is None else _interactive


def is_interactive() -> bool:
    """Whether standard output can be drawn over: a terminal or a notebook."""
    out = sys.stdout
    try:
        if out.isatty():
            return True
    except (AttributeError, ValueError):  # no stdout at all, or a closed one
        return False
    return "ipykernel" in sys.modules and type(out).__module__.startswith("ipykernel")


def terminal_width() -> int:
    """Return the number of columns of the terminal, 80 where there is none."""
    import shutil  # not needed by who trains silently

    return shutil.get_terminal_size().columns


def standard_dtype(value: object, argument: str = "dtype") -> str:
    """Return ``"float32"`` or ``"float64"`` for a name, a NumPy dtype, or a serialised dtype policy."""
    if value is None:
        return _floatx
    name = value
    if isinstance(value, dict):
        name = value.get("config", {}).get("name", value)
    elif not isinstance(value, str):
        name = getattr(value, "name", None) or getattr(value, "__name__", value)
    if name in DTYPES:
        return str(name)
    raise ValueError(f"{argument}={value!r}: models compute in 'float32' or 'float64'.")
