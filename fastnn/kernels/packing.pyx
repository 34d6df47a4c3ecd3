"""A network's weights as arrays, layer after layer, and as the kernels read them; what an optimizer keeps of each lies likewise."""
import numpy as np

from fastnn.kernels.dense cimport pack, unpack
from fastnn.kernels.plan cimport Node, Plan
from fastnn.kernels.runtime cimport real


cdef list shapes_of(const Plan *plan):
    """Kernel (inputs, units) and bias (units,) of each layer, or the vectors (units,) of an operation, in the order of the nodes."""
    cdef Py_ssize_t i, v
    cdef const Node *node
    shapes = []
    for i in range(plan.nodes):
        node = &plan.node[i]
        if node.op == NULL:
            shapes.append((node.layer.inputs, node.layer.units))
            if node.layer.bias:
                shapes.append((node.layer.units,))
            continue
        for v in range(node.op.vectors):
            if node.op.used[v]:
                shapes.append((node.op.units,))
    return shapes


cdef list unpacked(const Plan *plan, const void *parameters):
    """Arrays of `shapes_of` from what lies as the parameters do."""
    arrays = [np.empty(shape, np.float32 if plan.kernels.itemsize == 4 else np.float64) for shape in shapes_of(plan)]
    if plan.kernels.itemsize == 4:
        unpack_all[float](plan, <const float *>parameters, arrays)
    else:
        unpack_all[double](plan, <const double *>parameters, arrays)
    return arrays


cdef int packed(const Plan *plan, list arrays, void *parameters) except -1:
    """parameters (OUT): contiguous arrays of `shapes_of`, as the kernels read them."""
    if plan.kernels.itemsize == 4:
        return pack_all[float](plan, arrays, <float *>parameters)
    return pack_all[double](plan, arrays, <double *>parameters)


cdef int unpack_all(const Plan *plan, const real *weights, list arrays) except -1:
    cdef Py_ssize_t i, v, j
    cdef real[:, ::1] kernel
    cdef real[::1] vector
    cdef const Node *node
    left = iter(arrays)
    for i in range(plan.nodes):
        node = &plan.node[i]
        if node.op == NULL:
            kernel = next(left)
            if node.layer.bias:
                vector = next(left)
            unpack(node.layer, weights, &kernel[0, 0], &vector[0] if node.layer.bias else NULL)
            continue
        for v in range(node.op.vectors):
            if node.op.used[v]:
                vector = next(left)
                for j in range(node.op.units):
                    vector[j] = weights[node.op.weights + v * node.op.stride + j]
    return 0


cdef int pack_all(const Plan *plan, list arrays, real *weights) except -1:
    cdef Py_ssize_t i, v, j
    cdef const real[:, ::1] kernel
    cdef const real[::1] vector
    cdef const Node *node
    left = iter(arrays)
    for i in range(plan.nodes):
        node = &plan.node[i]
        if node.op == NULL:
            kernel = next(left)
            if node.layer.bias:
                vector = next(left)
            pack(node.layer, &kernel[0, 0], &vector[0] if node.layer.bias else NULL, weights)
            continue
        for v in range(node.op.vectors):
            if node.op.used[v]:
                vector = next(left)
                for j in range(node.op.units):
                    weights[node.op.weights + v * node.op.stride + j] = vector[j]
    return 0
