from collections.abc import Callable
from typing import Any

class OwnFunction:
    def __init__(
        self,
        f: Callable[[Any], Any],
        df: Callable[[Any], Any],
        reads_output: bool,
        name: str,
        look: Callable[[Any], None] | None = None,
    ) -> None: ...
