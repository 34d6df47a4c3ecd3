from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

ACTIVATIONS: tuple[str, ...]
LOSSES: tuple[str, ...]
METRICS: tuple[str, ...]

# a name, or a name and its parameters
Specification = str | tuple[str, Sequence[float]]

def loss_forward(
    name: Specification, y: ArrayLike, a: ArrayLike, *, from_logits: bool = False
) -> NDArray[Any]: ...
def loss_backward(
    name: Specification, y: ArrayLike, a: ArrayLike, *, from_logits: bool = False
) -> NDArray[Any]: ...
