from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def activation_parameter_count(name: str) -> int: ...
def activation_reads(name: str) -> str: ...
def activation_forward(
    name: str,
    z: ArrayLike,
    *,
    parameters: Sequence[float] = (),
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array: ...
def activation_backward(
    name: str,
    a: ArrayLike,
    da: ArrayLike,
    *,
    parameters: Sequence[float] = (),
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array: ...
