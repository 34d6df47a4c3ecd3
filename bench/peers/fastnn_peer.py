"""fastnn itself, through the Model API: what is timed is what a user calls."""

import fastnn
from bench.peers import Base
from fastnn._bench.trainer import REDUCED, Trainer, build

__all__ = ["FastnnPeer", "Peer", "build"]

FastnnPeer = Trainer
WIDE = 3e7  # operations of a step from which bfloat16 is measured, as for the others


class Peer(Trainer, Base):
    @staticmethod
    def versions():
        return f"fastnn {fastnn.__version__}"

    def __init__(self, spec, x, y, threads=1, precision=None):
        # More than one: the automatic choice among as many as there are.
        super().__init__(spec, x, y, None if threads > 1 else 1, precision)

    @classmethod
    def tolerance(cls, spec, precision=None):
        return 3e-2 if precision else 1e-4

    @classmethod
    def why_not(cls, spec, precision=None):
        if precision and not REDUCED:
            return "not in this version: Sequential.compile has no precision="
        if precision and (spec.inference or spec.flops < WIDE):
            return "measured on networks wide enough to gain by it"
        return None
