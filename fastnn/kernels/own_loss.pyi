from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

class OwnLoss:
    def __init__(
        self,
        loss: Callable[[Any, Any], Any],
        gradient: Callable[[Any, Any], Any],
        name: str,
        targets: int,
        classes: bool = False,
    ) -> None: ...
    @property
    def loss(self) -> Callable[[Any, Any], Any]: ...
    @property
    def classes(self) -> bool: ...
    def call(self, y: NDArray[Any], p: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]: ...
