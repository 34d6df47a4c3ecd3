"""Regularizers, ``keras.regularizers``: none yet, so only ``None`` passes."""

from typing import Any

__all__ = ["get"]


def get(identifier: Any, argument: str = "regularizer") -> None:
    """Return ``None`` for ``None``.

    Raises
    ------
    NotImplementedError
        For everything else.
    """
    if identifier is not None:
        raise NotImplementedError(
            f"{argument}={identifier!r}: regularizers are not in fastnn yet; leave it at None."
        )
