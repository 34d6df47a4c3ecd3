"""The exception and the warning that are fastnn's own."""

__all__ = ["FormatError", "TrainingWarning"]


class FormatError(ValueError):
    """A model file that is damaged, hostile, or not a model file at all."""


class TrainingWarning(UserWarning):
    """Training that runs, but plainly cannot give what was meant; the message names the first suspect."""
