"""Optimizers: from hyper-parameters and the number of the step to the coefficients of one vector's update.

The updates themselves stand in ``csrc/optimizers.def``; each entry of ``HYPER`` names an optimizer's hyper-parameters in the order
of ``Optimizer.hyper``, and ``coefficients`` computes the H(i) of its line.
"""
import numpy as np

from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_HYPER_MAX, FNN_OPTIMIZERS
from fastnn.kernels.names import check_name
from fastnn.kernels.plan cimport Decay, Optimizer
from fastnn.kernels.runtime cimport float_flush, float_restore, kernels_for, optimizer_table, real

cdef extern from "fastnn.h" nogil:
    int FNN_OPTIMIZER_sgd, FNN_OPTIMIZER_sgd_momentum, FNN_OPTIMIZER_sgd_nesterov, FNN_OPTIMIZER_adam

# name: hyper-parameters with their defaults (Keras 3's)
HYPER = {
    "sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": 0.0},
    "adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
}


cdef double power(double base, int64_t n) noexcept nogil:
    # by squaring: the C library's pow need not give the same bits everywhere
    cdef double result = 1.0
    while n > 0 and base != 0.0:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result if n == 0 else 0.0


cdef inline double decayed(Decay *cache, double base, int64_t n) noexcept nogil:
    # base^n as base^(n - n mod 64) times the n mod 64 factors one by one, so that the next step costs one multiplication
    if cache.base != base or cache.step + 1 != n or n % 64 == 0:
        cache.base = base
        cache.value = power(base, n // 64 * 64)
        for _ in range(n % 64):
            cache.value *= base
    else:
        cache.value *= base
    cache.step = n
    return cache.value


cdef void coefficients(Optimizer *optimizer, int64_t step, double *h) noexcept nogil:
    """h (OUT): the H(i) of the optimizer's line in csrc/optimizers.def, for step 1, 2, ..."""
    cdef const double *p = &optimizer.hyper[0]
    if optimizer.kind == FNN_OPTIMIZER_adam:
        # Kingma & Ba, "Adam" (2015), section 2, in the order of operations of Keras
        h[0] = p[0] * sqrt(1.0 - decayed(&optimizer.decay[1], p[2], step)) / (1.0 - decayed(&optimizer.decay[0], p[1], step))
        h[1] = 1.0 - p[1]
        h[2] = 1.0 - p[2]
        h[3] = p[3]
    else:
        h[0] = p[0]
        h[1] = p[1]
        h[2] = 0.0
        h[3] = 0.0


cdef int select_kind(Optimizer *optimizer, str name) except -1:
    if name == "adam":
        optimizer.kind = FNN_OPTIMIZER_adam
    elif optimizer.hyper[1] == 0.0:
        optimizer.kind = FNN_OPTIMIZER_sgd
    else:
        optimizer.kind = FNN_OPTIMIZER_sgd_nesterov if optimizer.hyper[2] else FNN_OPTIMIZER_sgd_momentum
    optimizer.slots = optimizer_table()[optimizer.kind].property
    return 0


cdef Optimizer make_optimizer(str name, dict hyper) except *:
    cdef Optimizer optimizer
    cdef int i
    memset(&optimizer, 0, sizeof(optimizer))
    check_name("optimizer", name, tuple(HYPER))
    unknown = set(hyper) - set(HYPER[name])
    if unknown:
        raise ValueError(f"optimizer {name!r} has no hyper-parameter {sorted(unknown)[0]!r}; it has {', '.join(HYPER[name])}")
    for i, (key, default) in enumerate(HYPER[name].items()):
        optimizer.hyper[i] = hyper.get(key, default)
    select_kind(&optimizer, name)
    return optimizer


cdef int set_hyper(Optimizer *optimizer, str name, double value) except -1:
    owner = "adam" if optimizer.kind == FNN_OPTIMIZER_adam else "sgd"
    names = list(HYPER[owner])
    if name not in names:
        raise ValueError(f"optimizer {owner!r} has no hyper-parameter {name!r}; it has {', '.join(names)}")
    cdef int slots = optimizer.slots
    cdef Optimizer changed = optimizer[0]
    changed.hyper[names.index(name)] = value
    select_kind(&changed, owner)
    if changed.slots != slots:
        raise ValueError(f"{name}={value} would change what optimizer {owner!r} remembers; compile the model again with it")
    optimizer[0] = changed
    return 0


# the lines of csrc/optimizers.def: the variants of the names in HYPER
VARIANTS = tuple((<bytes>optimizer_table()[i].name).decode() for i in range(FNN_OPTIMIZERS))


def optimizer_update(str name, w, g, slots, hyper, int64_t step):
    """One optimizer step, in place.

    Parameters
    ----------
    name : {"sgd", "adam"}
    w : ndarray, float32 or float64, C-contiguous
        Weights, changed in place.
    g : ndarray, like `w`
        Gradient.
    slots : list of ndarray, like `w`
        What the optimizer remembers, changed in place: none for plain SGD, one with momentum, first and second moment for Adam;
        zeros before the first step.
    hyper : dict
        Hyper-parameters by name, e.g. ``{"learning_rate": 0.01}``; what is missing takes Keras's default.
    step : int
        Number of the step, from 1.

    Raises
    ------
    ValueError
        For unknown names, or arrays whose shape, dtype or layout differ from `w`'s.
    """
    cdef Optimizer optimizer = make_optimizer(name, dict(hyper))
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
    flat = [w.reshape(-1), g.reshape(-1)] + [s.reshape(-1) for s in slots]
    while len(flat) < 4:
        flat.append(w.reshape(-1))  # never read
    if w.dtype == np.float32:
        update[float](&optimizer, step, flat[0], flat[1], flat[2], flat[3])
    elif w.dtype == np.float64:
        update[double](&optimizer, step, flat[0], flat[1], flat[2], flat[3])
    else:
        raise ValueError(f"w must be float32 or float64, not {w.dtype}")


cdef void update(Optimizer *optimizer, int64_t step, real[::1] w, const real[::1] g, real[::1] s0, real[::1] s1):
    cdef double h[FNN_HYPER_MAX]
    cdef real coefficient[FNN_HYPER_MAX]
    cdef real tail[4][16]
    cdef Py_ssize_t lanes = <Py_ssize_t>kernels_for(sizeof(real)).lanes, n = w.shape[0], whole = n // lanes * lanes, i
    cdef int j
    cdef uint64_t state
    if n == 0:
        return
    with nogil:
        state = float_flush()
        coefficients(optimizer, step, h)
        for j in range(FNN_HYPER_MAX):
            coefficient[j] = <real>h[j] if j < 4 else <real>0
        kernels_for(sizeof(real)).optimizer[optimizer.kind](whole, &g[0], &w[0], &s0[0], &s1[0], coefficient)
        if whole < n:
            for i in range(16):
                for j in range(4):
                    tail[j][i] = 0
            for i in range(n - whole):
                tail[0][i] = g[whole + i]
                tail[1][i] = w[whole + i]
                tail[2][i] = s0[whole + i]
                tail[3][i] = s1[whole + i]
            kernels_for(sizeof(real)).optimizer[optimizer.kind](lanes, tail[0], tail[1], tail[2], tail[3], coefficient)
            for i in range(n - whole):
                w[whole + i] = tail[1][i]
                if optimizer.slots > 0:
                    s0[whole + i] = tail[2][i]
                if optimizer.slots > 1:
                    s1[whole + i] = tail[3][i]
        float_restore(state)
