from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastnn.kernels.measures import Measure

def metric_results(
    measure: Measure | str,
    y: ArrayLike,
    a: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    class_numbers: bool = False,
) -> NDArray[Any]: ...
