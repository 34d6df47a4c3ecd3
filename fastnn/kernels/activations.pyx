"""Activations: as a layer states them (a name of the table, and the parameters that go with it), and by themselves, on arrays."""
import numpy as np

from fastnn.kernels.arrays import as_matrix, as_output, as_threads

from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t

from fastnn.kernels.csrc cimport FNN_PARAMETERS_MAX, FNN_READS_INPUT, fnn_kernels
from fastnn.kernels.dense cimport rowwise_backward, rowwise_forward
from fastnn.kernels.losses cimport activation_index
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.plan cimport COLUMN_ALIGN, Layer, share
from fastnn.kernels.runtime cimport activation_parameters, activation_table, float_flush, float_restore, kernels_for, real
from fastnn.kernels.team cimport team_size
from fastnn.kernels.threads cimport threads_for


def activation_parameter_count(str name):
    """How many parameters an activation takes.

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.ACTIVATIONS``.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For an unknown name.
    """
    return activation_parameters(activation_index(name))


def activation_reads(str name):
    """What the derivative of an activation is computed from.

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.ACTIVATIONS``.

    Returns
    -------
    {"output", "input"}
        The latter where several inputs have the same output.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    return "input" if activation_table()[activation_index(name)].property == FNN_READS_INPUT else "output"


cdef int set_activation(Layer *layer, specification) except -1:
    """activation, parameters, rowwise and reads_input (OUT) of a layer, from a name or (name, parameters)."""
    cdef int i
    if not isinstance(specification, str) and (not isinstance(specification, (tuple, list)) or len(specification) != 2):
        raise TypeError(f"activation must be a name, or a name and its parameters, not {specification!r}")
    name, given = (specification, ()) if isinstance(specification, str) else specification
    cdef int activation = activation_index(name)
    parameters = [float(p) for p in given]
    if len(parameters) != activation_parameters(activation):
        raise ValueError(
            f"activation {name!r} takes {activation_parameters(activation)} parameters, but {len(parameters)} were given: {given!r}")
    for i in range(FNN_PARAMETERS_MAX):
        layer.parameters[i] = parameters[i] if i < len(parameters) else 0.0
        if layer.parameters[i] != layer.parameters[i]:
            raise ValueError(f"activation {name!r}: parameter {i} is not a number: {given!r}")
    layer.activation = activation
    layer.rowwise = activation_table()[activation].rowwise
    layer.reads_input = activation_table()[activation].property == FNN_READS_INPUT
    return 0


cdef int on_arrays(const Layer *activation, const real[:, ::1] source, real[:, ::1] target, bint backward, int num_threads) except -1:
    # target (OUT): f of the source; backward: (IN and OUT) gradients, through the derivative that is read from the source
    cdef Py_ssize_t rows = source.shape[0], n = source.shape[1]
    cdef int threads = threads_for(20.0 * rows * n, (rows + 15) // 16, num_threads)
    cdef Arena scratch = Arena(threads * 2 * n * COLUMN_ALIGN * sizeof(real))
    if rows == 0 or n == 0:
        return 0
    with nogil, parallel(num_threads=threads):
        activation_rows(activation, &source[0, 0], &target[0, 0], rows, n, <real *>scratch.base, backward, threadid(), team_size())
    return 0


cdef void activation_rows(const Layer *activation, const real *source, real *target, Py_ssize_t rows, Py_ssize_t n, real *scratch,
                          bint backward, int thread, int team) noexcept nogil:
    cdef const fnn_kernels *k = kernels_for(sizeof(real))
    cdef Py_ssize_t begin = share(rows, thread, team, COLUMN_ALIGN), m = share(rows, thread + 1, team, COLUMN_ALIGN) - begin
    cdef uint64_t state = float_flush()
    source += begin * n
    target += begin * n
    scratch += thread * 2 * n * COLUMN_ALIGN
    if m > 0 and activation.rowwise:
        if backward:
            rowwise_backward(k, activation.activation, activation.parameters, m, n, source, n, target, n, scratch)
        else:
            rowwise_forward(k, activation.activation, activation.parameters, m, n, source, n, target, n, scratch)
    elif m > 0 and backward:
        k.activation_backward[activation.activation](m, n, source, n, target, n, activation.parameters)
    elif m > 0:
        k.activation_forward[activation.activation](m, n, source, n, target, n, activation.parameters)
    float_restore(state)


def activation_forward(str name, z, *, parameters=(), out=None, num_threads=None):
    """An activation of every element (softmax, log_softmax, sparsemax: of every row).

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.ACTIVATIONS``.
    z : array_like, shape (rows, units)
        float64 stays float64, everything else is taken as float32.
    parameters : sequence of float, default ()
        As many as :func:`activation_parameter_count` says.
    out : ndarray, shape (rows, units), optional
        Where the result goes; may be `z` itself.
    num_threads : int, optional
        Obeyed if given; otherwise chosen by the cost. The result does not depend on it.

    Returns
    -------
    ndarray, shape (rows, units)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected.
    """
    cdef Layer activation
    set_activation(&activation, (name, parameters))
    z = as_matrix(z, "z")
    out = as_output(out, "out", z.shape, z.dtype)
    if z.dtype == np.float32:
        on_arrays[float](&activation, z, out, False, as_threads(num_threads))
    else:
        on_arrays[double](&activation, z, out, False, as_threads(num_threads))
    return out


def activation_backward(str name, a, da, *, parameters=(), out=None, num_threads=None):
    """Gradient before an activation from the gradient behind it.

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.ACTIVATIONS``.
    a : array_like, shape (rows, units)
        What :func:`activation_forward` returned, or what it was given, as :func:`activation_reads` says.
    da : array_like, shape (rows, units)
        Gradient of the loss with respect to the activation's output.
    parameters : sequence of float, default ()
        As for :func:`activation_forward`.
    out : ndarray, shape (rows, units), optional
        Where the result goes; may be `a` or `da` itself.
    num_threads : int, optional
        Obeyed if given; otherwise chosen by the cost. The result does not depend on it.

    Returns
    -------
    ndarray, shape (rows, units)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected.
    """
    cdef Layer activation
    set_activation(&activation, (name, parameters))
    a = as_matrix(a, "a")
    da = as_matrix(da, "da", a.dtype)
    if da.shape != a.shape:
        raise ValueError(f"da has shape {da.shape}; expected {a.shape}, the shape of a")
    out = as_output(out, "out", a.shape, a.dtype)
    if np.may_share_memory(out, a):
        a = a.copy()
    if out is not da:
        out[...] = da
    if a.dtype == np.float32:
        on_arrays[float](&activation, a, out, True, as_threads(num_threads))
    else:
        on_arrays[double](&activation, a, out, True, as_threads(num_threads))
    return out
