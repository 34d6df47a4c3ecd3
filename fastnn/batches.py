"""Data that comes in batches: ``PyDataset``, generators and other iterables, and their passes and epochs."""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.errors import warn

__all__ = ["Batches", "PyDataset", "are_batches", "unpack"]

# What is read as an array though it has no array interface.
_ARRAY_LIKE = (list, tuple, str, bytes, bytearray, memoryview, range, Mapping)
_ARRAY_INTERFACES = ("__array__", "__array_interface__", "__dlpack__", "to_numpy", "__dataframe__")


class PyDataset:
    """Base class of data sets of your own that come in batches.

    Subclasses define ``__getitem__(index)``, which returns a batch, ``(x, y)`` or ``(x, y, sample_weight)``,
    and ``__len__()``, the number of batches; instead of the latter ``num_batches`` may be a property, None
    for data without end. `on_epoch_begin` and `on_epoch_end` may change the data between epochs. ``fit`` asks
    for the batches in another order in each epoch, unless ``shuffle=False``.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        Hints of Keras's, accepted and ignored: a batch is asked for when it is needed.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index).")

    def __iter__(self) -> Iterator[Any]:
        count = self.num_batches
        for index in itertools.count() if count is None else range(count):
            yield self[index]

    @property
    def num_batches(self) -> int | None:
        """Number of batches; None where there is no end."""
        length = getattr(self, "__len__", None)
        if length is None:
            raise NotImplementedError(
                f"{type(self).__name__} must define __len__(self), or the property num_batches."
            )
        return int(length())

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def are_batches(x: Any, alone: bool = True) -> bool:
    """Whether ``x`` is an iterable of batches and no array.

    ``alone``: no y was given beside it. Objects with ``__len__`` and ``__getitem__`` only can be either: they
    are batches where they come alone.
    """
    if isinstance(x, np.ndarray):
        return False
    if isinstance(x, PyDataset):
        return True
    if isinstance(x, _ARRAY_LIKE) or hasattr(x, "nnz") or any(hasattr(x, name) for name in _ARRAY_INTERFACES):
        return False
    if hasattr(x, "__next__"):
        return True
    sized = hasattr(x, "__len__")
    if hasattr(x, "__iter__") and not (sized and hasattr(x, "__getitem__")):
        return not isinstance(x, set | frozenset)
    return (
        alone and sized and hasattr(x, "__getitem__") and type(x).__module__ not in ("array", "collections")
    )


def unpack(batch: Any, what: str) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) of a batch, None for what it does not have."""
    if not isinstance(batch, tuple | list):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            f"{what} must be (x, y) or (x, y, sample_weight), got a {type(batch).__name__} of length "
            f"{len(batch)}."
        )
    x, y, weight = (*batch, None, None)[:3]
    return x, y, weight


class Batches:
    """An iterable of batches, epoch by epoch.

    With ``steps``, an epoch has so many batches, and the next epoch goes on where it ended; without, an epoch
    is a pass over all batches. Where the batches run out within an epoch, it ends there, with a warning in
    Keras's words; what can be iterated again starts again with the next epoch, and a generator is at its end.

    Parameters
    ----------
    given : iterable
    argument : str
        Its name in messages.
    steps : int, optional
    shuffle : bool
        Whether to ask for batches in random order where they can be asked for by number; drawn, as Keras
        does, from Python's generator.
    convert : callable, optional
        ``convert(batch, number)``: what is yielded of a batch and its number within the epoch.

    Attributes
    ----------
    once : bool
        Whether it can be run through only once: generators and other iterators.
    ended : bool
        Whether such a one has come to its end.
    """

    def __init__(
        self,
        given: Iterable[Any],
        argument: str,
        steps: int | None = None,
        shuffle: bool = False,
        convert: Callable[[Any, int], Any] = lambda batch, number: batch,
    ):
        self.given = given
        self.argument = argument
        self.steps = steps
        self.shuffle = shuffle
        self.convert = convert
        self.once = hasattr(given, "__next__")
        self.ended = False
        self._iterator: Iterator[Any] | None = None

    @property
    def length(self) -> int | None:
        """Number of batches of a pass, None where that is unknown or there is no end."""
        given: Any = self.given
        if isinstance(given, PyDataset):
            return given.num_batches
        try:
            return len(given)
        except TypeError:  # it has no length, or says that it knows none
            return None

    @property
    def epoch_length(self) -> int | None:
        """Number of batches of an epoch, as far as known."""
        return self.steps or self.length

    def restart(self) -> None:
        """Begin a new pass with the next epoch; what can be run through only once goes on instead."""
        self._iterator = None

    def epoch(self, warns: bool = True) -> Iterator[Any]:
        """Yield the batches of one epoch."""
        self._hook("on_epoch_begin")
        try:
            done = 0
            for batch in self._batches():
                yield self.convert(batch, done)
                done += 1
                if done == self.steps:
                    return
            self.ended = self.once
            if warns and self.steps is not None and done:
                self.warn()
        finally:
            self._hook("on_epoch_end")

    def warn(self) -> None:
        """Say that the batches have run out."""
        warn(
            f"Your input ran out of data; interrupting training: {self.argument} has no more batches. It "
            "must yield at least steps_per_epoch * epochs of them.",
            UserWarning,
        )

    def _batches(self) -> Iterator[Any]:
        if self.once:
            yield from self._resumed(self.given)
        elif self.steps is None:
            yield from self._pass()
        else:
            left = self._iterator
            if left is not None:
                first = next(left, _END)
                if first is not _END:
                    yield first
                    yield from self._resumed(left)
                    self._iterator = None
                    return
            self._iterator = self._pass()
            yield from self._resumed(self._iterator)
            self._iterator = None

    @staticmethod
    def _resumed(iterator: Any) -> Iterator[Any]:
        # not `yield from`, which would close the iterator when an epoch ends before it
        while (batch := next(iterator, _END)) is not _END:
            yield batch

    def _pass(self) -> Iterator[Any]:
        given: Any = self.given
        if not hasattr(given, "__getitem__"):
            yield from given
            return
        count = self.length
        numbers: Any = itertools.count() if count is None else range(count)
        if self.shuffle and count is not None:
            numbers = list(numbers)
            random.shuffle(numbers)
        for number in numbers:
            yield given[number]

    def _hook(self, name: str) -> None:
        if not self.once and callable(hook := getattr(self.given, name, None)):
            hook()


_END = object()
