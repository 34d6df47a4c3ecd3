"""Accuracies as objects."""

from fastnn.metrics import functions
from fastnn.metrics.reductions import MeanMetricWrapper, mean_of

Accuracy = mean_of("Accuracy", functions.accuracy)
CategoricalAccuracy = mean_of("CategoricalAccuracy", functions.categorical_accuracy)
SparseCategoricalAccuracy = mean_of("SparseCategoricalAccuracy", functions.sparse_categorical_accuracy)


class BinaryAccuracy(MeanMetricWrapper):
    """Share of the outputs that are on their target's side of ``threshold``; see `binary_accuracy`."""

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(functions.binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of the rows whose class is among the ``k`` likeliest; see `top_k_categorical_accuracy`."""

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(functions.top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """The same for class numbers; see `sparse_top_k_categorical_accuracy`."""

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        super().__init__(
            functions.sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids
        )
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def get_config(self):
        config = super().get_config()
        if not self.from_sorted_ids:
            del config["from_sorted_ids"]  # as Keras does
        return config
