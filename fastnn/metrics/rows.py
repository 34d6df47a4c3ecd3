"""Which row values the compiled metrics are made of: the lines of ``csrc/metrics.def``, and every loss."""

from fastnn.losses import functions as losses

# Name -> what it takes as targets: "units", as many as the output has; "class", one class number; "any".
ROWS: dict[str, str] = {
    "accuracy": "units",
    "binary_accuracy": "units",
    "categorical_accuracy": "units",
    "sparse_categorical_accuracy": "class",
    "top_k_categorical_accuracy": "units",
    "sparse_top_k_categorical_accuracy": "class",
    "cosine": "units",  # the loss of the longer name is its negative
    "pearson_correlation": "units",
    "concordance_correlation": "units",
    "confusion": "units",
    "f_score": "units",
    "r2_score": "units",
    "iou": "any",
}


def targets_of(rows: str) -> str:
    """Return what these row values take as targets."""
    return ROWS[rows] if rows in ROWS else _OF_LOSSES[rows]


_OF_LOSSES = {d.compiled or name: str(d.targets) for name, d in losses.TABLE.items()}
