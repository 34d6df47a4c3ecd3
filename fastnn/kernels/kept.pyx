"""What a training step leaves in its workspace for whoever looks between two steps."""
import numpy as np

from fastnn.kernels.schedule cimport Run
from fastnn.kernels.scores cimport finish_all


cdef columns(const Run *run, Py_ssize_t offset, Py_ssize_t n, str dtype):
    # columns of the last step's rows, as a matrix of its own
    cdef Py_ssize_t rows = run.train.rows if run.next.epochs else run.next.rows
    cdef Py_ssize_t ld = run.space.capacity, item = <Py_ssize_t>run.plan.kernels.itemsize
    cdef const char *base = <const char *>run.work + offset * item
    whole = np.frombuffer(base[:((n - 1) * ld + rows) * item], dtype)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(whole, (rows, n), (item, ld * item)))


cdef tuple step_outputs(const Run *run, str dtype):
    """Targets, outputs and weights (or None) of the last step; see ``Training.outputs``."""
    if not run.keeps_outputs:
        raise RuntimeError("make the training with keep_outputs=True")
    if run.next.batches != 1:
        raise RuntimeError("the last call took several steps; take one at a time")
    y = columns(run, run.space.y, run.objective.targets, dtype)
    a = columns(run, run.plan.output.a.offset, run.plan.outputs, dtype)
    return y, a, columns(run, run.space.weight, 1, dtype)[:, 0] if run.train.weight != NULL else None


cdef results_so_far(const Run *run):
    """Loss and metrics over the rows of the epoch that have been trained on."""
    cdef double[::1] found = np.zeros(run.objective.results)
    cdef Py_ssize_t i
    if not run.validating:
        finish_all(run.objective, run.state, run.seen, &found[0])
        return np.asarray(found)
    for i in range(run.objective.results):
        found[i] = run.training_results[i]
    return np.asarray(found)
