"""Losses against the NumPy loop in float64, so that no benchmark leaves out work that it claims to time."""

import functools
from dataclasses import dataclass

import numpy as np

from bench.peers.numpy_peer import NumpyPeer
from bench.peers.spec import stacked_data, stacked_weights
from fastnn._bench.workloads import INFERENCES, MANY_MODELS, WORKLOADS

STEPS = 60
STEPS_WIDE = 24  # of networks whose step in float64 takes a good part of a second
TOLERANCE = 1e-4  # relative; float32 against float64


@dataclass(frozen=True)
class Judged:
    """Rows, so many unshuffled epochs on them, and the losses before, during and after, in float64."""

    x: np.ndarray
    y: np.ndarray
    epochs: int
    before: float
    losses: list[float]
    after: float


@functools.cache
def judge(key):
    """The float64 loop's training of a workload."""
    workload = {**WORKLOADS, **MANY_MODELS}[key]
    steps = STEPS if workload.flops < 1e8 else STEPS_WIDE
    rows = min(workload.rows, workload.batch * steps // 2 - 1)  # the last batch is not full
    rows = max(rows, min(workload.rows, workload.batch))
    epochs = -(-steps // workload.steps(rows))
    x, y = stacked_data(workload, rows)
    if workload.models == 1:
        return Judged(x, y, epochs, *losses_of(workload, x, y, epochs))
    weights = zip(*stacked_weights(workload), strict=True)
    many = [losses_of(workload, *one, epochs, first) for *one, first in zip(x, y, weights, strict=True)]
    before, during, after = zip(*many, strict=True)
    return Judged(x, y, epochs, np.mean(before), np.mean(during, axis=0).tolist(), np.mean(after))


def losses_of(workload, x, y, epochs, weights=None):
    """Losses before, during and after a training in float64."""
    peer = NumpyPeer(workload, x, y, threads=None, dtype=np.float64)
    if weights is not None:
        peer.weights = [w.astype(np.float64) for w in weights]
    return peer.loss(), peer.fit(epochs, shuffle=False), peer.loss()


@functools.cache
def judge_outputs(key):
    """Rows and the float64 loop's outputs of an inference."""
    inference = INFERENCES[key]
    x, y = inference.of.data(inference.rows)
    return (
        x,
        y,
        NumpyPeer(inference.of, x, y, threads=None, dtype=np.float64).forward(x.astype(np.float64))[-1],
    )


def compare(key, before, losses, after, tolerance=TOLERANCE):
    """Assert that losses are the float64 loop's; the relative difference of the last.

    With ``tolerance`` None the arithmetic is another by its own account: only that it learns is asserted.
    """
    true = judge(key)
    moved = abs(true.after - true.before)
    assert moved > 10 * TOLERANCE * true.before, f"{key}: so short a training proves nothing"
    if tolerance is None:
        assert np.isfinite(losses).all(), f"losses {losses}"
        assert after < before, f"the loss went from {before:.4g} to {after:.4g}"
        return float("nan")
    for what, found, expected in (
        ("first", before, true.before),
        ("epochs'", losses, true.losses),
        ("last", after, true.after),
    ):
        np.testing.assert_allclose(found, expected, rtol=tolerance, err_msg=f"{key}: {what} loss")
    return abs(after - true.after) / true.after


def compare_outputs(key, outputs, tolerance=TOLERANCE):
    """Assert that outputs are the float64 loop's; the largest difference, by the largest output."""
    _, _, true = judge_outputs(key)
    error = float(np.abs(np.asarray(outputs) - true).max() / np.abs(true).max())
    assert tolerance is None or error < tolerance, f"{key}: outputs differ by {error:.2g} of the largest"
    return error


def verify(peer_class, key, threads=1):
    """Assert that a peer trains as the float64 loop does; the relative difference of the last loss."""
    true = judge(key)
    peer = peer_class(WORKLOADS[key], true.x, true.y, threads)
    return compare(key, peer.loss(), peer.fit(true.epochs, shuffle=False), peer.loss())
