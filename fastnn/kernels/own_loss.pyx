"""A loss of the user's own: Python, between the rows phases forward and backward, for all rows of the batch at once.

One thread calls it, with the GIL, while the others wait at the barrier: the one that made the native call. What it raises is kept for
that thread, ends the step before anything of the weights has changed, and is raised again where the native call was made.
"""
import threading

import numpy as np

from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.plan cimport Objective, Plan, Space
from fastnn.kernels.runtime cimport real


cdef class OwnLoss:
    """The two functions of a loss of the user's own.

    Parameters
    ----------
    loss : callable
        (y_true, y_pred) -> (rows,) losses.
    gradient : callable
        (y_true, y_pred) -> (rows, units), the derivative of each row's loss.
    name : str
        For messages.
    targets : int
        Columns of y.
    classes : bool
        Whether y_true is class numbers, (rows,), instead of (rows, targets).
    """

    def __init__(self, loss, gradient, name, Py_ssize_t targets, bint classes=False):
        self.loss = loss
        self.gradient = gradient
        self.name = name
        self.targets = targets
        self.classes = classes
        self.errors = {}

    cdef int again(self) except -1:
        """Raise what the functions raised in this thread's last native call, if anything."""
        error = self.errors.pop(threading.get_ident(), None)
        if error is not None:
            raise error
        return 0

    def call(self, y, p):
        """Losses and gradients of rows, checked.

        Parameters
        ----------
        y : ndarray, shape (rows, targets)
        p : ndarray, shape (rows, units)

        Returns
        -------
        tuple (ndarray (rows,), ndarray (rows, units))
            Contiguous, of the dtype of `p`.

        Raises
        ------
        ValueError
            For other shapes; or whatever the functions raise.
        """
        y = y[:, 0].astype(np.int64) if self.classes else y
        found = []
        for function, what, shape in ((self.loss, "loss", (len(p),)), (self.gradient, "gradient", p.shape)):
            got = np.asarray(function(y, p))
            if got.shape != shape:
                words = "one number a row" if what == "loss" else "an array shaped as y_pred"
                raise ValueError(f"{what} of {self.name!r} returned shape {got.shape} for y_pred of shape {p.shape}; it must return {words}"
                                 f", shape {shape}")
            found.append(np.ascontiguousarray(got, p.dtype))
        return tuple(found)


cdef int own_loss(void *own, const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted,
                  Py_ssize_t rows, double scale) noexcept nogil:
    """Row values and deltas (OUT, with respect to the output) of the first `rows` rows of the workspace; -1 if something was raised,
    which `OwnLoss.again` raises again."""
    with gil:
        try:
            judge(<OwnLoss>own, plan, space, objective, work, weighted, rows, scale)
            return 0
        except BaseException as error:  # Ctrl-C included
            (<OwnLoss>own).errors[threading.get_ident()] = error
            return -1


cdef int judge(OwnLoss own, const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted, Py_ssize_t rows,
               double scale) except -1:
    cdef const fnn_kernels *k = plan.kernels
    cdef Py_ssize_t ld = space.capacity, units = plan.outputs, targets = objective.targets, r, j
    cdef real *value = work + space.values
    cdef real *delta = work + (plan.output.d.offset if plan.output.columns else space.delta)
    cdef const real *weight = work + space.weight
    cdef real share = <real>scale
    dtype = np.float32 if real is float else np.float64
    cdef real[:, ::1] y = np.empty((rows, targets), dtype)
    cdef real[:, ::1] p = np.empty((rows, units), dtype)
    k.transpose(targets, rows, work + space.y, ld, &y[0, 0], targets)
    k.transpose(units, rows, work + plan.output.a.offset, ld, &p[0, 0], units)
    found = own.call(np.asarray(y), np.asarray(p))
    cdef const real[::1] losses = found[0]
    cdef const real[:, ::1] slopes = found[1]
    for r in range(rows):
        value[r] = losses[r] * weight[r] if weighted else losses[r]
    k.transpose(rows, units, &slopes[0, 0], units, delta, ld)
    for j in range(units):
        for r in range(rows):
            delta[j * ld + r] *= weight[r] * share if weighted else share
    return 0
