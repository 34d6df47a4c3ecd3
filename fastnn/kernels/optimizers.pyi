from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

HYPER: dict[str, dict[str, float]]
COMMON: dict[str, float]
VARIANTS: tuple[str, ...]

def optimizer_update(
    name: str,
    w: NDArray[Any],
    g: NDArray[Any],
    slots: Sequence[NDArray[Any]],
    hyper: Mapping[str, float],
    step: int,
) -> None: ...
