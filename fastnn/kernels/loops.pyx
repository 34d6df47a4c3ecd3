"""What training loops in Python call: a loss and its gradients, gradients with respect to rows, a step of the optimizer.

Each takes memory of the network's that is laid out already (``Pass``) and gives it back, so that a call costs little beside its
arithmetic.
"""
from libc.math cimport isfinite

from fastnn.kernels.gradients cimport Gradients
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.passes cimport Pass
from fastnn.kernels.plan cimport ENDING_LOSS


cdef Pass take_pass(Network network):
    """One for steps with the network's own loss and optimizer; give it back."""
    try:
        return <Pass>network.passes.pop()
    except IndexError:
        return Pass(network, True)


def loss_gradients(Network network not None, x, y, sample_weight, bint training, seed, int num_threads=0):
    """The loss of rows, and its gradients with respect to the trained weights, as last published.

    Parameters
    ----------
    network : Network
        Compiled.
    x, y, sample_weight
        As `Training` takes them.
    training, seed, num_threads
        As :meth:`Pass.forward` takes them.

    Returns
    -------
    tuple of (float, Gradients)

    Raises
    ------
    ValueError
        If an array has another shape, or holds NaN or infinity.
    FloatingPointError
        If the loss is not finite.
    """
    cdef Pass p
    cdef Gradients gradients
    cdef double value
    if network.compiled is None:
        raise RuntimeError("compile the network before asking for gradients of its loss")
    p = take_pass(network)
    p.begin(network, x, y, sample_weight, training, seed, num_threads)
    gradients, _ = p.back(network, ENDING_LOSS, True, True, False)
    value = p.loss()
    p.state = None
    network.passes.append(p)
    if not isfinite(value):
        raise FloatingPointError(f"the loss is {value}, so it has no gradients. Try a smaller learning rate, scaled inputs, or gradient "
                                 "clipping")
    return value, gradients


def idle_units(Network network not None, x, y, sample_weight, bint training, seed):
    """The loss of rows and its gradients, as `loss_gradients`, but nothing of the network changes; and of each dense layer, how many
    units the gradient of no row reaches (None below what is trained)."""
    cdef Pass p = Pass(network, True)
    cdef Gradients gradients
    cdef double value
    p.quiet = True
    p.begin(network, x, y, sample_weight, training, seed, 0)
    gradients, _ = p.back(network, ENDING_LOSS, True, True, False)
    value = p.loss()
    return value, gradients, p.idle()


def pass_through(Network network not None, x, upstream, bint training, seed):
    """:meth:`Pass.through` on memory that is kept for the next call: gradients of weighted outputs with respect to the rows."""
    cdef Pass p
    try:
        p = <Pass>network.ways.pop()  # atomic: whoever gets it, has it alone
    except IndexError:
        p = Pass(network)
    result = p.through(network, x, upstream, training, seed)
    p.state = None
    network.ways.append(p)
    return result


def apply_gradients(Network network not None, Gradients gradients not None):
    """One step of the network's optimizer, published.

    Parameters
    ----------
    network : Network
        Compiled.
    gradients : Gradients
        Of this network.

    Raises
    ------
    RuntimeError
        If the network is not compiled, or a training call runs.
    ValueError
        For gradients of another network.
    FloatingPointError
        If a weight would no longer be finite; the network stays as it was.
    """
    cdef State before, state, spare
    cdef Pass p
    if network.compiled is None:
        raise RuntimeError("compile the network before applying gradients to it")
    if gradients.network is not network:
        raise ValueError("these are gradients of another network")
    gradients.settle()
    with network.changing:
        network.require_rest()
        before = network.published()
        spare, network.spare = network.spare, None
        state = network.copy_state(before, spare)
        p = take_pass(network)
        network.running = True
        try:
            p.step(network, gradients, state)
        finally:
            network.running = False
        if not network.plan.kernels.all_finite(network.plan.parameters, state.arena.base):
            raise FloatingPointError("a weight would no longer be finite after this step, which is not taken. Look at the gradients: "
                                     "try a smaller learning rate, scaled inputs, or gradient clipping")
        p.copied = state  # the step brought the copies up to date
        network.passes.append(p)
        network.publish(state)
        network.spare = before
