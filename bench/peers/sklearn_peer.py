"""scikit-learn's MLPClassifier and MLPRegressor."""

import warnings

import joblib
import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from bench.peers import Base

warnings.filterwarnings("ignore")  # of batches cut to the rows, and of fits that did not converge
HIDDEN = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "linear": "identity"}
EXPRESSIBLE = {
    ("mean_squared_error", "linear"),
    ("binary_crossentropy", "sigmoid"),
    ("sparse_categorical_crossentropy", "softmax"),
}


class Peer(Base):
    name = "scikit-learn"
    flops_a_second = 5e10

    @staticmethod
    def versions():
        return f"scikit-learn {sklearn.__version__}"

    @classmethod
    def why_not(cls, spec):
        if spec.models > 1 and spec.loss == "mean_squared_error":
            return None
        if (spec.loss, spec.layers[-1][1]) not in EXPRESSIBLE:
            return f"has no {spec.loss} behind {spec.layers[-1][1]}"
        return super().why_not(spec)

    @classmethod
    def settings(cls, spec, threads):
        return [{"backend": "loky"}, {"backend": "threading"}] if spec.models > 1 and threads > 1 else [{}]

    def __new__(cls, spec=None, *data, **options):  # without, where a worker of joblib's is sent one
        return super().__new__(ManyPeer if cls is Peer and spec is not None and spec.models > 1 else cls)

    def __init__(self, spec, x, y, threads=1, weights=None):
        self.spec, self.threads, self.x = spec, threads, x
        self.weights = weights or spec.initial_weights()
        cls = MLPRegressor if spec.loss == "mean_squared_error" else MLPClassifier
        self.y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
        if cls is MLPClassifier:
            self.y = self.y.astype(np.int64)
        self.model = cls(
            hidden_layer_sizes=tuple(units for units, _ in spec.layers[:-1]),
            activation=HIDDEN[spec.layers[0][1]],
            solver=spec.optimizer,
            learning_rate_init=spec.learning_rate,
            epsilon=1e-7,
            alpha=0.0,
            batch_size=min(spec.batch, len(x)),
            tol=0.0,
            n_iter_no_change=10**9,
            random_state=0,
            warm_start=True,
        )
        self.start()

    def start(self):
        """One epoch on a row of each class makes the arrays, into which the first weights go."""
        classes = max(2, self.spec.widths[-1]) if isinstance(self.model, MLPClassifier) else 1
        size, self.model.batch_size = self.model.batch_size, classes
        rows = np.zeros((classes, self.spec.inputs), np.float32)
        targets = np.arange(classes) if isinstance(self.model, MLPClassifier) else self.y[:1]
        self.model.set_params(max_iter=1).fit(rows, targets)
        self.model.batch_size = size
        weights = self.weights
        for i, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            self.model.coefs_[i][...], self.model.intercepts_[i][...] = w, b
        self.model.loss_curve_ = []
        self.fitted = 0

    def fit(self, epochs, shuffle=True):
        with threadpool_limits(self.threads):
            self.model.set_params(max_iter=epochs, shuffle=shuffle)
            self.model.n_iter_ = 0
            self.model.fit(self.x, self.y)
        half = 2.0 if isinstance(self.model, MLPRegressor) else 1.0  # it reports half the squared error
        return [half * float(loss) for loss in self.model.loss_curve_[-epochs:]]

    def loss(self):
        if isinstance(self.model, MLPRegressor):
            return float(np.mean((self.model.predict(self.x) - self.y) ** 2))
        p = np.clip(self.model.predict_proba(self.x), 1e-7, 1)
        return float(-np.log(p[np.arange(len(p)), self.y]).mean())

    def predict(self, x):
        out = self.model.predict_proba(x) if isinstance(self.model, MLPClassifier) else self.model.predict(x)
        return out.reshape(len(x), -1)


class ManyPeer(Peer):
    """Many models, each a job of joblib's."""

    def __init__(self, spec, x, y, threads=1, backend="loky"):
        self.threads, self.backend = threads, backend
        stacked = spec.initial_weights()
        self.peers = [Peer(OneOf(spec), x[i], y[i], 1, [w[i] for w in stacked]) for i in range(spec.models)]

    def fit(self, epochs, shuffle=True):
        jobs = (joblib.delayed(trained)(peer, epochs, shuffle) for peer in self.peers)
        done = joblib.Parallel(n_jobs=self.threads, backend=self.backend)(jobs)
        self.peers = [peer for peer, _ in done]
        return np.mean([losses for _, losses in done], axis=0).tolist()

    def loss(self):
        return float(np.mean([peer.loss() for peer in self.peers]))


class OneOf:
    """What `Peer` reads of one of many models' workload."""

    def __init__(self, spec):
        self.layers, self.widths, self.inputs = spec.layers, spec.widths, spec.inputs
        self.loss, self.optimizer, self.learning_rate = spec.loss, spec.optimizer, spec.learning_rate
        self.batch, self.models = spec.batch, 1


def trained(peer, epochs, shuffle):
    """Return a peer that has trained for some epochs, and their losses."""
    return peer, peer.fit(epochs, shuffle)
