"""The compiled routines, callable on arrays: what one needs to write a training loop of one's own.

See ``docs/kernels.md`` for a whole loop. Everything here is what training itself runs, on float32 or
float64 matrices.
"""

try:
    import fastnn.kernels.runtime  # noqa: F401  (whether it is there)
except ModuleNotFoundError as error:
    if error.name != "fastnn.kernels.runtime":
        raise
    raise ImportError(
        "fastnn is imported from a source tree that has not been built: its compiled modules are "
        "missing. Run `pip install -e .` in that folder, or install with `pip install .` and start "
        "Python in another folder."
    ) from None

from fastnn.kernels.activations import (
    activation_backward as activation_backward,
    activation_forward as activation_forward,
    activation_parameter_count as activation_parameter_count,
    activation_reads as activation_reads,
)
from fastnn.kernels.lone import dense_backward as dense_backward, dense_forward as dense_forward
from fastnn.kernels.losses import (
    ACTIVATIONS as ACTIVATIONS,
    LOSSES as LOSSES,
    METRICS as METRICS,
    loss_backward as loss_backward,
    loss_forward as loss_forward,
)
from fastnn.kernels.measures import Measure as Measure
from fastnn.kernels.metrics import metric_results as metric_results
from fastnn.kernels.optimizers import HYPER, optimizer_update as optimizer_update

OPTIMIZERS = tuple(HYPER)
