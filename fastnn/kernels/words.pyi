import numpy as np
from numpy.typing import NDArray

def round_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]: ...
