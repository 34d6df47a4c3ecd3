"""Predictions of many networks in one native call: whoever is free takes the next one, and works on it alone."""
cimport numpy as cnp
from cython.parallel cimport parallel

from fastnn.kernels.csrc cimport fnn_barrier, fnn_barrier_init, fnn_jobs_take
from fastnn.kernels.forward cimport Space, forward_rows
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.own cimport raise_calls
from fastnn.kernels.threads cimport team_for

cnp.import_array()

cdef extern from "Python.h":
    ctypedef struct PyObject

# `forward_rows`, given borrowed references, which a function without the interpreter's lock cannot make.
ctypedef void (*rows_single)(PyObject *, PyObject *, const float *, const float *, float *, Py_ssize_t, int) noexcept nogil
ctypedef void (*rows_double)(PyObject *, PyObject *, const double *, const double *, double *, Py_ssize_t, int) noexcept nogil

cdef struct Asked:
    const void *weights
    const void *x
    void *out
    Py_ssize_t rows
    bint single
    PyObject *forward
    PyObject *space


cdef void take_rows(Asked *asked, Py_ssize_t jobs, fnn_barrier *queue) noexcept nogil:
    cdef rows_single single = <rows_single><void *>forward_rows[float]
    cdef rows_double twice = <rows_double><void *>forward_rows[double]
    cdef Py_ssize_t i
    cdef Asked *a
    while True:
        i = <Py_ssize_t>fnn_jobs_take(queue)
        if i >= jobs:
            return
        a = &asked[i]
        if a.single:
            single(a.forward, a.space, <const float *>a.weights, <const float *>a.x, <float *>a.out, a.rows, 1)
        else:
            twice(a.forward, a.space, <const double *>a.weights, <const double *>a.x, <double *>a.out, a.rows, 1)


def predict_many(list networks not None, list xs not None, list outs not None, int num_threads=0):
    """Outputs of many networks, each as its own `predict` gives them.

    Parameters
    ----------
    networks : list of Network
    xs, outs : list of ndarray, shapes (rows, inputs) and (rows, outputs)
        One for each network, as `Network.predict` takes them.
    num_threads : int, default 0
        0: as many as this process may use and other calls leave.
    """
    cdef Py_ssize_t n = len(networks), i
    cdef Network net
    cdef Arena arena
    cdef Asked *asked
    cdef fnn_barrier queue
    cdef int threads = team_for(n, num_threads)
    cdef Space space
    if n != len(xs) or n != len(outs):
        raise ValueError(f"{n} networks, {len(xs)} arrays of rows, {len(outs)} of outputs: expected the same number")
    states, spaces = [], []
    arena = Arena((n + 1) * sizeof(Asked))
    asked = <Asked *>arena.base
    for i in range(n):
        net = networks[i]
        net.require_rows(xs[i], outs[i])
        states.append(net.published())
        spaces.append(net.take_space(1))
        asked[i].weights = (<State>states[i]).arena.base
        asked[i].x = cnp.PyArray_DATA(<cnp.ndarray>xs[i])
        asked[i].out = cnp.PyArray_DATA(<cnp.ndarray>outs[i])
        asked[i].rows = len(xs[i])
        asked[i].single = net.itemsize == 4
        asked[i].forward = <PyObject *>net.forward
        asked[i].space = <PyObject *>spaces[i]
    fnn_barrier_init(&queue)
    if threads <= 1:
        with nogil:
            take_rows(asked, n, &queue)
    else:
        with nogil, parallel(num_threads=threads):
            take_rows(asked, n, &queue)
    for i in range(n):
        space = spaces[i]
        raise_calls(space.calls)
        net = networks[i]
        net.spaces.append(space)
