from typing import Any

from numpy.typing import NDArray

from fastnn.kernels.network import Network
from fastnn.kernels.training import Training

def team(jobs: int, num_threads: int = 0) -> int: ...
def sharing(trainings: list[Training]) -> list[int]: ...
def run_many(
    trainings: list[Training], seconds: float, num_threads: int = 0, epochs: int = 0
) -> list[tuple[int, Exception | None]]: ...
def predict_many(
    networks: list[Network], xs: list[NDArray[Any]], outs: list[NDArray[Any]], num_threads: int = 0
) -> None: ...
