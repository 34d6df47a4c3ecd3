from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.network import Network

Array = NDArray[Any]

class Training:
    def __init__(
        self,
        network: Network,
        x: Array,
        y: Array,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        epochs: int,
        sample_weight: Array | None = None,
        validation: tuple[Array, Array, Array | None] | None = None,
        num_threads: int = 0,
        stopping: dict[str, Any] | None = None,
        initial_epoch: int = 0,
    ) -> None: ...
    @property
    def logs(self) -> NDArray[np.float64]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    @property
    def restored(self) -> bool: ...
    @property
    def best_epoch(self) -> int: ...
    @property
    def best(self) -> float: ...
    def partial_logs(self) -> NDArray[np.float64]: ...
    def run(self, max_epochs: int, seconds: float) -> int: ...
    def publish(self) -> None: ...
    def close(self) -> None: ...
