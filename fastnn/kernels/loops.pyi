from typing import Any

from numpy.typing import NDArray

from fastnn.kernels.gradients import Gradients
from fastnn.kernels.network import Network

Array = NDArray[Any]

def loss_gradients(
    network: Network,
    x: Array,
    y: Array,
    sample_weight: Array | None,
    training: bool,
    seed: int,
    num_threads: int = 0,
) -> tuple[float, Gradients]: ...
def idle_units(
    network: Network, x: Array, y: Array, sample_weight: Array | None, training: bool, seed: int
) -> tuple[float, Gradients, list[int | None]]: ...
def pass_through(
    network: Network, x: Array, upstream: Array, training: bool, seed: int
) -> tuple[Gradients | None, Array]: ...
def apply_gradients(network: Network, gradients: Gradients) -> None: ...
