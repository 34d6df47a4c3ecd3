"""A neural network in forty lines: XOR learned by hand-written gradient descent.

fastnn.kernels holds the compiled routines that fastnn's own training runs: matrix product plus bias,
activations, and the gradients of both. Here they are called one by one, so that every step of
backpropagation can be read.

Run it: ``python examples/xor_from_scratch.py``
"""

import numpy as np

from fastnn import kernels

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
Y = np.array([[0], [1], [1], [0]], dtype=np.float64)

HIDDEN_SIZE = 5
LEARNING_RATE = 1.0
EPOCHS = 2000


class NeuralNetwork:
    """Two layers: ``a1 = tanh(x @ w1 + b1)`` and ``a2 = sigmoid(a1 @ w2 + b2)``."""

    def __init__(self, input_size, hidden_size, output_size, seed=0):
        rng = np.random.default_rng(seed)
        self.w1 = self.random_weights(rng, input_size, hidden_size)
        self.b1 = np.zeros(hidden_size)
        self.w2 = self.random_weights(rng, hidden_size, output_size)
        self.b2 = np.zeros(output_size)

    @staticmethod
    def random_weights(rng, fan_in, fan_out):
        """Glorot's range keeps the signal about as large behind a layer as before it."""
        limit = np.sqrt(6 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, (fan_in, fan_out))

    def forward(self, x):
        """The predictions for the rows of ``x``; what ``backward`` needs is kept."""
        self.a1 = kernels.activation_forward("tanh", kernels.dense_forward(x, self.w1, self.b1))
        self.a2 = kernels.activation_forward("sigmoid", kernels.dense_forward(self.a1, self.w2, self.b2))
        return self.a2

    def loss(self, y, prediction):
        """The mean squared error."""
        return np.mean((prediction - y) ** 2)

    def backward(self, x, y):
        """Gradients of the loss after ``forward(x)``, by the chain rule from the last layer to the first."""
        da2 = 2 * (self.a2 - y) / y.size
        dz2 = kernels.activation_backward("sigmoid", self.a2, da2)
        da1, self.dw2, self.db2 = kernels.dense_backward(self.a1, self.w2, dz2)
        dz1 = kernels.activation_backward("tanh", self.a1, da1)
        _, self.dw1, self.db1 = kernels.dense_backward(x, self.w1, dz1, need_dx=False)

    def update_weights(self, learning_rate):
        """One step of gradient descent: everything moves a little downhill."""
        self.w1 -= learning_rate * self.dw1
        self.b1 -= learning_rate * self.db1
        self.w2 -= learning_rate * self.dw2
        self.b2 -= learning_rate * self.db2

    def train(self, x, y, epochs, learning_rate):
        """Descend ``epochs`` times on all rows; the loss before each step."""
        losses = []
        for _ in range(epochs):
            losses.append(self.loss(y, self.forward(x)))
            self.backward(x, y)
            self.update_weights(learning_rate)
        return losses


def train(seed=0):
    """Train 2-5-1 on the four rows; its predictions, shape (4, 1), and the losses, one an epoch."""
    network = NeuralNetwork(2, HIDDEN_SIZE, 1, seed)
    losses = network.train(X, Y, EPOCHS, LEARNING_RATE)
    return network.forward(X), losses


def main():
    predictions, losses = train()
    for epoch in range(0, EPOCHS, EPOCHS // 10):
        print(f"epoch {epoch:5d}   loss {losses[epoch]:.5f}")
    for (a, b), prediction in zip(X, predictions[:, 0], strict=True):
        print(f"{a:.0f} xor {b:.0f} = {prediction:.3f}")


if __name__ == "__main__":
    main()
