"""Callbacks: what happens between epochs (``keras.callbacks``).

A callback costs only what it overrides. With none that overrides a hook of epochs or batches, many epochs run
in one native call; with epoch hooks there is one call an epoch; with batch hooks, one a step.
`EarlyStopping`, `StopAtLoss` and `TerminateOnNaN` need no Python between epochs (``fastnn/watch.py``
decides).
"""

from fastnn.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint
from fastnn.callbacks.gradients import GradientStatistics
from fastnn.callbacks.lists import CallbackList, check_callbacks as check_callbacks
from fastnn.callbacks.logs import CSVLogger, LambdaCallback, ProgbarLogger
from fastnn.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.stopping import (
    EarlyStopping,
    Monitor as Monitor,
    StopAtLoss,
    TerminateOnNaN,
    warn_not_there as warn_not_there,
)
from fastnn.history import History
from fastnn.hooks import Callback
from fastnn.vocabulary import refusing

OrbaxCheckpoint = refusing("callbacks", "OrbaxCheckpoint")
RemoteMonitor = refusing("callbacks", "RemoteMonitor")
SwapEMAWeights = refusing("callbacks", "SwapEMAWeights")
TensorBoard = refusing("callbacks", "TensorBoard")

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientStatistics",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "StopAtLoss",
    "TerminateOnNaN",
]
