"""A snapshot of a network that answers fast: one call, rows in and rows out, with as little around the arithmetic as Python allows."""
cimport numpy as cnp
from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

import numpy as np

from fastnn.kernels.forward cimport Forward, Space, forward_rows, forward_shared
from fastnn.kernels.habit cimport called, start_habit, use_all
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.runtime cimport clock, real
from fastnn.kernels.threads cimport threads_are_set, threads_for
from fastnn.kernels.words cimport pack_words, unpack_words

cdef extern from *:
    """
    #include <unistd.h>
    #define FASTNN_TRY(flag) (!__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE))
    #define FASTNN_LEAVE(flag) __atomic_store_n(flag, 0, __ATOMIC_RELEASE)
    static size_t fastnn_core_cache(void)
    {
    #ifdef _SC_LEVEL2_CACHE_SIZE
        long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
        if (size > 0)
            return (size_t)size;
    #endif
        return 1 << 20;
    }
    """
    bint try_enter "FASTNN_TRY"(int *flag) noexcept nogil
    void leave "FASTNN_LEAVE"(int *flag) noexcept nogil
    size_t core_cache "fastnn_core_cache"() noexcept nogil

cnp.import_array()

cdef double RELEASE = 5e5       # operations, some 5 us: below, letting go of the interpreter and taking it back costs too much of it
cdef Py_ssize_t IDLE_SPACES = 64
cdef size_t HUGE = 4 << 20
cdef size_t WORTH_HUGE = 512 << 10


cdef inline bint overlap(const void *a, Py_ssize_t a_bytes, const void *b, Py_ssize_t b_bytes) noexcept nogil:
    return <uintptr_t>a < <uintptr_t>b + <uintptr_t>b_bytes and <uintptr_t>b < <uintptr_t>a + <uintptr_t>a_bytes


cdef class Inference:
    """What a network says of rows, from its weights as they are now.

    Parameters
    ----------
    network : Network
    batch_size : int
        Rows that a call usually has: what memory is laid out for. Calls may have fewer or more.
    bfloat16 : bool
        Keep the kernels of a float32 network in bfloat16, rounded to nearest, ties to even.
    """

    def __cinit__(self, Network network not None, Py_ssize_t batch_size, bint bfloat16):
        cdef State state = network.published()
        if network.plan.owns > 0:
            raise NotImplementedError("a predictor of a model with an activation of the user's own is not supported; use predict()")
        self.forward = Forward.of(&network.plan, network.tables, bfloat16)
        self.batch_size = batch_size
        self.bfloat16 = bfloat16
        self.specification = network.specification
        self.typenum = cnp.NPY_FLOAT if network.dtype == "float32" else cnp.NPY_DOUBLE
        self.inputs = network.plan.inputs
        self.outputs = network.plan.outputs
        self.operations = 0
        for shape in network.shapes():
            if len(shape) == 2:
                self.operations += 2.0 * shape[0] * shape[1]
        self.size = self.forward.parameters * network.itemsize
        # large enough for the arena to ask for huge pages: reading ahead stops at the end of a page
        self.parameters = Arena(max(self.size, HUGE) if self.size >= WORTH_HUGE else self.size)
        if bfloat16:
            pack_words(self.forward, network.canonical(state, 0), <float *>self.parameters.base)
        else:
            memcpy(self.parameters.base, state.arena.base, self.size)
        self.beyond_cache = self.size > core_cache()
        self.space = Space.of(self.forward, self.threads(batch_size))
        self.idle = []
        start_habit(&self.habit)

    @property
    def input_shape(self):
        """``(None, features)``."""
        return (None, self.inputs)

    @property
    def output_shape(self):
        """``(None, units)``."""
        return (None, self.outputs)

    @property
    def dtype(self):
        """Of rows and results."""
        return np.dtype(np.float32 if self.typenum == cnp.NPY_FLOAT else np.float64)

    @property
    def nbytes(self):
        """Bytes of the weights, as they are kept."""
        return self.size

    def weights(self):
        """The weights in use, as ``Network.weights`` gives them."""
        cdef Network network = Network(*self.specification)
        cdef list arrays
        if not self.bfloat16:
            memcpy(network.state.arena.base, self.parameters.base, self.size)
            return network.weights()
        arrays = network.weights()
        unpack_words(self.forward, arrays, <float *>self.parameters.base)
        return arrays

    def _convert(self, x):
        """Return `x` as what a call takes as it is: for subclasses."""
        raise TypeError(f"x must be a C-contiguous {self.dtype} array of shape (rows, {self.inputs}), got {x!r}")

    cdef int threads(self, Py_ssize_t rows) noexcept nogil:
        cdef Py_ssize_t shares = (rows + 15) // 16
        return <int>min(<Py_ssize_t>threads_for(self.operations * rows, shares, 0), shares)

    def __call__(self, x, out=None):
        cdef Py_ssize_t rows = self.rows_of(<PyObject *>x)
        cdef cnp.npy_intp shape[2]
        cdef int dimensions
        if rows <= 0:
            x = self._convert(x)
            rows = self.rows_of(<PyObject *>x)
            if rows <= 0:
                raise TypeError("_convert did not return rows")
        if out is None:
            dimensions = cnp.PyArray_NDIM(<cnp.ndarray>x)
            shape[0] = rows if dimensions == 2 else self.outputs
            shape[1] = self.outputs
            out = cnp.PyArray_EMPTY(dimensions, shape, self.typenum, 0)
        else:
            if not self.fits(<cnp.ndarray>x, <PyObject *>out):
                self.refuse(x, out)
        self.compute(cnp.PyArray_DATA(<cnp.ndarray>x), cnp.PyArray_DATA(<cnp.ndarray>out), rows)
        return out

    cdef inline Py_ssize_t rows_of(self, PyObject *x) noexcept:
        # how many rows x has, where it can be read as it is; else 0
        cdef cnp.npy_intp *shape
        if not cnp.PyArray_CheckExact(<object>x) or cnp.PyArray_TYPE(<cnp.ndarray>x) != self.typenum \
                or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x):
            return 0
        shape = cnp.PyArray_DIMS(<cnp.ndarray>x)
        if cnp.PyArray_NDIM(<cnp.ndarray>x) == 2:
            return shape[0] if shape[1] == self.inputs else 0
        return 1 if cnp.PyArray_NDIM(<cnp.ndarray>x) == 1 and shape[0] == self.inputs else 0

    cdef inline bint fits(self, cnp.ndarray x, PyObject *out) noexcept:
        # whether the result of x can go into out
        cdef int dimensions = cnp.PyArray_NDIM(x)
        if not cnp.PyArray_Check(<object>out) or cnp.PyArray_TYPE(<cnp.ndarray>out) != self.typenum \
                or not cnp.PyArray_ISCARRAY(<cnp.ndarray>out) or cnp.PyArray_NDIM(<cnp.ndarray>out) != dimensions \
                or cnp.PyArray_DIM(<cnp.ndarray>out, dimensions - 1) != self.outputs:
            return False
        if dimensions == 2 and cnp.PyArray_DIM(<cnp.ndarray>out, 0) != cnp.PyArray_DIM(x, 0):
            return False
        return not overlap(cnp.PyArray_DATA(x), cnp.PyArray_NBYTES(x), cnp.PyArray_DATA(<cnp.ndarray>out),
                           cnp.PyArray_NBYTES(<cnp.ndarray>out))

    cdef int refuse(self, x, out) except -1:
        expected = (*x.shape[: x.ndim - 1], self.outputs)
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out must be an array, got {type(out).__name__}.")
        if out.shape != expected:
            raise ValueError(f"out has shape {out.shape}, but for x of shape {x.shape} it must have shape {expected}.")
        if out.dtype != self.dtype:
            raise TypeError(f"out has dtype {out.dtype}, but the predictor gives {self.dtype}.")
        if not out.flags.writeable:
            raise ValueError("out is read-only.")
        if not out.flags.carray:
            raise ValueError("out must be C-contiguous and aligned; np.empty makes such arrays, and whole rows of one are such.")
        raise ValueError("out and x share memory; give out an array of its own.")

    cdef int compute(self, const void *x, void *out, Py_ssize_t rows) except -1:
        cdef int threads = 1
        cdef Space space
        if rows > 1 or self.beyond_cache:
            return self.compute_long(x, out, rows)
        if self.operations < RELEASE and try_enter(&self.taken):
            if self.typenum == cnp.NPY_FLOAT:
                forward_rows[float](self.forward, self.space, <float *>self.parameters.base, <float *>x, <float *>out, 1, 1)
            else:
                forward_rows[double](self.forward, self.space, <double *>self.parameters.base, <double *>x, <double *>out, 1, 1)
            leave(&self.taken)
            return 0
        space = self.take(1)
        self.run(space, x, out, rows, threads, False)
        self.give(space)
        return 0

    cdef int compute_long(self, const void *x, void *out, Py_ssize_t rows) except -1:
        # many rows: threads share them; few rows and many weights: they share the weights
        cdef int threads = self.threads(rows), most
        cdef bint all_threads
        cdef double began
        cdef Space space
        if threads > 1 or not self.beyond_cache or rows > self.forward.block:
            space = self.take(threads)
            self.run(space, x, out, rows, threads, False)
        else:
            most = threads_for(1e300, 1 << 20, 0)
            space = self.take(1)
            if threads_are_set() or most == 1 or space is not self.space:  # one call at a time may use all threads
                self.run(space, x, out, rows, most if space is self.space else 1, True)
            else:
                began = clock()
                all_threads = use_all(&self.habit, began)
                self.run(space, x, out, rows, most if all_threads else 1, True)
                called(&self.habit, all_threads, began, clock())
        self.give(space)
        return 0

    cdef int run(self, Space space, const void *x, void *out, Py_ssize_t rows, int threads, bint shared) except -1:
        if self.operations * rows < RELEASE:
            self.run_on(space, x, out, rows, threads, shared)
        else:
            with nogil:
                self.run_on(space, x, out, rows, threads, shared)
        return 0

    cdef void run_on(self, Space space, const void *x, void *out, Py_ssize_t rows, int threads, bint shared) noexcept nogil:
        if self.typenum == cnp.NPY_FLOAT:
            run_forward[float](self.forward, space, <float *>self.parameters.base, <float *>x, <float *>out, rows, threads, shared)
        else:
            run_forward[double](self.forward, space, <double *>self.parameters.base, <double *>x, <double *>out, rows, threads, shared)

    # Memory of a call: the predictor's own, or, where another thread is using that, one of a stock that grows as needed.

    cdef Space take(self, int parts):
        cdef Space space
        if self.space.parts >= parts and try_enter(&self.taken):
            return self.space
        try:
            space = self.idle.pop()  # atomic: whoever gets it, has it alone
            if space.parts >= parts:
                return space
        except IndexError:
            pass
        return Space.of(self.forward, parts)

    cdef int give(self, Space space) except -1:
        if space is self.space:
            leave(&self.taken)
        elif len(self.idle) < IDLE_SPACES:
            self.idle.append(space)
        return 0


cdef inline void run_forward(Forward f, Space space, const real *weights, const real *x, real *out, Py_ssize_t rows, int threads,
                             bint shared) noexcept nogil:
    if shared and threads > 1 and f.plan.ops == 0:
        forward_shared(f, space, weights, x, out, rows, threads)
    else:
        forward_rows(f, space, weights, x, out, rows, threads)
