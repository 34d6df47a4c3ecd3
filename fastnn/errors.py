"""The exception and the warning that are fastnn's own."""

import os
import sys
import warnings

__all__ = ["FormatError", "TrainingWarning"]

_PACKAGE = os.path.dirname(__file__)


class FormatError(ValueError):
    """A model file that is damaged, hostile, or not a model file at all."""


class TrainingWarning(UserWarning):
    """Training that runs, but plainly cannot give what was meant; the message names the first suspect."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's that called us, however deep we are."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
