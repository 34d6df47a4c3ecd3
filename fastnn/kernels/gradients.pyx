"""Gradients on their way between a network and its optimizer.

They stay as the kernels wrote them until somebody reads an array: whoever only hands them on, from ``model.gradients`` to
``optimizer.apply``, pays for no conversion.
"""
import numpy as np

from libc.math cimport fabs, sqrt

from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network
from fastnn.kernels.packing cimport packed, unpacked
from fastnn.kernels.runtime cimport real


cdef class Gradients:
    """The gradients of a model's trainable weights: a sequence of arrays, in the order and of the shapes of ``trainable_weights``.

    Made by ``model.gradients`` and ``model.backward``, and taken by ``optimizer.apply``. The arrays are made when first read; they may
    be changed in place (``gradients[0] *= 0.5``), and ``apply`` takes them as they are then.
    """

    def __init__(self):
        raise TypeError("Gradients are made by model.gradients() and model.backward()")

    @staticmethod
    cdef Gradients of(Network network):
        cdef Gradients g = Gradients.__new__(Gradients)
        g.network = network
        g.arena = Arena(network.plan.parameters * network.itemsize)
        return g

    @staticmethod
    def packed(Network network not None, arrays):
        """Gradients from arrays of a caller's own.

        Parameters
        ----------
        network : Network
        arrays : sequence of array-like
            One for each trained weight, in order.

        Raises
        ------
        ValueError
            For another number of arrays, or another shape.
        """
        cdef Gradients g = Gradients.of(network)
        shapes = [shape for shape, trained in zip(network.shapes(), network.trained()) if trained]
        found = [np.require(a, network.dtype, ["C", "A", "W"]) for a in arrays]
        if len(found) != len(shapes):
            raise ValueError(f"there are {len(shapes)} trained arrays of weights, but {len(found)} gradients")
        for i, (array, shape) in enumerate(zip(found, shapes)):
            if array.shape != shape:
                raise ValueError(f"gradient {i} has shape {array.shape}, but its weights have {shape}")
        g.arrays = found
        g.settle()
        return g

    cdef int settle(self) except -1:
        # what was changed in the arrays, back to where the kernels read
        if self.arrays is None:
            return 0
        left, arrays = list(self.arrays), []
        for shape, trained in zip(self.network.shapes(), self.network.trained()):
            arrays.append(left.pop(0) if trained else np.zeros(shape, self.network.dtype))
        return packed(&self.network.plan, arrays, self.arena.base)

    cdef list read(self):
        if self.arrays is None:
            self.arrays = [a for a, trained in zip(unpacked(&self.network.plan, self.arena.base), self.network.trained()) if trained]
        return self.arrays

    def statistics(self):
        """Of each array: (norm, mean, largest absolute value, share of zeros), added up in double in index order.

        Returns
        -------
        list of tuple of float
        """
        if self.network.itemsize == 4:
            return [statistics_of[float](a.reshape(-1)) for a in self.read()]
        return [statistics_of[double](a.reshape(-1)) for a in self.read()]

    def __len__(self):
        return sum(self.network.trained())

    def __getitem__(self, index):
        return self.read()[index]

    def __setitem__(self, Py_ssize_t index, value):
        # what ``gradients[0] *= 0.5`` ends with: Python puts the result where it read
        array = self.read()[index]
        if np.shape(value) not in ((), array.shape):
            raise ValueError(f"gradient {index} has shape {array.shape}; what takes its place has {np.shape(value)}")
        array[...] = value

    def __iter__(self):
        return iter(self.read())

    def __repr__(self):
        return f"<Gradients of {len(self)} arrays, {sum(a.size for a in self.read())} numbers>"

    def __reduce__(self):
        return list, (list(self.read()),)


cdef tuple statistics_of(const real[::1] g):
    cdef double squares = 0.0, total = 0.0, largest = 0.0, value
    cdef Py_ssize_t i, zeros = 0, n = g.shape[0]
    with nogil:
        for i in range(n):
            value = g[i]
            squares += value * value
            total += value
            largest = max(largest, fabs(value))
            zeros += value == 0.0
    return sqrt(squares), total / n, largest, <double>zeros / n
