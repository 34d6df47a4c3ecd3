"""Each step of a prediction in C: its constants, its function, the lines that call it, and what it costs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnn.exporting.buffers import Move
from fastnn.exporting.c_functions import ROWS, SCALARS
from fastnn.exporting.c_text import Words
from fastnn.exporting.steps import Activate, Add, Multiply, NormalizeRows, Scale, Slope, Standardize

# So many inputs of a dense layer are multiplied at a time, to load and store its sums less often. At -O2 that
# takes 0.4 to 0.6 of the time of one by one (gcc 12, SSE2), and 8 at a time gain little more.
TOGETHER = 4


class Code(NamedTuple):
    """What a move becomes.

    Attributes
    ----------
    title : str
        For the table of layers.
    constants : dict of str to ndarray
        Arrays of the model's dtype, by the names that they get.
    function : str
        A function of the step's own, or "".
    lines : list of str
        In the body of ``predict``.
    uses : set of str
        Functions of `c_functions`.
    products : int
        Multiply-adds.
    operations : int
        Each addition, multiplication, comparison, and each value of an activation.
    """

    title: str
    constants: dict[str, np.ndarray]
    function: str
    lines: list[str]
    uses: set[str]
    products: int
    operations: int


def code(move: Move, number: int, words: Words) -> Code:
    """Return the C of a move, the names of whose constants end in ``number``.

    Raises
    ------
    ValueError
        Where a weight is NaN, or infinite in the model's dtype.
    """
    step: Any = move.step
    writer = _WRITERS[type(step)]
    found = writer(step, move, number, words)
    with np.errstate(over="ignore"):
        constants = {name: a.astype(words.dtype) for name, a in found.constants.items()}
    for name, values in constants.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"export: layer {found.title!r} has NaN or infinity among its weights ({name}, as "
                f"{words.dtype}), so there is nothing to predict with: train the model again. NaN in the "
                "data makes weights so, and too large a learning rate."
            )
    return found._replace(constants=constants)


def _each(move: Move, value: str) -> list[str]:
    """Return a loop in which every element of the target becomes ``value``."""
    return [f"for (size_t j = 0; j < {move.units}; j++)", f"    {move.target}[j] = {value};"]


def _copy(_: None, move: Move, number: int, words: Words) -> Code:
    return Code(f"copy, {move.units}", {}, "", _each(move, f"{move.source}[j]"), set(), 0, 0)


def _multiply(step: Multiply, move: Move, number: int, words: Words) -> Code:
    p, (inputs, units) = words.prefix, step.kernel.shape
    kernel, bias = f"kernel_{number}", f"bias_{number}"
    constants = {kernel: step.kernel}
    start = f"0.0{words.suffix}"
    if step.bias is not None:
        constants[bias], start = step.bias, f"{p}_{bias}[j]"
    each = f"for (size_t j = 0; j < {units}; j++)"
    lines = [each, f"    y[j] = {start};"]
    whole = inputs - inputs % TOGETHER
    if whole:
        sums = [
            f"x[{at}] * {p}_{kernel}[{at}][j]"
            for at in ("i", *(f"i + {offset}" for offset in range(1, TOGETHER)))
        ]
        lines += [
            f"for (size_t i = 0; i < {whole}; i += {TOGETHER})",
            f"    {each}",
            f"        y[j] = y[j] + {sums[0]}",
            *(f"               + {term}" for term in sums[1:]),
        ]
        lines[-1] += ";"
    for at in range(whole, inputs):
        lines += [each, f"    y[j] += x[{at}] * {p}_{kernel}[{at}][j];"]
    body = "\n".join(f"    {line}" for line in lines)
    real = words.real
    function = (
        f"/* x[{inputs}] -> y[{units}] */\n"
        f"static void {p}_dense_{number}(const {real} *restrict x, {real} *restrict y)\n{{\n{body}\n}}"
    )
    call = [f"{p}_dense_{number}({move.source}, {move.target});"]
    with_bias = "" if step.bias is not None else ", no bias"
    products = inputs * units
    return Code(
        f"dense, {inputs} -> {units}{with_bias}", constants, function, call, set(), products, 2 * products
    )


def _activate(step: Activate, move: Move, number: int, words: Words) -> Code:
    name = f"{words.prefix}_{step.name}"
    title = f"{step.name}, {move.units}"
    if step.name in ROWS:
        lines = [f"{name}({move.units}, {move.source}, {move.target});"]
    else:
        given = dict(zip(SCALARS[step.name].parameters, step.parameters, strict=True))
        taken = f"{move.source}[j]"
        if given:  # several on a line of their own: to the bit, numbers are long
            taken += ", " if len(given) == 1 else ",\n            "
            taken += ", ".join(map(words.number, given.values()))
        lines = _each(move, f"{name}({taken})")
        title += "".join(f", {key} {value:g}" for key, value in given.items())
    return Code(title, {}, "", lines, {step.name}, 0, move.units)


def _standardize(step: Standardize, move: Move, number: int, words: Words) -> Code:
    names = [f"{words.prefix}_{what}_{number}[j]" for what in ("mean", "factor", "offset")]
    constants = {
        f"mean_{number}": step.mean,
        f"factor_{number}": step.factor,
        f"offset_{number}": step.offset,
    }
    value = f"({move.source}[j] - {names[0]}) * {names[1]} + {names[2]}"
    title = f"batch normalization, {move.units}"
    return Code(title, constants, "", _each(move, value), set(), 0, 3 * move.units)


def _scale(step: Scale, move: Move, number: int, words: Words) -> Code:
    p = words.prefix
    value = f"{move.source}[j] * {p}_factor_{number}[j] + {p}_offset_{number}[j]"
    constants = {f"factor_{number}": step.factor, f"offset_{number}": step.offset}
    return Code(f"scale, {move.units}", constants, "", _each(move, value), set(), 0, 2 * move.units)


def _normalize(step: NormalizeRows, move: Move, number: int, words: Words) -> Code:
    p = words.prefix
    name = "standardize_row" if step.centered else "divide_row_by_rms"
    share, epsilon = words.number(1 / move.units), words.number(step.epsilon)
    lines = [f"{p}_{name}({move.units}, {share}, {epsilon}, {move.source}, {move.target});"]
    constants, value = {}, f"{move.target}[j]"
    if step.gamma is not None:
        constants[f"factor_{number}"] = step.gamma
        value += f" * {p}_factor_{number}[j]"
    if step.beta is not None:
        constants[f"offset_{number}"] = step.beta
        value += f" + {p}_offset_{number}[j]"
    if constants:
        lines += _each(move, value)
    title = f"{'layer' if step.centered else 'RMS'} normalization, {move.units}"
    operations = (5 if step.centered else 3) + len(constants)
    return Code(title, constants, "", lines, {name}, 0, operations * move.units)


def _slope(step: Slope, move: Move, number: int, words: Words) -> Code:
    x = f"{move.source}[j]"
    value = f"{x} < 0.0{words.suffix} ? {words.prefix}_slope_{number}[j] * {x} : {x}"
    constants = {f"slope_{number}": step.alpha}
    return Code(f"prelu, {move.units}", constants, "", _each(move, value), set(), 0, 2 * move.units)


def _add(_: Add, move: Move, number: int, words: Words) -> Code:
    lines = _each(move, f"{move.source}[j] + {move.other}[j]")
    return Code(f"add the input of the residual block, {move.units}", {}, "", lines, set(), 0, move.units)


_WRITERS: dict[type, Any] = {
    type(None): _copy,
    Multiply: _multiply,
    Activate: _activate,
    Standardize: _standardize,
    Scale: _scale,
    NormalizeRows: _normalize,
    Slope: _slope,
    Add: _add,
}
