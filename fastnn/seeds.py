"""Where seeds come from: one stream for the process, restarted by ``utils.set_random_seed``.

Every model and every unseeded initializer draws its own seed when it is made, and is a function of that seed
alone afterwards, so what one model does never changes what another one gets.
"""

import itertools
import os

import numpy as np

from fastnn.locks import shared_lock

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_LOCK = shared_lock()


class _Stream:
    """SplitMix64 (Steele, Lea and Flood, 2014): a counter and a mixer."""

    def __init__(self, seed: int):
        self.seed = seed & _MASK
        self.counter = itertools.count(1)

    def draw(self) -> int:
        with _LOCK:
            number = next(self.counter)
        z = (self.seed + number * _GOLDEN) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)


_stream = _Stream(int.from_bytes(os.urandom(8), "little"))


def draw() -> int:
    """Return a new seed, 0 <= seed < 2**63."""
    return _stream.draw() >> 1


def restart(seed: int) -> None:
    """Restart the stream; the same draws follow the same seed."""
    global _stream
    _stream = _Stream(seed)


def generator(seed: int) -> "np.random.Generator":
    """Return NumPy's generator for one of our seeds."""
    return np.random.Generator(np.random.PCG64(seed))
