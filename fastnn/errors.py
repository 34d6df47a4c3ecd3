"""The exception and the warning that are fastnn's own."""

import os
import sys
import warnings
from types import FrameType

__all__ = ["FormatError", "TrainingWarning"]

_PACKAGE = os.path.dirname(__file__) + os.sep
_WRAPPERS = {"sklearn.base"}  # modules whose decorators stand between an estimator and its user


class FormatError(ValueError):
    """A model file that is damaged, hostile, or not a model file at all."""


class TrainingWarning(UserWarning):
    """Training that runs, but plainly cannot give what was meant; the message names the first suspect."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's that called us, however deep we are."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_ours(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE) or frame.f_globals.get("__name__") in _WRAPPERS
