from typing import Any

from numpy.typing import NDArray

from fastnn.kernels.network import Network

def predict_many(
    networks: list[Network], xs: list[NDArray[Any]], outs: list[NDArray[Any]], num_threads: int = 0
) -> None: ...
