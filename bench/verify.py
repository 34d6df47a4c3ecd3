"""Losses against the NumPy loop in float64, so that no benchmark leaves out work that it claims to time."""

import functools

import numpy as np

from bench.peers.numpy_peer import NumpyPeer
from bench.workloads import WORKLOADS

STEPS = 60
STEPS_WIDE = 24  # of networks whose step in float64 takes a good part of a second
TOLERANCE = 1e-4  # relative; float32 against float64


@functools.cache
def judge(key):
    """``x``, ``y``, epochs, and the losses before, during and after so many unshuffled epochs in float64."""
    workload = WORKLOADS[key]
    steps = STEPS if workload.flops < 1e8 else STEPS_WIDE
    rows = min(workload.rows, workload.batch * steps // 2 - 1)  # the last batch is not full
    rows = max(rows, min(workload.rows, workload.batch))
    epochs = -(-steps // workload.steps(rows))
    x, y = workload.data(rows)
    peer = NumpyPeer(workload, x, y, threads=None, dtype=np.float64)
    return x, y, epochs, peer.loss(), peer.fit(epochs, shuffle=False), peer.loss()


def verify(peer_class, key, threads=1):
    """Assert that a peer trains as the float64 loop does; the relative difference of the last loss."""
    x, y, epochs, before, expected, after = judge(key)
    assert abs(after - before) > 10 * TOLERANCE * before, f"{key}: so short a training proves nothing"
    peer = peer_class(WORKLOADS[key], x, y, threads)
    np.testing.assert_allclose(peer.loss(), before, rtol=TOLERANCE)
    np.testing.assert_allclose(peer.fit(epochs, shuffle=False), expected, rtol=TOLERANCE)
    np.testing.assert_allclose(peer.loss(), after, rtol=TOLERANCE)
    return abs(peer.loss() - after) / after
