"""Somebody's own Python in the middle of a step: losses, regularizers and constraints that are not compiled.

The thread that made the native call is the first of the team. It calls Python while the others wait at a barrier, with the processor's
flags as Python has them; what is raised stays set on it, as after any call from C, and ends the step and the native call. (Activations
are called by whatever thread has the rows, and keep what they raise: ``own.pyx``.)
"""
import numpy as np

from fastnn.kernels.csrc cimport fnn_flag_set
from fastnn.kernels.lines cimport get_line, put_line
from fastnn.kernels.network cimport Network
from fastnn.kernels.own_loss cimport judge
from fastnn.kernels.plan cimport Variable
from fastnn.kernels.reduced cimport reduced_enter, reduced_leave
from fastnn.kernels.runtime cimport float_flush, float_restore
from fastnn.kernels.schedule cimport Run

cdef extern from "Python.h":
    ctypedef struct PyObject
    PyObject *call_object "PyObject_CallNoArgs"(PyObject *function) noexcept  # NULL: an exception is set
    void drop_reference "Py_DecRef"(PyObject *thing) noexcept


cdef void call_own(Run *run, void *function, int phase) noexcept nogil:
    """Call a Python function on the first thread; where it raises, the step ends after `phase` for all."""
    cdef PyObject *result
    reduced_leave(run.plan)
    float_restore(run.float_state)
    with gil:
        result = call_object(<PyObject *>function)
        if result != NULL:
            drop_reference(result)
    float_flush()
    reduced_enter(run.plan)
    if result == NULL:
        fnn_flag_set(&run.barrier, phase + 1)


cdef class Own:
    """What is Python's in the steps of one training."""

    @staticmethod
    cdef Own of(Network network, Run *run):
        cdef Own own = Own()
        own.run = run
        own.dtype = network.dtype
        own.loss = network.own
        trained = [settings.get("trained", True) for settings in network.asked]
        own.regularizers = [(i, s["own_penalty"]) for i, s in enumerate(network.asked) if trained[i] and s.get("own_penalty") is not None]
        own.constraints = [(i, s["own_constraint"]) for i, s in enumerate(network.asked)
                           if trained[i] and s.get("own_constraint") is not None]
        return own

    cdef fetch(self, Py_ssize_t i):
        # a copy of an array as it is now
        cdef const Variable *v = &self.run.plan.variable[i]
        cdef Py_ssize_t r
        cdef float[:, ::1] single
        cdef double[:, ::1] twice
        array = np.empty((v.rows, v.columns), self.dtype)
        if self.dtype == "float32":
            single = array
            for r in range(v.rows):
                get_line[float](self.run.plan, v, 1, r, <const float *>self.run.parameters, &single[r, 0])
        else:
            twice = array
            for r in range(v.rows):
                get_line[double](self.run.plan, v, 1, r, <const double *>self.run.parameters, &twice[r, 0])
        return array if v.layer >= 0 and v.vector == 0 else array[0]

    cdef int store(self, Py_ssize_t i, array, void *buffer) except -1:
        # an array like `fetch`'s into a buffer laid out as the parameters
        cdef const Variable *v = &self.run.plan.variable[i]
        cdef Py_ssize_t r
        cdef const float[:, ::1] single
        cdef const double[:, ::1] twice
        array = array.reshape(v.rows, v.columns)
        if self.dtype == "float32":
            single = array
            for r in range(v.rows):
                put_line[float](self.run.plan, v, 1, r, &single[r, 0], <float *>buffer)
        else:
            twice = array
            for r in range(v.rows):
                put_line[double](self.run.plan, v, 1, r, &twice[r, 0], <double *>buffer)
        return 0

    def like(self, found, w, str what):
        # what Python returned, as an array that can take the place of w
        array = np.require(found, self.dtype, ["C", "A"])
        if array.shape != w.shape:
            raise ValueError(f"{what} returned an array of shape {array.shape} for weights of shape {w.shape}")
        return array

    def judge(self):
        """The losses of the step's rows, and their deltas."""
        if self.dtype == "float32":
            judge[float](self.loss, self.run, <float *>self.run.work)
        else:
            judge[double](self.loss, self.run, <double *>self.run.work)

    def penalize(self):
        """The penalties of the present weights, and their slopes."""
        cdef char *work = <char *>self.run.work
        cdef double total = 0.0
        for i, regularizer in self.regularizers:
            w = self.fetch(i)
            total += float(regularizer(w))
            slopes = self.like(regularizer.gradient(w), w, f"{type(regularizer).__name__}.gradient()")
            self.store(i, slopes, work + self.run.space.slopes * <Py_ssize_t>self.run.plan.kernels.itemsize)
        self.run.own_penalty = total

    def constrain(self):
        """Put what the constraints return in the weights' place."""
        for i, constraint in self.constraints:
            w = self.fetch(i)
            name = getattr(constraint, "__name__", type(constraint).__name__)
            self.store(i, self.like(constraint(w), w, f"constraint {name}()"), self.run.parameters)


cdef tuple own_calls(Network network, Run *run):
    """What a run (IN and OUT: gets the pointers) calls in its steps; to be kept as long as it."""
    if network.own is None and not network.plan.own_penalties and not network.plan.own_constraints:
        return ()
    own = Own.of(network, run)
    calls = own.judge, own.penalize, own.constrain
    if network.own is not None:
        run.own_loss = <void *>calls[0]
    if network.plan.own_penalties:
        run.own_penalties = <void *>calls[1]
    if network.plan.own_constraints:
        run.own_constraints = <void *>calls[2]
    return calls
