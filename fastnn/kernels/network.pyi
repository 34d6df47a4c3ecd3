from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.measures import Measure
from fastnn.kernels.own_loss import OwnLoss
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
    @property
    def moves(self) -> bool: ...
    @property
    def outputs(self) -> int: ...
    def trained(self) -> list[bool]: ...
    def weights(self) -> list[Array]: ...
    def set_weights(self, weights: Sequence[Array]) -> None: ...
    def compile(
        self,
        loss: Specification,
        from_logits: bool,
        optimizer: str,
        hyper: dict[str, float],
        metrics: Sequence[Measure | Specification],
        precision: str | None = None,
        *,
        rates: Rates | None = None,
        decay: Sequence[bool] | None = None,
        orthogonal: Sequence[bool] | None = None,
        keep_optimizer: bool = False,
        reduction: str = "mean",
        own: OwnLoss | None = None,
        together: bool = False,
        factors: tuple[float, float] = (1.0, 1.0),
        shared_penalties: bool = False,
    ) -> None: ...
    def set_variables(self, asked: Sequence[dict[str, Any]]) -> None: ...
    def take_averages(self) -> None: ...
    def set_hyper(self, name: str, value: float) -> None: ...
    def set_rates(self, rates: Rates | None) -> None: ...
    def set_optimizer_state(
        self, slots: Sequence[Sequence[Array]], iterations: int, epochs: int | None = None
    ) -> None: ...
    def snapshot(self) -> tuple[list[Array], list[list[Array]], int, int]: ...
    def optimizer_slots(self) -> list[list[Array]]: ...
    def predict(self, x: Array, out: Array | None = None, num_threads: int = 0) -> Array: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    def evaluate(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None = None,
        num_threads: int = 0,
        tally: Tally | None = None,
        batch_size: int = 0,
        outputs: Array | None = None,
    ) -> NDArray[np.float64]: ...

class Tally:
    def __init__(self, network: Network) -> None: ...
    apart: float
    @property
    def rows(self) -> int: ...
