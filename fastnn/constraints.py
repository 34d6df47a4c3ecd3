"""Constraints, ``keras.constraints``: none yet, so only ``None`` passes."""

from typing import Any

__all__ = ["get"]


def get(identifier: Any, argument: str = "constraint") -> None:
    """Return ``None`` for ``None``.

    Raises
    ------
    NotImplementedError
        For everything else.
    """
    if identifier is not None:
        raise NotImplementedError(
            f"{argument}={identifier!r}: constraints are not in fastnn yet; leave it at None."
        )
