"""Models as C99: one file and its header, with the weights and a function that predicts.

What comes out needs libm and nothing else. It allocates nothing and writes to nothing but its own stack and
the caller's output, so any number of threads may call it; the weights are constants, which linkers put into
read-only memory, on small machines flash.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex

from fastnn import atomic
from fastnn._version import __version__
from fastnn.exporting.buffers import OUTPUT, arrange
from fastnn.exporting.c_functions import definitions
from fastnn.exporting.c_steps import Code, code
from fastnn.exporting.c_text import Words, comment, quoted, words
from fastnn.exporting.steps import Program

# What cannot stand between the quotes of an #include: quotes, backslashes, control characters, trigraphs.
_UNSPEAKABLE = re.compile(r'["\\\x00-\x1f\x7f]|\?\?')


def write(program: Program, path: str) -> None:
    """Write ``NAME.c`` and ``NAME.h`` beside it.

    Parameters
    ----------
    program : Program
    path : str
        Ends in ``.c``.

    Raises
    ------
    ValueError
        For a file's name that C cannot include, or weights that are NaN or infinite.
    OSError
        Where one of the two cannot be written; then both are as they were.

    Notes
    -----
    Two files cannot be replaced in one step, so the order matters to whoever compiles in between, and after a
    loss of power. The header says nothing that training changes. While columns and dtype stay, old and new
    files fit in every combination. It comes first, since alone it does no harm, where a source without its
    header does not compile. Where columns or dtype do change, an old source with the new header must not
    become a program that reads beyond its arrays: it stops with an ``#error``.
    """
    stem, ending = os.path.splitext(os.path.basename(path))
    if ending != ".c":
        raise ValueError(f"export: the name of a C file must end in '.c', got {path!r}.")
    if _UNSPEAKABLE.search(stem):
        raise ValueError(
            f"export: C cannot include the header of {path!r}: take a name without quotes, backslashes, "
            "control characters and double question marks."
        )
    parts = [_as_bytes(text) for text in (header(program, stem), source(program, stem))]
    beside = path.removesuffix(".c") + ".h"
    before = _content(beside)
    if before != parts[0]:
        atomic.write(beside, parts[0])
    try:
        atomic.write(path, parts[1])
    except BaseException:
        with contextlib.suppress(OSError):
            if before is None:
                os.unlink(os.path.realpath(beside))
            elif before != parts[0]:
                atomic.write(beside, before)
        raise


def _as_bytes(text: str) -> bytes:
    """Return a file's content: ASCII, but for a file's name, which has the bytes that the system knows."""
    return text.encode("utf-8", "surrogateescape")


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def header(program: Program, stem: str) -> str:
    """Return the header: how the model is called."""
    w = words(stem, program.dtype)
    p, macro = w.prefix, w.prefix.upper()
    lines = [
        f"Model {quoted(program.name)}, written by fastnn {__version__}:",
        "what its predict() computes. The source beside this file says more.",
        "",
        *_interface(program),
        "",
        "The functions may be called by any number of threads. Input and output must not overlap.",
    ]
    row = f"const {w.real} *input, {w.real} *output"
    return f"""\
{comment(lines)}
#ifndef {macro}_H
#define {macro}_H

#include <stddef.h>

#define {macro}_INPUTS {program.inputs}
#define {macro}_OUTPUTS {program.outputs}

#ifdef __cplusplus
extern "C" {{
#endif

/* One row: input[{program.inputs}] -> output[{program.outputs}] */
void {p}_predict({row});

/* Many, one behind the other: input[rows * {program.inputs}] -> output[rows * {program.outputs}] */
void {p}_predict_rows({row}, size_t rows);

#ifdef __cplusplus
}}
#endif

#endif
"""


def source(program: Program, stem: str) -> str:
    """Return the C file."""
    w = words(stem, program.dtype)
    p, macro = w.prefix, w.prefix.upper()
    moves, buffers = arrange(program.steps, program.inputs)
    assert moves[-1].target == OUTPUT
    assert moves[-1].units == program.outputs
    codes = [code(move, number, w) for number, move in enumerate(moves, 1)]
    layers = [w.array(name, values) for found in codes for name, values in found.constants.items()]
    helpers = definitions(set().union(*(found.uses for found in codes)), w)
    functions = [found.function for found in codes if found.function]
    body = [f"{w.real} {name}[{size}];" for name, size in buffers.items()]
    body += [""] if body else []
    body += [line for found in codes for line in found.lines]
    inside = "\n".join(f"    {line}".rstrip() for line in body)
    row = f"const {w.real} *restrict input, {w.real} *restrict output"
    parts = [
        comment(_about(program, stem, w, codes, sum(buffers.values()))),
        f'#include "{stem}.h"\n\n#include <math.h>\n#include <stddef.h>',
        f"#if {macro}_INPUTS != {program.inputs} || {macro}_OUTPUTS != {program.outputs}\n"
        f"#error This header is of a model with other columns: export both files again.\n#endif",
        *layers,
        *helpers,
        *functions,
        f"void {p}_predict({row})\n{{\n{inside}\n}}",
        f"void {p}_predict_rows({row}, size_t rows)\n{{\n"
        "    for (size_t r = 0; r < rows; r++)\n"
        f"        {p}_predict(input + r * {program.inputs}, output + r * {program.outputs});\n}}",
    ]
    return "\n\n".join(parts) + "\n"


def _interface(program: Program) -> list[str]:
    """Return lines on what goes in and comes out."""
    kind = {"float32": "float", "float64": "double"}[program.dtype.name]
    lines = [f"input   {program.inputs} numbers a row, {kind}"]
    if program.input_names:
        lines += [f"          [{i}] {quoted(name)}" for i, name in enumerate(program.input_names)]
    return [*lines, f"output  {program.outputs} numbers a row, {kind}"]


def _about(program: Program, stem: str, w: Words, codes: list[Code], scratch: int) -> list[str]:
    """Return the lines of the comment at the head: what the model is, and what it costs."""
    kept = sum(values.size for found in codes for values in found.constants.values())
    size = w.dtype.itemsize
    costs = {
        "parameters": f"{kept}",
        "constants": f"{kept * size} bytes",
        "stack": f"{scratch * size} bytes of scratch",
        "multiply-adds": f"{sum(found.products for found in codes)} a row",
        "operations": f"{sum(found.operations for found in codes)} a row",
    }
    compiled = f"cc -std=c99 -O3 -c {shlex.quote(stem + '.c')}"
    return [
        f"Model {quoted(program.name)}, written by fastnn {__version__}:",
        "what its predict() computes, in C99.",
        "",
        *_interface(program),
        "",
        "Layers",
        *(f"  {i:>3}  {found.title}" for i, found in enumerate(codes, 1)),
        "",
        *(f"{name:<15}{value}" for name, value in costs.items()),
        "",
        "Parameters are all numbers below, so batch normalization has three a column, and scales two.",
        "Operations: two for a multiply-add, one for any other addition, multiplication or comparison,",
        "and one for each value of an activation, whatever that costs.",
        "",
        f"Compile it with: {quoted(compiled)[1:-1]}",
        "and link with -lm. It allocates nothing, keeps nothing, and any number of threads may call it.",
    ]
