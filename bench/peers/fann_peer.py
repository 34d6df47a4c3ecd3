"""FANN (libfann 2), by ctypes: batch gradients of the rows of each batch.

It has plain gradient descent but no Adam, squared error but no crossentropy, and (2.2) no relu; what it does
instead is said in its note. Batches are views: an array of pointers to rows, put into a new order for each
epoch.
"""

import ctypes
import ctypes.util

import numpy as np

from bench.peers import Base

ENUM = {
    "linear": 0,
    "sigmoid": 3,
    "tanh": 5,
    "softmax": 3,
    "relu": 13,
}  # LINEAR, SIGMOID, SIGMOID_SYMMETRIC, LINEAR_PIECE
STEEPNESS = {"linear": 1.0, "sigmoid": 0.5, "tanh": 1.0, "softmax": 0.5, "relu": 0.5}
TRAIN_BATCH, ERRORFUNC_LINEAR = 1, 0


class TrainData(ctypes.Structure):
    """``struct fann_train_data``; the error fields come first."""

    _fields_ = (
        ("errno_f", ctypes.c_int),
        ("error_log", ctypes.c_void_p),
        ("errstr", ctypes.c_char_p),
        ("num_data", ctypes.c_uint),
        ("num_input", ctypes.c_uint),
        ("num_output", ctypes.c_uint),
        ("input", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
    )


class Connection(ctypes.Structure):
    """``struct fann_connection``."""

    _fields_ = (("from_neuron", ctypes.c_uint), ("to_neuron", ctypes.c_uint), ("weight", ctypes.c_float))


def library():
    """libfann for float32."""
    name = ctypes.util.find_library("floatfann") or "libfloatfann.so.2"
    fann = ctypes.CDLL(name)
    fann.fann_create_standard_array.restype = ctypes.c_void_p
    fann.fann_train_epoch.restype = ctypes.c_float
    fann.fann_train_epoch.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    fann.fann_test_data.restype = ctypes.c_float
    fann.fann_test_data.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    fann.fann_run.restype = ctypes.POINTER(ctypes.c_float)
    fann.fann_run.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return fann


FANN = library()

MOST = 5e7  # operations of a step: beyond, its rounds alone would take the run's time
WEIGHTS = 1e5  # beyond, setting them takes minutes: each is looked for among all


class Peer(Base):
    name = "fann"
    flops_a_second = 1e9

    @staticmethod
    def versions():
        return "libfann 2"

    @classmethod
    def note(cls, spec):
        said = []
        if not spec.inference and spec.optimizer != "sgd":
            said.append("plain gradient descent, not Adam")
        if any(activation == "relu" for _, activation in spec.layers):
            said.append("a line from 0 to 1, not relu")
        if spec.sparse:
            said.append("sigmoid, not softmax")
        if spec.loss != "mean_squared_error" and not spec.inference:
            said.append("squared error")
        return ", ".join(said) or None

    @classmethod
    def why_not(cls, spec):
        if not spec.inference and spec.flops > MOST:
            return f"at some 2 GFLOP/s, a step takes {1e3 * spec.flops / 2e9:.0f} ms"
        if sum((k + 1) * m for k, m in spec.products) > WEIGHTS:
            return "its function that sets weights takes minutes for so many"
        return super().why_not(spec)

    def __init__(self, spec, x, y, threads=1):
        self.spec = spec
        widths = (ctypes.c_uint * len(spec.widths))(*spec.widths)
        self.net = ctypes.c_void_p(FANN.fann_create_standard_array(len(spec.widths), widths))
        for i, (_, activation) in enumerate(spec.layers):
            FANN.fann_set_activation_function_layer(self.net, ENUM[activation], i + 1)
            steepness = ctypes.c_float(STEEPNESS[activation])
            FANN.fann_set_activation_steepness_layer(self.net, steepness, i + 1)
        FANN.fann_set_training_algorithm(self.net, TRAIN_BATCH)
        FANN.fann_set_train_error_function(self.net, ERRORFUNC_LINEAR)
        # Its gradient is of half the squared error, summed over outputs; its rate is divided by the rows.
        FANN.fann_set_learning_rate(self.net, ctypes.c_float(spec.learning_rate * 2 / spec.widths[-1]))
        self.set_weights(spec.initial_weights())
        self.x = np.ascontiguousarray(x, np.float32)
        if spec.inference:
            return
        if spec.sparse:
            y = np.eye(spec.widths[-1], dtype=np.float32)[y]
        self.y = np.ascontiguousarray(y, np.float32)
        rows, batch = len(x), spec.batch
        self.rows_x = self.x.ctypes.data + np.arange(rows, dtype=np.uint64) * np.uint64(self.x.strides[0])
        self.rows_y = self.y.ctypes.data + np.arange(rows, dtype=np.uint64) * np.uint64(self.y.strides[0])
        self.order_x, self.order_y = self.rows_x.copy(), self.rows_y.copy()
        self.batches = [self.view(at, min(batch, rows - at)) for at in range(0, rows, batch)]
        self.whole = self.view(0, rows)
        self.rng = np.random.default_rng(0)

    def view(self, at, rows):
        sizes = (rows, self.spec.inputs, self.spec.widths[-1])
        return TrainData(
            0, None, None, *sizes, self.order_x.ctypes.data + 8 * at, self.order_y.ctypes.data + 8 * at
        )

    def set_weights(self, weights):
        """Neurons are numbered through the layers, a bias neuron at the end of each."""
        count = FANN.fann_get_total_connections(self.net)
        connections = (Connection * count)()
        FANN.fann_get_connection_array(self.net, connections)
        starts = np.cumsum([0, *(width + 1 for width in self.spec.widths)])
        table = np.frombuffer(connections, dtype=[("from", "u4"), ("to", "u4"), ("weight", "f4")]).copy()
        for i, (k, m) in enumerate(self.spec.products):
            here = (table["from"] >= starts[i]) & (table["from"] < starts[i + 1])
            source, target = table["from"][here] - starts[i], table["to"][here] - starts[i + 1]
            table["weight"][here] = np.vstack([weights[2 * i], weights[2 * i + 1][None]])[source, target]
            assert here.sum() == (k + 1) * m
        ctypes.memmove(connections, table.ctypes.data, ctypes.sizeof(connections))
        FANN.fann_set_weight_array(self.net, connections, count)

    def fit(self, epochs, shuffle=True):
        train, net = FANN.fann_train_epoch, self.net
        if len(self.batches) == 1:
            one = ctypes.addressof(self.batches[0])
            return [train(net, one) for _ in range(epochs)]
        losses = []
        places = [ctypes.addressof(batch) for batch in self.batches]
        share = np.array([batch.num_data for batch in self.batches]) / len(self.x)
        for _ in range(epochs):
            order = self.rng.permutation(len(self.x)) if shuffle else np.arange(len(self.x))
            np.take(self.rows_x, order, out=self.order_x)
            np.take(self.rows_y, order, out=self.order_y)
            losses.append(float(np.dot([train(net, place) for place in places], share)))
        return losses

    def loss(self):
        self.order_x[:], self.order_y[:] = self.rows_x, self.rows_y
        return FANN.fann_test_data(self.net, ctypes.addressof(self.whole))

    def predict(self, x):
        out = np.empty((len(x), self.spec.widths[-1]), np.float32)
        for i, row in enumerate(x):
            out[i] = FANN.fann_run(self.net, row.ctypes.data)[: out.shape[1]]
        return out
