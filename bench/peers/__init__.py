"""Those who train the workloads. Each is a module that imports nothing but what it measures, and runs in a
process of its own.

A module has a class ``Peer`` (or one named in the table below), made with ``(spec, x, y, threads,
**setting)`` where ``spec`` is a workload or what `bench.peers.spec` reads from a folder, and ``threads`` is 1
or as many as may be used. It starts from ``spec.initial_weights()`` and has

* ``fit(epochs, shuffle=True)`` -> the training loss of each epoch, as a list: this is what is timed;
* ``loss()`` -> the loss on all its rows with the weights that it has now;
* ``predict(x)`` -> outputs for a NumPy array, as a NumPy array, where it serves inference;
* ``settings(spec, threads)`` -> keyword arguments to try, the fastest of which is measured;
* ``why_not(spec)`` -> why it cannot do a workload, or None; ``versions()`` -> what it is, in a line;
* ``tolerance(spec)`` of its losses, relative to a float64 loop; None where its arithmetic is another, as
  ``note(spec)`` says.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """A peer: where its class is, and what its process is started with."""

    module: str
    options: dict[str, object] = field(default_factory=dict)  # of every instance
    environment: dict[str, str] = field(default_factory=dict)
    devices: bool = False  # an XLA device for every thread


PEERS = {
    "fastnn": Entry("fastnn_peer"),
    "fastnn bf16": Entry("fastnn_peer", {"precision": "bfloat16"}),
    "torch": Entry("torch_peer"),
    "torch compiled": Entry("torch_peer", {"compiled": True}),
    "torch bf16": Entry("torch_peer", {"bf16": True}),
    "torch compiled bf16": Entry("torch_peer", {"compiled": True, "bf16": True}),
    "jax": Entry("jax_peer"),
    "jax devices": Entry("jax_peer", {"devices": True}, devices=True),
    "keras tensorflow": Entry("keras_peer", environment={"KERAS_BACKEND": "tensorflow"}),
    "keras jax": Entry("keras_peer", environment={"KERAS_BACKEND": "jax"}),
    "scikit-learn": Entry("sklearn_peer"),
    "numpy": Entry("numpy_peer"),
    "fann": Entry("fann_peer"),
    "onnxruntime": Entry("onnx_peer"),
}


class Base:
    """What most peers share."""

    name = ""
    least_seconds = 0.0  # of a round

    @classmethod
    def settings(cls, spec, threads, **options):
        """Keyword arguments to choose from by measurement."""
        return [{}]

    @classmethod
    def why_not(cls, spec, **options):
        """Why this workload is not for this peer, or None."""
        if spec.models > 1:
            return "trains one model at a time"
        return None

    @classmethod
    def tolerance(cls, spec, **options):
        """How far its losses may be from the float64 loop's, relatively; None: its arithmetic is another."""
        return None if cls.note(spec, **options) else 1e-3

    @classmethod
    def note(cls, spec, **options):
        """What it does otherwise than the workload says, or None."""
        return None
