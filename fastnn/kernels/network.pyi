from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.own import OwnLoss
from fastnn.kernels.rates import Rates

Array = NDArray[Any]
# of an activation, a loss, a metric: a name, or a name and its parameters
Specification = str | tuple[str, Sequence[float]]

class Network:
    def __init__(
        self, input_dim: int, layers: Sequence[tuple[int, Specification, bool]], dtype: str
    ) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def iterations(self) -> int: ...
    @property
    def lifetime_epochs(self) -> int: ...
    def weights(self) -> list[Array]: ...
    def set_weights(self, weights: Sequence[Array]) -> None: ...
    def compile(
        self,
        loss: Specification,
        from_logits: bool,
        optimizer: str,
        hyper: dict[str, float],
        metrics: Sequence[Specification],
        precision: str | None = None,
        *,
        rates: Rates | None = None,
        decay: Sequence[bool] | None = None,
        keep_optimizer: bool = False,
        reduction: str = "mean",
        own: OwnLoss | None = None,
        together: bool = False,
    ) -> None: ...
    def set_variables(self, asked: Sequence[dict[str, Any]]) -> None: ...
    def take_averages(self) -> None: ...
    def set_hyper(self, name: str, value: float) -> None: ...
    def set_rates(self, rates: Rates | None) -> None: ...
    def set_optimizer_state(self, slots: Sequence[Sequence[Array]], iterations: int) -> None: ...
    def optimizer_slots(self) -> list[list[Array]]: ...
    def predict(self, x: Array, out: Array | None = None, num_threads: int = 0) -> Array: ...
    def evaluate(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None = None,
        num_threads: int = 0,
        batch_size: int = 0,
    ) -> NDArray[np.float64]: ...
