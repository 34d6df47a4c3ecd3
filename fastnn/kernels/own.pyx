"""Activations of a user's own: two functions on NumPy arrays, called in the middle of a strip's way through the layers.

Whatever thread has the strip takes the GIL, and Python sees neither our memory nor our floating-point state: arrays are copied in and
out, denormals are back. An exception is kept in the memory of the native call (`OwnCall`), since several may be under way; the rows become
NaN, and the call ends early; whoever made it raises the exception (`raise_calls`).
"""
cimport cython
cimport numpy as cnp

import numpy as np

from libc.math cimport NAN
from libc.stdint cimport uint64_t

from fastnn.kernels.plan cimport OP_OWN, Op
from fastnn.kernels.runtime cimport float_flush, float_restore, real

cnp.import_array()

cdef uint64_t PYTHONS = float_flush()  # the floating-point state in which Python runs
float_restore(PYTHONS)


cdef class OwnFunction:
    """A function and its derivative, as a network's plan points at them.

    Parameters
    ----------
    f, df : callable
        Of a matrix, element by element.
    reads_output : bool
        Whether `df` takes what `f` gave, and not what that took.
    name : str
        For messages.
    look : callable, optional
        Called with the first matrix that comes, before `f`.
    """

    def __init__(self, f, df, bint reads_output, str name not None, look=None):
        self.f = f
        self.df = df
        self.reads_output = reads_output
        self.name = name
        self.look = look

    cdef object call(self, function, str what, x):
        out = np.asarray(function(x))
        if out.shape != x.shape:
            raise ValueError(f"activation {self.name!r}: {what} returned shape {out.shape} for an array of shape {x.shape}; it must work "
                             "element by element")
        if out.dtype.kind not in "fiub":
            raise TypeError(f"activation {self.name!r}: {what} returned an array of {out.dtype}, not of numbers")
        return out

    cdef int forward(self, x, out) except -1:
        with cython.critical_section(self):
            look, self.look = self.look, None
        if look is not None:
            look(x.copy())
        out[...] = self.call(self.f, "f", x)
        return 0

    cdef int backward(self, x, deltas) except -1:
        deltas *= self.call(self.df, "df", x)
        return 0

    def __reduce__(self):
        return OwnFunction, (self.f, self.df, bool(self.reads_output), self.name)


cdef class OwnCall:
    """An `OwnFunction` in memory that one native call has at a time, and what it raised there."""

    def __init__(self, OwnFunction own not None):
        self.own = own


cdef list own_calls_of(Op *ops, Py_ssize_t n):
    """An `OwnCall` for each function of the user's own among operations (IN and OUT: as the network's plan has them), which then point
    at it; to be kept as long as they."""
    cdef OwnCall call
    cdef Py_ssize_t i
    calls = []
    for i in range(n):
        if ops[i].kind == OP_OWN:
            call = OwnCall(<OwnFunction>ops[i].function)
            ops[i].function = <void *>call
            ops[i].failed = &call.failed
            calls.append(call)
    return calls


cdef int raise_calls(list calls) except -1:
    """Raise what the functions raised in the native call before, if anything."""
    cdef OwnCall call
    error = None
    for call in calls:
        error = call.error if error is None else error
        call.error = None
        call.failed = 0
    if error is not None:
        raise error
    return 0


cdef object matrix(void *data, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld, size_t itemsize):
    # an array over our memory: not to be handed on
    cdef cnp.npy_intp[2] shape = [rows, columns]
    cdef cnp.npy_intp[2] strides = [ld * <Py_ssize_t>itemsize, <Py_ssize_t>itemsize]
    return cnp.PyArray_New(np.ndarray, 2, shape, cnp.NPY_FLOAT if itemsize == 4 else cnp.NPY_DOUBLE, strides, data, 0,
                           cnp.NPY_ARRAY_WRITEABLE | cnp.NPY_ARRAY_ALIGNED, None)


cdef void call_own(void *function, bint back, void *x, Py_ssize_t ldx, void *out, Py_ssize_t ldo, Py_ssize_t rows, Py_ssize_t columns,
                   size_t itemsize) noexcept with gil:
    cdef OwnCall call = <OwnCall>function
    to = matrix(out, rows, columns, ldo, itemsize)
    try:
        if has_failed(&call.failed):
            to[...] = NAN
        elif back:
            call.own.backward(matrix(x, rows, columns, ldx, itemsize).copy(), to)
        else:
            call.own.forward(matrix(x, rows, columns, ldx, itemsize).copy(), to)
    except BaseException as error:
        with cython.critical_section(call):  # other threads of the same native call may be here
            fail(&call.failed)
            if call.error is None:
                call.error = error
        to[...] = NAN


cdef void own_forward(const Op *op, const real *x, Py_ssize_t ldx, real *out, Py_ssize_t ldo, Py_ssize_t rows) noexcept nogil:
    """out (OUT: rows x units) = f(x)."""
    float_restore(PYTHONS)
    call_own(op.function, False, <void *>x, ldx, out, ldo, rows, op.units, sizeof(real))
    float_flush()


cdef void own_backward(const Op *op, const real *x, Py_ssize_t ldx, const real *a, Py_ssize_t lda, real *d, Py_ssize_t ldd,
                       Py_ssize_t rows) noexcept nogil:
    """d (IN and OUT: rows x units) through the derivative at x, or at a = f(x)."""
    float_restore(PYTHONS)
    if op.reads_input:
        call_own(op.function, True, <void *>x, ldx, d, ldd, rows, op.units, sizeof(real))
    else:
        call_own(op.function, True, <void *>a, lda, d, ldd, rows, op.units, sizeof(real))
    float_flush()
