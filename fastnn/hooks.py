"""The hooks of a callback, and which of them one overrides."""

from typing import Any


class Callback:
    """Base class: override the hooks that you need.

    ``logs`` is a dict of metrics: of the epoch so far in batch hooks, of the whole epoch (``val_...``
    included) in `on_epoch_end`. Set ``self.model.stop_training = True`` to end the training.

    Attributes
    ----------
    model : Sequential
    params : dict
        ``{"verbose": ..., "epochs": ..., "steps": ...}``.
    """

    params: dict[str, Any] | None = None
    _model: Any = None

    def __init__(self):
        self.params = None
        self._model = None

    @property
    def model(self) -> Any:
        return self._model

    def set_model(self, model: Any) -> None:
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_batch_begin(self, batch, logs=None):
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Older name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before each step of ``fit``."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """After each step of ``fit``."""
        self.on_batch_end(batch, logs=logs)

    def on_epoch_begin(self, epoch, logs=None):
        """Before each epoch of ``fit``."""

    def on_epoch_end(self, epoch, logs=None):
        """After each epoch of ``fit`` and its validation."""

    def on_train_begin(self, logs=None):
        """At the start of ``fit``."""

    def on_train_end(self, logs=None):
        """At the end of ``fit``, with the last epoch's logs; not called after an error."""

    def on_test_begin(self, logs=None):
        """At the start of ``evaluate``, and of each validation of ``fit``."""

    def on_test_end(self, logs=None):
        """At the end of ``evaluate``, and of each validation of ``fit``."""

    def on_test_batch_begin(self, batch, logs=None):
        """Before each batch of ``evaluate`` or a validation."""

    def on_test_batch_end(self, batch, logs=None):
        """After each batch of ``evaluate`` or a validation."""

    def on_predict_begin(self, logs=None):
        """At the start of ``predict``."""

    def on_predict_end(self, logs=None):
        """At the end of ``predict``."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before each batch of ``predict``."""

    def on_predict_batch_end(self, batch, logs=None):
        """After each batch of ``predict``, with ``logs["outputs"]``."""


EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
TEST_HOOKS = ("on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end")
PREDICT_HOOKS = ("on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end")


def overrides(callback: Callback, *hooks: str) -> bool:
    """Whether a callback does something in one of ``hooks``, by its class or by an attribute of its own."""
    return any(getattr(getattr(callback, h), "__func__", None) is not getattr(Callback, h) for h in hooks)
