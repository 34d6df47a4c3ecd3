"""Optimizers: from hyper-parameters and the number of the step to the coefficients of one vector's update.

All that one optimizer has of its own, its numbers, coefficients and update, stands in its lines of ``csrc/optimizers.def``.
"""
import numpy as np

from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport (
    FNN_HYPER_DECAY,
    FNN_HYPER_LIMIT,
    FNN_HYPER_MAX,
    FNN_OPTIMIZERS,
    FNN_STEP_ELEMENTS,
    FNN_STEP_FACTORED,
    FNN_STEP_ORTHOGONAL,
    FNN_OPTIMIZER_adam,
    FNN_OPTIMIZER_sgd,
)
from fastnn.kernels.names import check_name
from fastnn.kernels.rates cimport real_power, scheduled_rate
from fastnn.kernels.runtime cimport float_flush, float_restore, kernels_for, optimizer_table, optimizer_variant, real


def _numbers(line):
    # {name: default} of a line "name=default name=default ..."
    return {name: float(value) for name, value in (number.split("=") for number in line.split())}


# name: hyper-parameters with their defaults (Keras 3's), from csrc/optimizers.def; options are 0 or 1
HYPER = {
    (<bytes>optimizer_table()[i].name).decode(): _numbers((<bytes>optimizer_table()[i].numbers).decode())
    for i in range(FNN_OPTIMIZERS) if optimizer_table()[i].numbers != NULL
}
# all lines of csrc/optimizers.def: behind each name in HYPER, those of its variants
VARIANTS = tuple((<bytes>optimizer_table()[i].name).decode() for i in range(FNN_OPTIMIZERS))
# what every optimizer takes beside; 0 is off
COMMON = {
    "weight_decay": 0.0, "clipvalue": 0.0, "clipnorm": 0.0, "global_clipnorm": 0.0, "use_ema": 0.0, "ema_momentum": 0.99,
    "ema_overwrite_frequency": 0.0, "gradient_accumulation_steps": 0.0,
}
# of these, what may change while a network trains; the others decide what a step consists of
CHANGING = ("weight_decay", "clipvalue")

cdef double SMALLEST_FLOAT = 1.1754943508222875e-38   # normal numbers
cdef double SMALLEST_DOUBLE = 2.2250738585072014e-308

cdef enum:  # of an optimizer with orthogonal directions: numbers of its other steps
    OTHER_DECAY = 4
    OTHER_RATE = 5


cdef void coefficients_at(Optimizer *optimizer, int64_t step, int64_t batches, double *h) noexcept nogil:
    """h (OUT): the h[i] of the optimizer's line in csrc/optimizers.def, for step 1, 2, ...; the learning rate of a schedule is that
    after `batches` batches (without accumulation of gradients: step - 1)."""
    cdef double rate = scheduled_rate(&optimizer.schedule, batches) if optimizer.scheduled else optimizer.hyper[0]
    # An epsilon of zero would make 0 / 0 of places without a weight, and of weights without a gradient. The smallest number in its
    # place changes no other bit where it is added to a root.
    if optimizer.before:
        h[FNN_HYPER_DECAY] = rate * optimizer.weight_decay
        h[FNN_HYPER_LIMIT] = optimizer.clipvalue if optimizer.clipvalue > 0.0 else INFINITY
    optimizer.coefficients(&optimizer.hyper[0], rate, step, &optimizer.memory, h)


cdef void coefficients(Optimizer *optimizer, int64_t step, double *h) noexcept nogil:
    """The same where each batch is a step."""
    if optimizer.family == FNN_OPTIMIZER_sgd and not (optimizer.scheduled or optimizer.before):  # whose steps are the shortest
        h[0] = optimizer.hyper[0]
        h[1] = optimizer.hyper[1]
        return
    coefficients_at(optimizer, step, step - 1, h)


cdef void next_move(Optimizer *optimizer, int64_t batches, double *h, Move *move) noexcept nogil:
    """h, move (OUT): what is to be done after so many batches."""
    cdef int64_t together = max(optimizer.accumulated, <int64_t>1), done = batches // together
    if not optimizer.by_variable:
        move.update = True
        coefficients(optimizer, batches + 1, h)
        return
    move.update = (batches + 1) % together == 0
    move.share = 1.0 / <double>together
    # averages begin with the first weights, and go on with each batch, step or not
    move.keep = optimizer.ema_momentum if done > 0 else 0.0
    move.overwrite = optimizer.ema_overwrite > 0 and (done + 1) % optimizer.ema_overwrite == 0
    if move.update:
        move.rate = scheduled_rate(&optimizer.schedule, batches) if optimizer.scheduled else optimizer.hyper[0]
        coefficients_at(optimizer, done + 1, batches, h)
        if optimizer.step == FNN_STEP_FACTORED:
            move.rate = min(move.rate, 1.0 / sqrt(<double>(done + 1)))
        elif optimizer.step == FNN_STEP_ORTHOGONAL:
            optimizer_table()[FNN_OPTIMIZER_adam].coefficients(
                &optimizer.hyper[0], move.rate * optimizer.hyper[OTHER_RATE], done + 1, &optimizer.memory, move.other)
            move.other[FNN_HYPER_DECAY] = move.rate * optimizer.hyper[OTHER_DECAY]
            move.other[FNN_HYPER_LIMIT] = h[FNN_HYPER_LIMIT]


cdef int select_kind(Optimizer *optimizer) except -1:
    """The line of csrc/optimizers.def that goes with the hyper-parameters, what it remembers, and whether anything comes before it."""
    optimizer.kind = optimizer_variant(optimizer.family, &optimizer.hyper[0])
    optimizer.coefficients = optimizer_table()[optimizer.kind].coefficients
    optimizer.slots = optimizer_table()[optimizer.kind].slots
    optimizer.step = optimizer_table()[optimizer.kind].step
    optimizer.initial[0] = optimizer_table()[optimizer.kind].first(&optimizer.hyper[0])
    optimizer.stored = optimizer.clipnorm > 0.0 or optimizer.global_clipnorm > 0.0 or optimizer.step != FNN_STEP_ELEMENTS
    if optimizer.clipnorm > 0.0 or optimizer.global_clipnorm > 0.0:  # as in Keras, a norm comes before a value
        optimizer.clipvalue = 0.0
    optimizer.before = (optimizer.weight_decay != 0.0 or optimizer.clipvalue > 0.0
                        or (optimizer.step == FNN_STEP_ORTHOGONAL and optimizer.hyper[OTHER_DECAY] != 0.0))
    optimizer.by_variable = optimizer.stored or optimizer.averages or optimizer.accumulated > 0
    return 0


cdef int place_hyper(Optimizer *optimizer, str name, double value) except -1:
    owner = VARIANTS[optimizer.family]
    names = list(HYPER[owner])
    if name == "weight_decay":
        optimizer.weight_decay = value
    elif name == "clipvalue":
        optimizer.clipvalue = value
    elif name == "clipnorm":
        optimizer.clipnorm = value
    elif name == "global_clipnorm":
        optimizer.global_clipnorm = value
    elif name == "use_ema":
        optimizer.averages = value != 0.0
    elif name == "ema_momentum":
        optimizer.ema_momentum = value
    elif name == "ema_overwrite_frequency":
        optimizer.ema_overwrite = <int64_t>value
    elif name == "gradient_accumulation_steps":
        optimizer.accumulated = <int64_t>value
    elif name in names:
        optimizer.hyper[names.index(name)] = value
    else:
        raise ValueError(f"optimizer {owner!r} has no hyper-parameter {name!r}; it has {', '.join([*names, *COMMON])}")
    return 0


cdef Optimizer make_optimizer(str name, dict hyper, size_t itemsize) except *:
    cdef Optimizer optimizer
    memset(&optimizer, 0, sizeof(optimizer))
    check_name("optimizer", name, tuple(HYPER))
    optimizer.family = VARIANTS.index(name)
    optimizer.memory.smallest = SMALLEST_FLOAT if itemsize == 4 else SMALLEST_DOUBLE
    optimizer.memory.real_power = real_power
    for key, value in {**HYPER[name], **COMMON, **hyper}.items():
        place_hyper(&optimizer, key, value)
    select_kind(&optimizer)
    return optimizer


cdef int set_hyper(Optimizer *optimizer, str name, double value) except -1:
    cdef Optimizer changed = optimizer[0]
    if name in COMMON and name not in CHANGING:
        raise ValueError(f"{name} decides what a step consists of; compile the model again with it")
    place_hyper(&changed, name, value)
    if name == "learning_rate":
        changed.scheduled = False
    select_kind(&changed)
    if changed.slots != optimizer.slots:
        owner = VARIANTS[optimizer.family]
        raise ValueError(f"{name}={value} would change what optimizer {owner!r} remembers; compile the model again with it")
    optimizer[0] = changed
    return 0


cdef void fill_slots(const Optimizer *optimizer, void *parameters, Py_ssize_t count, size_t itemsize) noexcept nogil:
    """What slots hold before the first step, in places without a weight too. parameters (OUT, but for the weights): `count` weights
    and the slots, zeroed."""
    cdef Py_ssize_t slot, i
    for slot in range(optimizer.slots):
        if optimizer.initial[slot] == 0.0:
            continue
        for i in range((1 + slot) * count, (2 + slot) * count):
            if itemsize == 4:
                (<float *>parameters)[i] = <float>optimizer.initial[slot]
            else:
                (<double *>parameters)[i] = optimizer.initial[slot]


def optimizer_update(str name, w, g, slots, hyper, int64_t step):
    """One optimizer step, in place.

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.OPTIMIZERS``.
    w : ndarray, float32 or float64, C-contiguous
        Weights, changed in place.
    g : ndarray, like `w`
        Gradient.
    slots : list of ndarray, like `w`
        What the optimizer remembers, changed in place, in the order of ``slots_used()`` of its class in ``fastnn.optimizers``: none
        for plain SGD, first and second moment for Adam. Before the first step zeros, but for the first of Adagrad and Ftrl:
        ``initial_accumulator_value``.
    hyper : dict
        Hyper-parameters by name, e.g. ``{"learning_rate": 0.01}``; what is missing takes Keras's default. Options are 0 or 1.
        ``weight_decay`` and ``clipvalue`` go with all optimizers: ``g`` is limited to ``[-clipvalue, clipvalue]``, then
        ``w -= w * weight_decay * learning_rate``, then the step; 0 is off.
    step : int
        Number of the step, from 1.

    Raises
    ------
    ValueError
        For unknown names, or arrays whose shape, dtype or layout differ from `w`'s.
    """
    cdef Optimizer optimizer = make_optimizer(name, dict(hyper), getattr(getattr(w, "dtype", None), "itemsize", 8))
    if optimizer.by_variable:
        names = ", ".join([key for key in COMMON if key not in CHANGING and key in hyper] or [name])
        raise ValueError(f"optimizer_update steps on the elements of one array; {names} needs a network that trains")
    if step < 1:
        raise ValueError(f"step counts from 1; got {step}")
    if len(slots) != optimizer.slots:
        raise ValueError(f"optimizer {name!r} with these hyper-parameters needs {optimizer.slots} slot arrays; got {len(slots)}")
    for label, array in [("w", w), ("g", g)] + [(f"slots[{i}]", s) for i, s in enumerate(slots)]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{label} is a {type(array).__name__}; expected a NumPy array")
        if array.shape != w.shape or array.dtype != w.dtype or not array.flags.c_contiguous or not array.flags.aligned:
            raise ValueError(f"{label} has shape {array.shape} and dtype {array.dtype}; expected a C-contiguous, aligned array of the "
                             f"shape {w.shape} and dtype {w.dtype} of w")
        if label != "g" and not array.flags.writeable:
            raise ValueError(f"{label} is read-only, and would be changed in place")
    # clipping works in place, and g is the caller's
    flat = [w.reshape(-1), g.reshape(-1).copy() if optimizer.before else g.reshape(-1)] + [s.reshape(-1) for s in slots]
    while len(flat) < 5:
        flat.append(w.reshape(-1))  # never read
    if w.dtype == np.float32:
        update[float](&optimizer, step, flat[0], flat[1], flat[2], flat[3], flat[4])
    elif w.dtype == np.float64:
        update[double](&optimizer, step, flat[0], flat[1], flat[2], flat[3], flat[4])
    else:
        raise ValueError(f"w must be float32 or float64, not {w.dtype}")


cdef void update(Optimizer *optimizer, int64_t step, real[::1] w, const real[::1] g, real[::1] s0, real[::1] s1, real[::1] s2):
    cdef double h[FNN_HYPER_MAX]
    cdef real coefficient[FNN_HYPER_MAX]
    cdef real tail[5][16]
    cdef real *at[5]
    cdef Py_ssize_t lanes = <Py_ssize_t>kernels_for(sizeof(real)).lanes, n = w.shape[0], whole = n // lanes * lanes, i
    cdef int j
    cdef uint64_t state
    if n == 0:
        return
    at[0] = <real *>&g[0]
    at[1] = &w[0]
    at[2] = &s0[0]
    at[3] = &s1[0]
    at[4] = &s2[0]
    memset(h, 0, sizeof(h))
    with nogil:
        state = float_flush()
        coefficients(optimizer, step, h)
        for j in range(FNN_HYPER_MAX):
            coefficient[j] = <real>h[j]
        step_vectors(optimizer, whole, at, coefficient)
        if whole < n:
            memset(tail, 0, sizeof(tail))
            for j in range(2 + optimizer.slots):
                for i in range(n - whole):
                    tail[j][i] = at[j][whole + i]
            at[0], at[1], at[2], at[3], at[4] = tail[0], tail[1], tail[2], tail[3], tail[4]
            step_vectors(optimizer, lanes, at, coefficient)
            for i in range(n - whole):
                w[whole + i] = tail[1][i]
                if optimizer.slots > 0:
                    s0[whole + i] = tail[2][i]
                if optimizer.slots > 1:
                    s1[whole + i] = tail[3][i]
                if optimizer.slots > 2:
                    s2[whole + i] = tail[4][i]
        float_restore(state)


cdef void step_vectors(const Optimizer *optimizer, Py_ssize_t n, real **at, const real *coefficient) noexcept nogil:
    # at: gradient, weights, slots
    if optimizer.before:
        kernels_for(sizeof(real)).clip_and_decay(n, at[0], at[1], coefficient)
    kernels_for(sizeof(real)).optimizer[optimizer.kind](n, at[0], at[1], at[2], at[3], at[4], coefficient)
