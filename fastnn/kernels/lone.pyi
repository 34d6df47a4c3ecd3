from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def dense_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    activation: str | tuple[str, Sequence[float]] = "linear",
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array: ...
def dense_backward(
    x: ArrayLike,
    w: ArrayLike,
    dz: ArrayLike,
    *,
    dx: Array | None = None,
    dw: Array | None = None,
    db: Array | None = None,
    need_dx: bool = True,
    num_threads: int | None = None,
) -> tuple[Array | None, Array, Array]: ...
