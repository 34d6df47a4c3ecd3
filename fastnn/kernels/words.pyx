"""Weights in bfloat16: rounding, and the words of two that kernels read (see ``csrc/inference.h``)."""
import numpy as np

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_WORDS_MAX
from fastnn.kernels.forward cimport Forward, Stage
from fastnn.kernels.plan cimport OP_BATCH_NORM, OP_LAYER_NORM, Op


cdef inline uint32_t rounded(float value) noexcept nogil:
    """The 16 bits of `value` as bfloat16: to nearest, ties to even; NaN stays NaN."""
    cdef uint32_t u
    memcpy(&u, &value, 4)
    if (u & 0x7fffffff) > 0x7f800000:
        return u >> 16 | 0x40
    return (u + 0x7fff + (u >> 16 & 1)) >> 16


def round_bfloat16(const float[::1] values):
    """The bits of float32 numbers rounded to bfloat16, to nearest, ties to even.

    Parameters
    ----------
    values : ndarray of float32, shape (n,)

    Returns
    -------
    ndarray of uint16, shape (n,)
    """
    cdef Py_ssize_t i
    cdef uint16_t[::1] bits
    bits = array = np.empty(values.shape[0], np.uint16)
    for i in range(values.shape[0]):
        bits[i] = <uint16_t>rounded(values[i])
    return array


cdef inline uint32_t *word_at(Forward f, const Stage *s, float *weights, Py_ssize_t i, Py_ssize_t j) noexcept:
    # the word that holds the weight from input i to unit j of a wide layer
    cdef Py_ssize_t lanes = <Py_ssize_t>f.plan.kernels.lanes, vector = j // lanes, panel = vector // (2 * FNN_WORDS_MAX)
    cdef Py_ssize_t words = min(<Py_ssize_t>FNN_WORDS_MAX, s.words - panel * FNN_WORDS_MAX)
    cdef Py_ssize_t at = panel * FNN_WORDS_MAX * s.layer.inputs + i * words + vector % (2 * FNN_WORDS_MAX) // 2
    return <uint32_t *>(weights + s.place) + at * lanes + j % lanes


cdef int vectors(Forward f, Py_ssize_t i, list arrays, Py_ssize_t at, float *weights, bint pack) except -1:
    # the vectors of an operation, in float32, between arrays[at:] and weights; returns how many are used
    cdef const Op *op = &f.plan.op[i]
    cdef Py_ssize_t v, j, found = 0
    cdef float[::1] vector
    for v in range(op.vectors):
        if not op.used[v]:
            if pack and (op.kind == OP_LAYER_NORM or op.kind == OP_BATCH_NORM) and v == 0:
                for j in range(op.units):
                    weights[f.between[i].place + j] = 1
            continue
        vector = arrays[at + found]
        found += 1
        for j in range(op.units):
            if pack:
                weights[f.between[i].place + v * op.stride + j] = vector[j]
            else:
                vector[j] = weights[f.between[i].place + v * op.stride + j]
    return found


cdef int pack_words(Forward f, list arrays, float *weights) except -1:
    """weights (OUT) from the kernels and biases of a network. A narrow layer's few weights are rounded, but not packed in words."""
    cdef Py_ssize_t i, j, n, p, at = 0, lanes = <Py_ssize_t>f.plan.kernels.lanes
    cdef const float[:, ::1] kernel
    cdef const float[::1] bias
    cdef Stage *s
    cdef uint32_t bits
    for n in range(f.plan.nodes):
        i = f.plan.node[n].index
        if f.plan.node[n].op != NULL:
            at += vectors(f, i, arrays, at, weights, True)
            continue
        s = &f.stage[i]
        kernel = arrays[at]
        bias = arrays[at + 1] if s.layer.bias else np.zeros(s.layer.units, np.float32)
        at += 2 if s.layer.bias else 1
        for j in range(s.layer.units):
            (weights + (s.place + j * s.layer.stride + s.layer.inputs if s.layer.narrow else s.bias + j))[0] = bias[j]
            for p in range(s.layer.inputs):
                bits = rounded(kernel[p, j])
                if s.layer.narrow:
                    (<uint32_t *>(weights + s.place))[j * s.layer.stride + p] = bits << 16
                else:
                    word_at(f, s, weights, p, j)[0] |= bits << (16 * (j // lanes % 2))
    return 0


cdef int unpack_words(Forward f, list arrays, float *weights) except -1:
    """Kernels and biases (OUT: arrays) from what pack_words made."""
    cdef Py_ssize_t i, j, n, p, at = 0, lanes = <Py_ssize_t>f.plan.kernels.lanes
    cdef uint32_t[:, ::1] kernel
    cdef float[::1] bias
    cdef Stage *s
    for n in range(f.plan.nodes):
        i = f.plan.node[n].index
        if f.plan.node[n].op != NULL:
            at += vectors(f, i, arrays, at, weights, False)
            continue
        s = &f.stage[i]
        kernel = arrays[at].view(np.uint32)
        bias = arrays[at + 1] if s.layer.bias else np.zeros(s.layer.units, np.float32)
        at += 2 if s.layer.bias else 1
        for j in range(s.layer.units):
            bias[j] = weights[s.place + j * s.layer.stride + s.layer.inputs] if s.layer.narrow else weights[s.bias + j]
            for p in range(s.layer.inputs):
                if s.layer.narrow:
                    kernel[p, j] = (<uint32_t *>(weights + s.place))[j * s.layer.stride + p]
                else:
                    kernel[p, j] = word_at(f, s, weights, p, j)[0] >> (16 * (j // lanes % 2)) << 16
    return 0
