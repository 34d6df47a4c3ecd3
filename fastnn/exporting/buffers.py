"""Where the numbers of a row lie between the steps of a prediction: as little scratch as the steps allow."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.exporting.steps import Add, Multiply, Split

INPUT, OUTPUT = "input", "output"


class Move(NamedTuple):
    """One step, and where it reads and writes.

    Attributes
    ----------
    step : Step or None
        None: a plain copy.
    source, target : str
        ``"input"``, ``"output"`` or a buffer. The same one only for steps that work in place, which all can
        but `Multiply`.
    other : str or None
        What `Add` adds.
    columns, units : int
        How many numbers are read, and written.
    """

    step: Any
    source: str
    target: str
    other: str | None
    columns: int
    units: int


def arrange(steps: list[Any], inputs: int) -> tuple[list[Move], dict[str, int]]:
    """Return the moves of a prediction, and the sizes of the buffers that they need.

    What an open `Split` remembers is never copied: its place is left alone until its `Add`. So plain networks
    take two buffers in turns, and each block that is open adds one at the most.

    Parameters
    ----------
    steps : list of Step
    inputs : int

    Returns
    -------
    moves : list of Move
    buffers : dict of str to int
        Name -> how many numbers it holds, at its widest.
    """
    moves: list[Move] = []
    kept: list[str] = []
    free: list[str] = []
    made, place, width = 0, INPUT, inputs
    for step in steps:
        if isinstance(step, Split):
            kept.append(place)
            continue
        other = kept.pop() if isinstance(step, Add) else None
        units = step.kernel.shape[1] if isinstance(step, Multiply) else width
        target = place
        if isinstance(step, Multiply) or place == INPUT or place in kept:
            if not free:
                free.append(f"buffer_{made}")
                made += 1
            target = free.pop(0)
        moves.append(Move(step, place, target, other, width, units))
        for left in dict.fromkeys((place, other)):
            if left not in (None, INPUT, target, *kept):
                free.append(left)  # type: ignore[arg-type]
        place, width = target, units
    return _into_output(moves, place, width)


def _into_output(moves: list[Move], place: str, width: int) -> tuple[list[Move], dict[str, int]]:
    """Let the moves of the result, which ends in ``place``, happen in the caller's memory."""
    if place == INPUT:
        moves = [Move(None, INPUT, OUTPUT, None, width, width)]
    else:
        born = max(i for i, move in enumerate(moves) if move.target == place != move.source)
        after = {place: OUTPUT}
        moves[born:] = [
            move._replace(
                source=after.get(move.source, move.source),
                target=after.get(move.target, move.target),
                other=after.get(move.other, move.other) if move.other else None,
            )
            for move in moves[born:]
        ]
    buffers: dict[str, int] = {}
    for move in moves:
        if move.target != OUTPUT:
            buffers[move.target] = max(move.units, buffers.get(move.target, 0))
    return moves, buffers
