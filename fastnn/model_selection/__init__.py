"""scikit-learn's searches over fastnn's estimators: all candidates are trained on all folds at once.

``from fastnn.model_selection import GridSearchCV, RandomizedSearchCV`` in the place of ``from
sklearn.model_selection import ...``.
"""

import fastnn.estimators  # noqa: F401 (first: it says what to install where scikit-learn is missing)
from fastnn.model_selection.search import GridSearchCV, RandomizedSearchCV

__all__ = ["GridSearchCV", "RandomizedSearchCV"]
