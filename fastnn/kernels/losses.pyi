from typing import Any

from numpy.typing import ArrayLike, NDArray

ACTIVATIONS: tuple[str, ...]
LOSSES: tuple[str, ...]
METRICS: tuple[str, ...]

def loss_forward(name: str, y: ArrayLike, a: ArrayLike, *, from_logits: bool = False) -> NDArray[Any]: ...
def loss_backward(name: str, y: ArrayLike, a: ArrayLike, *, from_logits: bool = False) -> NDArray[Any]: ...
