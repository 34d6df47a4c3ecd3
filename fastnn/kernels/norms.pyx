"""Norms of weights between two numbers, after each step: MaxNorm, MinMaxNorm and UnitNorm of ``fastnn.constraints``.

A norm needs weights that many tiles hold, so this is a phase of its own. Sums of squares along the way in which vectors lie run in 16
virtual lanes, across it in index order: a function of the layer's shape alone.
"""
from libc.math cimport sqrt
from libc.string cimport memset

from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.lines cimport get_line, line_count, line_length, put_line
from fastnn.kernels.plan cimport COLUMN_ALIGN, CONSTRAINT_NORMS, Layer, Plan, Variable, round_up, share
from fastnn.kernels.runtime cimport real

cdef double EPSILON = 1e-7  # Keras's, beside each norm


cdef void constrain_norms(const Plan *plan, real *parameters, real *scratch, int thread, int team) noexcept nogil:
    """This thread's share of all norms that are constrained. parameters (IN and OUT: the weights first); scratch: twice the widest
    layer, and 32."""
    cdef Py_ssize_t i
    cdef const Variable *v
    for i in range(plan.variables):
        v = &plan.variable[i]
        if not v.trained or v.constraint != CONSTRAINT_NORMS:
            continue
        if v.axis < 0:
            if i % team == thread:
                constrain_whole(plan, v, parameters, scratch)
        elif plan.layer[v.layer].narrow == (v.axis == 1):
            constrain_across(plan, v, parameters, scratch, thread, team)
        else:
            constrain_lines(plan, v, parameters, scratch, thread, team)


cdef inline real factor(const Variable *v, real squares) noexcept nogil:
    # what weights of this sum of squares are multiplied by
    cdef real norm = <real>sqrt(squares), least = <real>v.least, most = <real>v.most, rate = <real>v.rate
    cdef real within = least if norm < least else most if norm > most else norm
    return (rate * within + (1 - rate) * norm) / (<real>EPSILON + norm)


cdef void constrain_across(const Plan *plan, const Variable *v, real *parameters, real *scratch, int thread, int team) noexcept nogil:
    # norms across vectors: a wide layer's columns, panel by panel, or a narrow layer's rows
    cdef const fnn_kernels *k = plan.kernels
    cdef const Layer *layer = &plan.layer[v.layer]
    cdef Py_ssize_t p, first, last
    cdef real *w = parameters + layer.weights
    if layer.narrow:
        first = share(layer.inputs, thread, team, COLUMN_ALIGN)
        last = share(layer.inputs, thread + 1, team, COLUMN_ALIGN)
        scale_across(k, v, w + first, layer.units, last - first, layer.stride, scratch)
        return
    for p in range(share(layer.panels, thread, team, 1), share(layer.panels, thread + 1, team, 1)):
        scale_across(k, v, w + (layer.inputs + 1) * layer.panel[p].start, layer.inputs, layer.panel[p].columns, layer.panel[p].width,
                     scratch)


cdef inline void scale_across(const fnn_kernels *k, const Variable *v, real *w, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t stride,
                              real *scale) noexcept nogil:
    # w (IN and OUT: rows x columns)
    cdef Py_ssize_t j
    if columns <= 0:
        return
    k.column_sums(rows, columns, w, stride, w, stride, scale, False)
    for j in range(columns):
        scale[j] = factor(v, scale[j])
    k.scale_columns(rows, columns, w, stride, scale, NULL, w, stride)


cdef inline int along(const Plan *plan, const Variable *v) noexcept nogil:
    # the axis whose lines lie in one piece, or nearly
    return 0 if v.layer >= 0 and v.vector == 0 and plan.layer[v.layer].narrow else 1


cdef void constrain_lines(const Plan *plan, const Variable *v, real *parameters, real *scratch, int thread, int team) noexcept nogil:
    # norms along vectors: a wide layer's rows, or a narrow layer's columns
    cdef int axis = along(plan, v)
    cdef Py_ssize_t lines = line_count(v, axis), i
    for i in range(share(lines, thread, team, 1), share(lines, thread + 1, team, 1)):
        scale_line(plan, v, axis, i, factor(v, squares_of(plan, v, axis, i, parameters, scratch)), parameters, scratch)


cdef void constrain_whole(const Plan *plan, const Variable *v, real *parameters, real *scratch) noexcept nogil:
    cdef int axis = along(plan, v)
    cdef Py_ssize_t lines = line_count(v, axis), i
    cdef real squares = 0
    for i in range(lines):
        squares += squares_of(plan, v, axis, i, parameters, scratch)
    squares = factor(v, squares)
    for i in range(lines):
        scale_line(plan, v, axis, i, squares, parameters, scratch)


cdef inline real squares_of(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, const real *parameters,
                            real *line) noexcept nogil:
    cdef real found
    cdef Py_ssize_t n = line_length(v, axis), padded = round_up(n, COLUMN_ALIGN)
    get_line(plan, v, axis, i, parameters, line)
    memset(line + n, 0, (padded - n) * sizeof(real))
    plan.kernels.dot_rows(1, padded, line, padded, line, &found)
    return found


cdef inline void scale_line(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, real scale, real *parameters,
                            real *line) noexcept nogil:
    cdef Py_ssize_t j
    get_line(plan, v, axis, i, parameters, line)
    for j in range(line_length(v, axis)):
        line[j] *= scale
    put_line(plan, v, axis, i, line, parameters)
