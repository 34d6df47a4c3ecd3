"""Keras 3, on the backend that KERAS_BACKEND names, compiled by XLA where Keras would."""

import keras
import numpy as np

from bench.peers import Base


class Peer(Base):
    name = "keras"
    least_seconds = 1.0  # a call of fit costs some 20 ms by itself

    @staticmethod
    def versions():
        backend = keras.backend.backend()
        library = __import__(backend)
        return f"keras {keras.__version__} on {backend} {library.__version__}"

    @classmethod
    def settings(cls, spec, threads):
        if spec.inference:
            return [{"call": "predict_on_batch"}, {"call": "function"}]
        # Several steps in one call of the backend: on tiny networks a multiple, on wide ones nothing. On JAX,
        # Keras unrolls them, so that many cost compile time and bring little.
        most = spec.steps(spec.rows)
        tensorflow = keras.backend.backend() == "tensorflow"
        found = [{}]
        if spec.flops < 1e9 and most > 1:
            found.append({"steps": min(16, most)})
        if tensorflow and most > 1:
            # Given arrays, Keras makes a new pipeline for every epoch; one that repeats is made once.
            found.append({"dataset": True, "steps": most})
        return found

    def __init__(self, spec, x, y, threads=1, steps=1, dataset=False, call="predict_on_batch"):
        keras.utils.clear_session()
        self.spec, self.x, self.y = spec, x, y
        if keras.backend.backend() == "tensorflow" and not Peer.threads_set:
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
            Peer.threads_set = True
        layers = [keras.layers.Dense(units, activation=activation) for units, activation in spec.layers]
        self.model = keras.Sequential([keras.Input(shape=(spec.inputs,)), *layers])
        optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[spec.optimizer]
        self.model.compile(
            optimizer=optimizer(learning_rate=spec.learning_rate), loss=spec.loss, steps_per_execution=steps
        )
        self.model.set_weights(spec.initial_weights())
        self.dataset = self.pipeline() if dataset else None
        self.call = self.model.predict_on_batch
        if call == "function":
            self.call = self.function()

    threads_set = False

    def function(self):
        """The forward pass as one compiled function of the backend."""
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            run = tf.function(self.model, jit_compile=True)
            return lambda x: run(tf.constant(x)).numpy()
        import jax

        variables = [v.value for v in self.model.trainable_variables]
        state = [v.value for v in self.model.non_trainable_variables]
        run = jax.jit(lambda x: self.model.stateless_call(variables, state, x)[0])
        return lambda x: np.asarray(run(x))

    def pipeline(self):
        """All epochs as one tf.data pipeline, shuffled whole."""
        import tensorflow as tf

        rows = tf.data.Dataset.from_tensor_slices((self.x, self.y))
        return rows.shuffle(len(self.x)).batch(self.spec.batch).repeat().prefetch(tf.data.AUTOTUNE)

    def fit(self, epochs, shuffle=True):
        steps, before = self.spec.steps(len(self.x)), int(self.model.optimizer.iterations)
        if self.dataset is not None and shuffle:
            history = self.model.fit(self.dataset, steps_per_epoch=steps, epochs=epochs, verbose=0)
        else:
            history = self.model.fit(
                self.x, self.y, batch_size=self.spec.batch, epochs=epochs, shuffle=shuffle, verbose=0
            )
        done = int(self.model.optimizer.iterations) - before
        if done != epochs * steps:
            raise RuntimeError(f"{done} steps instead of {epochs * steps}")
        return history.history["loss"]

    def loss(self):
        return self.model.evaluate(self.x, self.y, batch_size=self.spec.batch, verbose=0)

    def predict(self, x):
        return np.asarray(self.call(x))
