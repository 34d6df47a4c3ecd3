"""What the demonstration prints: a progress bar for each job, and the table at the end."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from time import perf_counter

# A fit that took less than this is followed by one of twice as many epochs, so that short jobs are not
# measured by the cost of starting a fit.
SHORT = 0.05
BAR_WIDTH = 30


@dataclass
class Result:
    """One line of the table."""

    job: str
    rows: int
    network: str
    epochs: int
    seconds: float
    steps: int
    result: str = ""

    @property
    def rate(self) -> float:
        """Optimizer steps a second."""
        return self.steps / self.seconds


def drawable(text: str, plain: str) -> str:
    """Return ``text``, or ``plain`` where the output cannot show it."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return text


class Bar:
    """A bar that is redrawn on a terminal; elsewhere one line when the job is done.

    Parameters
    ----------
    total : int
        How many epochs fill the bar.
    """

    def __init__(self, total: int):
        self.total = total
        self.redraw = sys.stdout.isatty()
        self.full, self.empty = drawable("\u2501", "="), drawable("\u2500", "-")

    def show(self, epochs: int, logs: dict[str, float]) -> None:
        """Show that ``epochs`` are done, with the last value of each log."""
        done = epochs == self.total
        if not (self.redraw or done):
            return
        filled = BAR_WIDTH * epochs // self.total
        bar = self.full * filled + self.empty * (BAR_WIDTH - filled)
        values = " - ".join(f"{name}: {value:.4f}" for name, value in logs.items())
        start = "\r\x1b[K" if self.redraw else ""
        print(f"{start}{epochs}/{self.total} {bar} {values}", end="\n" if done else "", flush=True)


def fit(model, x, y, *, job: str, epochs: int, batch_size: int) -> Result:
    """Train ``model`` under a bar of its own and return what it cost.

    The epochs are spread over several fits, which gives the same weights as one: a model's optimizer and the
    shuffles of its rows go on where the last fit left them.
    """
    bar, seconds, done = Bar(epochs), 0.0, 0
    chunk = max(1, epochs // 20)
    while done < epochs:
        chunk = min(chunk, epochs - done)
        start = perf_counter()
        history = model.fit(x, y, epochs=chunk, batch_size=batch_size, verbose=0)
        took = perf_counter() - start
        seconds += took
        done += chunk
        bar.show(done, {name: values[-1] for name, values in history.history.items()})
        if took < SHORT:
            chunk *= 2
    return describe(model, x, job=job, epochs=epochs, batch_size=batch_size, seconds=seconds)


def fit_with_keras_lines(model, x, y, *, job: str, epochs: int, batch_size: int) -> Result:
    """Train ``model`` with the progress lines that ``fit`` prints by itself, and return what it cost."""
    start = perf_counter()
    model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose="auto")
    seconds = perf_counter() - start
    return describe(model, x, job=job, epochs=epochs, batch_size=batch_size, seconds=seconds)


def describe(model, x, *, job: str, epochs: int, batch_size: int, seconds: float) -> Result:
    """Return the line of the table for a model that has been trained."""
    widths = [x.shape[1], *(layer.units for layer in model.layers)]
    return Result(
        job=job,
        rows=len(x),
        network="-".join(str(width) for width in widths),
        epochs=epochs,
        seconds=seconds,
        steps=epochs * math.ceil(len(x) / batch_size),
    )


def table(results: list[Result]) -> str:
    """Return the closing table, numbers flush right."""
    head = ["job", "rows", "network", "epochs", "seconds", "steps/s", "result"]
    body = [
        [r.job, f"{r.rows}", r.network, f"{r.epochs}", f"{r.seconds:.3f}", f"{r.rate:,.0f}", r.result]
        for r in results
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    left = {0, 2, 6}

    def format_line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    rule = drawable("\u2500", "-") * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([format_line(head), rule, *(format_line(line) for line in body)])
