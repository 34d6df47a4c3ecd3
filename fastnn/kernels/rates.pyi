from collections.abc import Callable, Sequence

SCHEDULES: dict[str, tuple[str, ...]]

class Rates:
    def __init__(
        self,
        kind: str,
        parameters: Sequence[float] = (),
        boundaries: Sequence[float] | None = None,
        values: Sequence[float] | None = None,
        function: Callable[[int], float] | None = None,
    ) -> None: ...
    @property
    def function(self) -> Callable[[int], float] | None: ...
    def __call__(self, step: int) -> float: ...

def power_of(base: float, exponent: float) -> float: ...
def cosine_of_pi(x: float) -> float: ...
