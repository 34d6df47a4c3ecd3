"""Metrics with their options, for the tests: what makes each, of Keras's or of ours, and data for it."""

import numpy as np

# what makes the metric, of ``metrics`` (ours or Keras's); a case's name is its source
UNITS = {
    "Accuracy": lambda m: m.Accuracy(),
    "BinaryAccuracy": lambda m: m.BinaryAccuracy(),
    "BinaryAccuracy threshold": lambda m: m.BinaryAccuracy(threshold=0.3),
    "CategoricalAccuracy": lambda m: m.CategoricalAccuracy(),
    "TopK": lambda m: m.TopKCategoricalAccuracy(k=2),
    "AUC": lambda m: m.AUC(),
    "AUC few": lambda m: m.AUC(num_thresholds=5, summation_method="majoring"),
    "AUC minoring": lambda m: m.AUC(num_thresholds=11, summation_method="minoring"),
    "AUC thresholds": lambda m: m.AUC(thresholds=[0.7, 0.2, 0.55]),
    "AUC PR": lambda m: m.AUC(curve="PR"),
    "AUC PR majoring": lambda m: m.AUC(curve="PR", summation_method="majoring", num_thresholds=30),
    "AUC gain": lambda m: m.AUC(curve="PRGAIN", num_thresholds=40),
    "AUC logits": lambda m: m.AUC(from_logits=True),
    "AUC labels": lambda m: m.AUC(multi_label=True),
    "Precision": lambda m: m.Precision(),
    "Precision thresholds": lambda m: m.Precision(thresholds=[0.9, 0.2, 0.5]),
    "Precision top": lambda m: m.Precision(top_k=2),
    "Recall": lambda m: m.Recall(thresholds=0.4),
    "Recall even": lambda m: m.Recall(thresholds=[0.0, 0.5, 1.0]),
    "Recall class": lambda m: m.Recall(class_id=0, top_k=1),
    "TruePositives": lambda m: m.TruePositives(),
    "TrueNegatives": lambda m: m.TrueNegatives(thresholds=[0.3, 0.6]),
    "FalsePositives": lambda m: m.FalsePositives(thresholds=0.7),
    "FalseNegatives": lambda m: m.FalseNegatives(),
    "SensitivityAtSpecificity": lambda m: m.SensitivityAtSpecificity(0.6),
    "SpecificityAtSensitivity": lambda m: m.SpecificityAtSensitivity(0.5, num_thresholds=1),
    "PrecisionAtRecall": lambda m: m.PrecisionAtRecall(0.7, num_thresholds=20),
    "RecallAtPrecision": lambda m: m.RecallAtPrecision(0.4, class_id=0),
    "F1Score": lambda m: m.F1Score(),
    "F1Score micro": lambda m: m.F1Score(average="micro"),
    "F1Score threshold": lambda m: m.F1Score(average="macro", threshold=0.6),
    "FBetaScore": lambda m: m.FBetaScore(average="weighted", beta=2.0),
    "R2Score": lambda m: m.R2Score(),
    "R2Score each": lambda m: m.R2Score(class_aggregation=None),
    "R2Score weighted": lambda m: m.R2Score(class_aggregation="variance_weighted_average", num_regressors=2),
    "RootMeanSquaredError": lambda m: m.RootMeanSquaredError(),
    "BinaryIoU": lambda m: m.BinaryIoU(threshold=0.4, dtype="float32"),
    "OneHotIoU": lambda m: m.OneHotIoU(3, [0, 2], dtype="float32"),
    "OneHotMeanIoU": lambda m: m.OneHotMeanIoU(3, ignore_class=1, dtype="float32"),
    "CosineSimilarity": lambda m: m.CosineSimilarity(),
    "PearsonCorrelation": lambda m: m.PearsonCorrelation(),
    "ConcordanceCorrelation": lambda m: m.ConcordanceCorrelation(),
    "MeanSquaredError": lambda m: m.MeanSquaredError(),
    "MeanAbsoluteError": lambda m: m.MeanAbsoluteError(),
    "BinaryCrossentropy": lambda m: m.BinaryCrossentropy(),
    "BinaryCrossentropy logits": lambda m: m.BinaryCrossentropy(from_logits=True),
    "CategoricalCrossentropy": lambda m: m.CategoricalCrossentropy(),
}
CLASS = {
    "SparseCategoricalAccuracy": lambda m: m.SparseCategoricalAccuracy(),
    "SparseTopK": lambda m: m.SparseTopKCategoricalAccuracy(k=2),
    "SparseCategoricalCrossentropy": lambda m: m.SparseCategoricalCrossentropy(),
    "IoU": lambda m: m.IoU(3, [0, 1], sparse_y_pred=False, dtype="float32"),
    "MeanIoU": lambda m: m.MeanIoU(3, sparse_y_pred=False, ignore_class=2),
}
# Options whose state Keras has for the whole batch, of several columns, where weights of rows do not fit.
ONE_UNIT = {"BinaryIoU"}
# One unit has nothing to choose among, or no spread.
SEVERAL_UNITS = {"CategoricalAccuracy", "TopK", "CategoricalCrossentropy", "PearsonCorrelation"} | {
    name for name in UNITS if "IoU" in name and name != "BinaryIoU"
}


def data(name, rng, rows, units, dtype="float32"):
    """Targets, outputs and weights of rows for a case; among the outputs ties, thresholds and zeros."""
    p = rng.random((rows, units)).astype(dtype)
    p.flat[:: max(1, p.size // 7)] = [0.5]
    p.flat[1 :: max(2, p.size // 5)] = [0.0]
    w = rng.uniform(0, 2, rows).astype(dtype)
    if "Crossentropy" in name:  # what Keras clips 0 to depends on its backend
        p = np.maximum(p, 0.05)
    if name in CLASS:
        return rng.integers(0, units, rows).astype(dtype), p, w
    if "R2" in name or "Squared" in name or "Absolute" in name or "Corr" in name or "Cosine" in name:
        return rng.normal(size=(rows, units)).astype(dtype), p, w
    if "Categorical" in name or "TopK" in name or "OneHot" in name:
        return np.eye(units, dtype=dtype)[rng.integers(0, units, rows)], p, w
    return (rng.random((rows, units)) < 0.4).astype(dtype), p, w
