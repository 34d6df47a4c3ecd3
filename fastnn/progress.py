"""Progress lines and bars, as Keras 3 prints them."""

import math
import os
import sys
from typing import Any

import numpy as np

from fastnn.config import is_interactive, is_interactive_logging_enabled, terminal_width

WIDTH = 20
# Of epochs that pass within one native call, at most so many are printed by verbose=1.
MOST_EPOCHS = 100


def level(verbose: Any) -> int:
    """Return 0, 1 or 2 for what ``verbose`` may be."""
    if verbose == "auto":
        return 1 if is_interactive_logging_enabled() else 2
    if isinstance(verbose, str) or verbose not in (0, 1, 2):
        raise ValueError(f"verbose={verbose!r}: must be 'auto', 0, 1 or 2.")
    return int(verbose)


def metrics_text(logs: dict[str, Any]) -> str:
    """`` - accuracy: 0.9500 - loss: 1.2000e-04``; of several numbers, their mean."""
    parts = []
    for key, value in logs.items():
        v = value if isinstance(value, float) else float(np.mean(value))
        parts.append(f" - {key}: {v:.4f}" if abs(v) > 1e-3 else f" - {key}: {v:.4e}")
    return "".join(parts)


def step_time(seconds: float) -> str:
    """``2ms/step``."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or seconds == 0:
            return f"{seconds * scale:.0f}{unit}/step"
    return f"{seconds * 1e6:.1g}us/step"


def remaining(seconds: float) -> str:
    """``3s``, ``2:05`` or ``1:00:07``."""
    s = int(seconds)
    if s > 3600:
        return f"{s // 3600}:{s % 3600 // 60:02d}:{s % 60:02d}"
    return f"{s // 60}:{s % 60:02d}" if s > 60 else f"{s}s"


class Progress:
    """Prints the progress of one ``fit``, ``evaluate`` or ``predict``.

    Parameters
    ----------
    verbose : {1, 2}
        A bar, or one line when done.
    epochs : int
        1 prints no ``Epoch 1/1``.
    steps : int or None
        Of an epoch. Where it is None, `steps` has to be set before `end`, and `step` must not be called.
    """

    def __init__(self, verbose: int, epochs: int, steps: int | None):
        self.verbose = verbose
        self.epochs = epochs
        self.steps = steps or 0
        self.redraws = verbose == 1 and is_interactive()
        self.colours = self.redraws and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.drawn = 0  # characters of the unfinished line on the screen
        self.begun = -1  # the epoch whose heading is on the screen

    def begin(self, epoch: int) -> None:
        """Print an epoch's heading, once."""
        write(self._heading(epoch))

    def step(self, done: int, seconds: float, logs: dict[str, float]) -> None:
        """Draw the bar of an unfinished epoch over itself."""
        if not self.redraws:
            return
        each = seconds / max(1, done)
        bar, length = self._bar(done)
        text = f" {remaining(each * (self.steps - done))} {step_time(each)}{metrics_text(logs)}"
        # A line that wraps cannot be drawn over.
        text = text[: max(0, terminal_width() - 1 - length)]
        write(f"\r{bar}{text}{' ' * (self.drawn - length - len(text))}")
        self.drawn = length + len(text)

    def end(self, epoch: int, seconds: float, logs: dict[str, float]) -> None:
        """Print the line of a finished epoch (or evaluation)."""
        write(self._heading(epoch) + self._line(seconds, logs))
        self.drawn = 0

    def end_many(self, first: int, seconds: float, columns: dict[str, np.ndarray]) -> None:
        """Print the lines of epochs of ``seconds`` each; of very many, verbose=1 picks round numbers."""
        count = len(next(iter(columns.values())))
        stride = 1 if self.verbose == 2 else _stride(count)
        out = []
        for i in range(count):
            if stride == 1 or (first + i + 1) % stride == 0 or first + i + 1 == self.epochs:
                logs = {key: values[i] for key, values in columns.items()}
                out.append(self._heading(first + i) + self._line(seconds, logs))
                self.drawn = 0
        write("".join(out))

    def close(self) -> None:
        """End an unfinished line, after an error."""
        if self.drawn:
            write("\n")
            self.drawn = 0

    def _heading(self, epoch: int) -> str:
        if self.epochs == 1 or self.begun >= epoch:
            return ""
        self.begun = epoch
        return f"Epoch {epoch + 1}/{self.epochs}\n"

    def _line(self, seconds: float, logs: dict[str, float]) -> str:
        each = seconds / max(1, self.steps)
        if self.verbose == 2:
            return f"{self.steps}/{self.steps} - {seconds:.0f}s - {step_time(each)}{metrics_text(logs)}\n"
        bar, length = self._bar(self.steps)
        text = f" {self._bold(f'{seconds:.0f}s')} {step_time(each)}{metrics_text(logs)}"
        return f"{chr(13) if self.drawn else ''}{bar}{text}{' ' * max(0, self.drawn - length - len(text))}\n"

    def _bar(self, done: int) -> tuple[str, int]:
        digits = int(math.log10(self.steps)) + 1
        count = f"{done:{digits}d}/{self.steps}"
        full = WIDTH * done // self.steps
        left, right = "━" * full, ("━" if self.colours else " ") * (WIDTH - full)
        if self.colours:
            left, right = f"\x1b[32m{left}\x1b[0m", f"\x1b[37m{right}\x1b[0m"
        return f"{self._bold(count)} {left}{right}", len(count) + 1 + WIDTH

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.colours else text


def write(text: str) -> None:
    """Print ``text`` where there is an output, in ASCII where it takes no more."""
    out = sys.stdout
    if out is None or not text:
        return
    try:
        out.write(text)
    except UnicodeEncodeError:
        out.write(text.translate(_ASCII).encode("ascii", "replace").decode())
    except ValueError:  # it was closed
        return
    out.flush()


_ASCII = str.maketrans("━═─┃│┏┓┡┩└┘├┤┳╇┴┼", "==-||++++++++++++")


def _stride(count: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, ... that leaves at most MOST_EPOCHS."""
    scale = 1
    while True:
        for step in (1, 2, 5):
            if count <= step * scale * MOST_EPOCHS:
                return step * scale
        scale *= 10
