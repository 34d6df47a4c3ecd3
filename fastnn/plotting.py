"""Figures, for which matplotlib is imported only here."""

from collections.abc import Iterable, Sequence
from typing import Any


def _figure(columns: int) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "Plots need matplotlib, which is not installed: pip install 'fastnn-cpu[plot]'"
        ) from None
    import sys

    size = (max(4.8 * columns, 6.4), 4.2)
    if "matplotlib.pyplot" in sys.modules or "ipykernel" in sys.modules:
        from matplotlib import pyplot  # so that plt.show() finds the figure, and a notebook shows it

        return pyplot.figure(figsize=size, layout="constrained")
    return Figure(figsize=size, layout="constrained")


def plot_range_test(found: Any) -> Any:
    """Draw a `RangeTest`; see there."""
    figure = _figure(1)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color="0.75", label="loss")
    axes.plot(found.rates, found.smoothed, label="smoothed")
    if found.suggestion is not None:
        axes.axvline(
            found.suggestion, linestyle="--", color="0.3", label=f"suggestion: {found.suggestion:.2g}"
        )
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_history(
    history: dict[str, list[float]], epochs: Sequence[int], metrics: Iterable[str] | None
) -> Any:
    """Draw a `History`; see there."""
    if not epochs:
        raise ValueError("The history holds no epochs, so there is nothing to draw.")
    known = [key for key in history if not key.startswith("val_")]
    known.sort(key=lambda key: (key != "loss", key))
    names = known if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in history:
            raise ValueError(f"metrics: {name!r} is not in the history; there are: {', '.join(known)}.")
    figure = _figure(len(names))
    numbers = [e + 1 for e in epochs]
    marker = "o" if len(numbers) == 1 else None
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label, style in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
            if key in history:
                axes.plot(numbers[-len(history[key]) :], history[key], style, label=label, marker=marker)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
