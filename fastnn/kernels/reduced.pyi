from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def bfloat16_round(x: ArrayLike) -> NDArray[np.float32]: ...
def bfloat16_matmul(a: ArrayLike, b: ArrayLike, init: ArrayLike | None = None) -> NDArray[np.float32]: ...
