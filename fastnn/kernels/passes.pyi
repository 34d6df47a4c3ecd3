from typing import Any

from numpy.typing import NDArray

from fastnn.kernels.gradients import Gradients
from fastnn.kernels.network import Network

Array = NDArray[Any]

class Pass:
    def __init__(self, network: Network, own: bool = False) -> None: ...
    @property
    def reduced(self) -> bool: ...
    @property
    def kept(self) -> bool: ...
    @property
    def rows(self) -> int: ...
    def forward(
        self, network: Network, x: Array, training: bool, seed: int, num_threads: int = 0
    ) -> Array: ...
    def backward(
        self, network: Network, upstream: Array, weights: bool = True, slopes: bool = False
    ) -> tuple[Gradients | None, Array | None]: ...
    def through(
        self,
        network: Network,
        x: Array,
        upstream: Array,
        training: bool,
        seed: int,
        weights: bool = False,
        slopes: bool = True,
        num_threads: int = 0,
    ) -> tuple[Gradients | None, Array | None]: ...
