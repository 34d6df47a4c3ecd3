"""Which callbacks need Python between epochs or steps, and which run natively: decided here and nowhere else.

A callback asks for what it overrides: hooks of batches want a native call for each step, hooks of epochs and
of tests one for each epoch. `EarlyStopping` and `StopAtLoss` override those too, but the native schedule
knows their rules: where they are the only ones to look between epochs, it plays them
(``kernels/schedule.pyx``).
"""

from typing import Any

from fastnn.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    StopAtLoss,
    TerminateOnNaN,
    warn_not_there,
)
from fastnn.hooks import BATCH_HOOKS, EPOCH_HOOKS, TEST_HOOKS, overrides


class Watch:
    """The callbacks of one ``fit``, sorted by what they need.

    Parameters
    ----------
    callbacks : list of Callback
    between_epochs : bool
        Whether Python comes between epochs anyway, so that nothing has to run natively.
    between_steps : bool
        The same of steps.

    Attributes
    ----------
    history : History
        The one given, or a new one.
    stopping : EarlyStopping or None
    reaching : StopAtLoss or None
        What runs natively.
    terminate : TerminateOnNaN or None
    python : list of Callback
        All others, whose hooks are called, and the history last.
    by_step, by_epoch : bool
        Whether a native call may hold no more than a step, or an epoch.
    tests : bool
        Whether a callback looks at validations.
    """

    def __init__(self, callbacks: list[Callback], between_epochs: bool, between_steps: bool = False):
        self.stopping: EarlyStopping | None = None
        self.reaching: StopAtLoss | None = None
        self.terminate: TerminateOnNaN | None = None
        self.by_step = between_steps
        self.tests = False
        self.by_epoch = between_epochs = between_epochs or between_steps
        if not callbacks:  # a fit of a tiny network takes less time than what follows
            self.history = History()
            self.python = CallbackList([self.history])
            return
        self.history = next((c for c in callbacks if isinstance(c, History)), None) or History()
        others = [c for c in callbacks if c is not self.history]
        native = [c for c in others if type(c) in (EarlyStopping, StopAtLoss)]
        rest = [c for c in others if c not in native]
        self.terminate = next((c for c in rest if isinstance(c, TerminateOnNaN)), None)
        self.by_step = between_steps or any(overrides(c, *BATCH_HOOKS) for c in rest)
        self.tests = any(overrides(c, *TEST_HOOKS) for c in rest)
        self.by_epoch = (
            between_epochs or self.by_step or self.tests or any(overrides(c, *EPOCH_HOOKS) for c in rest)
        )
        stopping = [c for c in native if isinstance(c, EarlyStopping)]
        reaching = [c for c in native if isinstance(c, StopAtLoss)]
        if len(stopping) > 1 or len(reaching) > 1:
            self.by_epoch = True
        if self.by_epoch:
            rest = others
        else:
            self.stopping = stopping[0] if stopping else None
            self.reaching = reaching[0] if reaching else None
        self.python = CallbackList([*rest, self.history])

    def everyone(self) -> list[Callback]:
        """Return all callbacks, the native ones too."""
        return [*self.python.callbacks, *self.native()]

    def native(self) -> list[Any]:
        return [c for c in (self.stopping, self.reaching) if c is not None]

    # For the native training -------------------------------------------------------------------------------

    def stopping_columns(self, columns: list[str], model: Any) -> dict[str, Any] | None:
        """Return what ``Training(stopping=)`` takes, where the logs have these columns."""
        s = self.stopping
        if s is None:
            return None
        if s.monitor not in columns:
            warn_not_there(s.monitor, columns)
            return None
        return {
            "column": columns.index(s.monitor),
            "mode": s.direction(model),
            "min_delta": s.min_delta,
            "patience": s.patience,
            "baseline": s.baseline,
            "start_from_epoch": s.start_from_epoch,
            "restore_best_weights": bool(s.restore_best_weights),
        }

    def reaching_column(self, columns: list[str], model: Any) -> tuple[int, float, str] | None:
        """Return what ``Training(reaching=)`` takes."""
        r = self.reaching
        if r is None:
            return None
        if r.monitor not in columns:
            warn_not_there(r.monitor, columns, "StopAtLoss is")
            return None
        return columns.index(r.monitor), r.threshold, r.direction(model)

    def tell(self, training: Any, first: int, columns: list[str], model: Any) -> None:
        """Set the attributes that the native callbacks would have set themselves, had they been called."""
        s, last = self.stopping, first + training.epoch - 1
        if s is not None and s.monitor in columns and last >= s.start_from_epoch:
            s.best, s.best_epoch = training.best, training.best_epoch
            s.wait = last - s.best_epoch
            if training.stopped:
                s.stopped_epoch = last
            if training.restored:
                s.best_weights = model.get_weights()
        r = self.reaching
        if r is not None and training.epoch and r.monitor in columns:
            value = float(training.logs[-1, columns.index(r.monitor)])
            if r.reaches(value, r.direction(model)):
                r.stopped_epoch = last
