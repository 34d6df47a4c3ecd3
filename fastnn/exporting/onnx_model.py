"""Models as ONNX graphs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fastnn import atomic
from fastnn._version import __version__
from fastnn.exporting import steps
from fastnn.exporting.onnx_activations import WRITERS
from fastnn.exporting.onnx_sheet import Sheet

# Of 2022: whatever reads ONNX at all reads it. No operator here is newer (LayerNormalization is of 17), and
# newer versions only move arguments, of ReduceMean and ReduceMax, about.
OPSET, IR_VERSION = 17, 8

INPUT, OUTPUT, ROWS = "input", "output", "rows"
INPUT_NAMES = "input_names"  # in metadata_props: the columns' names, a list in JSON


def write(program: steps.Program, path: str) -> None:
    """Write an ONNX file of what a model predicts.

    Raises
    ------
    ImportError
        Without the package onnx.
    OSError
        Where the file cannot be written; the old one is then as it was.
    """
    atomic.write(path, onnx_model(program).SerializeToString(deterministic=True))


def onnx_model(program: steps.Program) -> Any:
    """Return the ``onnx.ModelProto``, which onnx's checker has seen."""
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError:
        raise ImportError(
            "Writing ONNX needs the package onnx, which is not installed: pip install 'fastnn-cpu[onnx]'"
        ) from None
    sheet = Sheet(program.dtype)
    _fill(sheet, program)
    kind = helper.np_dtype_to_tensor_dtype(program.dtype)
    graph = helper.make_graph(
        [
            helper.make_node(operator, inputs, outputs, name, **attributes)
            for name, operator, inputs, outputs, attributes in sheet.nodes
        ],
        program.name,
        [helper.make_tensor_value_info(INPUT, kind, [ROWS, program.inputs])],
        [helper.make_tensor_value_info(OUTPUT, kind, [ROWS, program.outputs])],
        [numpy_helper.from_array(array, name) for name, array in sheet.constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fastnn",
        producer_version=__version__,
    )
    if program.input_names is not None:
        helper.set_model_props(model, {INPUT_NAMES: json.dumps(program.input_names)})
    onnx.checker.check_model(model, full_check=True)
    return model


def _fill(sheet: Sheet, program: steps.Program) -> None:
    """Write all steps; what the last one returns is called `OUTPUT`."""
    at, remembered = INPUT, []
    sheet.columns = program.inputs
    for number, step in enumerate(program.steps):
        if isinstance(step, steps.Split):
            remembered.append(at)
            continue
        sheet.begin(f"{_name(step)}_{number}")
        before = len(sheet.nodes)
        at = sheet("Add", remembered.pop(), at) if isinstance(step, steps.Add) else _step(sheet, step, at)
        if len(sheet.nodes) > before:
            sheet.end()
    if not sheet.nodes:
        sheet.begin("identity")
        at = sheet("Identity", INPUT)
        sheet.end()
    *_, outputs, _ = sheet.nodes[-1]
    assert at == outputs[0]
    outputs[0] = OUTPUT


def _name(step: Any) -> str:
    if isinstance(step, steps.Activate):
        return step.name
    return {
        steps.Multiply: "dense",
        steps.Standardize: "standardize",
        steps.Scale: "scale",
        steps.NormalizeRows: "normalize",
        steps.Slope: "prelu",
        steps.Add: "residual",
    }[type(step)]


def _step(o: Sheet, step: Any, x: str) -> str:
    """Write one step behind ``x`` and return the name of its outcome."""
    match step:
        case steps.Multiply(kernel, bias):
            o.columns = kernel.shape[1]
            return o("MatMul", x, kernel) if bias is None else o("Gemm", x, kernel, bias)
        case steps.Activate(name, parameters):
            return WRITERS[name](o, x, *parameters)
        case steps.Standardize(mean, factor, offset):
            scaled = o("Mul", o("Sub", x, mean), factor)
            return o("Add", scaled, offset) if offset.any() else scaled
        case steps.Scale(factor, offset):
            return _scale(o, x, factor, offset)
        case steps.NormalizeRows():
            return _normalize_rows(o, x, step)
        case steps.Slope(alpha):
            if o.dtype == np.float32:
                return o("PRelu", x, alpha)
            return o("Where", o("Less", x, 0.0), o("Mul", x, alpha), x)
    raise AssertionError(step)


def _scale(o: Sheet, x: str, factor: np.ndarray, offset: np.ndarray) -> str:
    """``x * factor + offset``, rounded once.

    fastnn multiplies and adds at once. In two operators, ``x * factor`` would be rounded alone, and where the
    offset takes most of it away (columns far from 0, moved there) that would show. So float32 columns are
    moved first, by ``-offset / factor`` in two parts, since one number is not exact enough.
    """
    factor, offset = (v.astype(o.dtype).astype(np.float64) for v in (factor, offset))
    if not offset.any():
        return o("Mul", x, factor)
    if (factor == 1).all():
        return o("Add", x, offset)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centre = -offset / factor
        high = centre.astype(o.dtype).astype(np.float64)
    if o.dtype != np.float32 or not np.isfinite(high).all():
        return o("Add", o("Mul", x, factor), offset)
    return o("Mul", o("Sub", o("Sub", x, high), centre - high), factor)


def _normalize_rows(o: Sheet, x: str, step: steps.NormalizeRows) -> str:
    if step.centered and o.dtype == np.float32:
        gamma = np.ones(o.columns) if step.gamma is None else step.gamma
        beta = [] if step.beta is None else [step.beta]
        return o("LayerNormalization", x, gamma, *beta, axis=-1, epsilon=step.epsilon)
    # LayerNormalization's epsilon is a float32, and RMSNormalization younger than this set of operators.
    rest = o("Sub", x, o("ReduceMean", x, axes=[-1], keepdims=1)) if step.centered else x
    variance = o("ReduceMean", o("Mul", rest, rest), axes=[-1], keepdims=1)
    normal = o("Div", rest, o("Sqrt", o("Add", variance, step.epsilon)))
    normal = normal if step.gamma is None else o("Mul", normal, step.gamma)
    return normal if step.beta is None else o("Add", normal, step.beta)
