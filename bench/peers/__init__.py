"""Those who train the workloads. Each is a module, so that none is imported where another is measured.

A peer is a class made with ``(workload, x, y, threads=1)``, ``threads=None`` meaning as many as it likes,
that starts from ``workload.initial_weights()`` and has

* ``fit(epochs, shuffle=True)`` -> the training loss of each epoch, as a list: this is what is timed;
* ``loss()`` -> the loss on all its rows with the weights that it has now.
"""
