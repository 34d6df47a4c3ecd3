"""scikit-learn's multi-layer perceptrons over compiled training: its arguments, attributes and results.

``from fastnn import MLPClassifier, MLPRegressor`` in the place of ``from sklearn.neural_network import ...``.
"""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 (of scikit-learn 1.6)
except ImportError as error:
    raise ImportError(
        "fastnn.estimators needs scikit-learn 1.6 or newer, which is not installed: "
        "pip install 'fastnn-cpu[sklearn]'"
    ) from error

from fastnn.estimators.classifier import MLPClassifier
from fastnn.estimators.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor
from fastnn.estimators.many import fit_many
from fastnn.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPEnsembleClassifier", "MLPEnsembleRegressor", "MLPRegressor", "fit_many"]
