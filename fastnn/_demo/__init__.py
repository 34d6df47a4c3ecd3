"""The demonstration behind ``fastnn demo``."""

from fastnn._demo.jobs import run

__all__ = ["run"]
