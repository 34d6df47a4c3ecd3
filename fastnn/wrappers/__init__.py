"""scikit-learn's interface for a ``Sequential`` of one's own (``keras.wrappers``).

scikit-learn is imported with the first of the names, not with fastnn.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any as _Any

from fastnn import vocabulary as _vocabulary

if TYPE_CHECKING:
    from fastnn.wrappers.sklearn_wrapper import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name: str) -> _Any:
    if name not in __all__:
        _vocabulary.refuse(__name__, name)
    return getattr(_import_module(f"{__name__}.sklearn_wrapper"), name)


def __dir__() -> list[str]:
    return list(__all__)
