"""Losses and metrics: from names to the kernels' tables, and the losses' kernels on arrays."""
import numpy as np

from fastnn.kernels.arrays import as_matrix
from fastnn.kernels.names import check_name

from libc.math cimport NAN
from libc.stdint cimport uint64_t

from fastnn.kernels.csrc cimport (
    FNN_ACTIVATIONS,
    FNN_DEFAULTS_MAX,
    FNN_LOSSES,
    FNN_METRICS,
    FNN_TARGETS_CLASS,
    FNN_TARGETS_REPEATED,
    FNN_TARGETS_UNITS,
    FNN_TERM_PARAMETERS_MAX,
    fnn_kernels,
    fnn_operation,
)
from fastnn.kernels.plan cimport COLUMN_ALIGN, Objective, Term
from fastnn.kernels.runtime cimport activation_table, float_flush, float_restore, kernels_for, loss_table, metric_table, real


cdef tuple table_names(const fnn_operation *table, int n):
    cdef int i
    return tuple((<bytes>table[i].name).decode() for i in range(n))

LOGITS = "_logits"
ALL_LOSSES = table_names(loss_table(), FNN_LOSSES)
# what a caller names: the forms from logits and the fused ones are chosen here
LOSSES = tuple(name for i, name in enumerate(ALL_LOSSES) if loss_table()[i].fused_from < 0 and not name.endswith(LOGITS))
PLAIN_LOSSES = tuple(name for i, name in enumerate(ALL_LOSSES) if loss_table()[i].fused_from < 0)
METRICS = table_names(metric_table(), FNN_METRICS)
ACTIVATIONS = table_names(activation_table(), FNN_ACTIVATIONS)


cdef int activation_index(str name) except -1:
    check_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS.index(name)


cdef int loss_index(str name, bint from_logits) except -1:
    check_name("loss", name, LOSSES)
    if from_logits:
        if name + LOGITS not in ALL_LOSSES:
            raise ValueError(f"loss {name!r} has no from_logits form")
        return ALL_LOSSES.index(name + LOGITS)
    return ALL_LOSSES.index(name)


cdef tuple named(str kind, specification):
    # (name, parameters or None) of a name, or a name and its parameters
    if isinstance(specification, str):
        return specification, None
    if not isinstance(specification, (tuple, list)) or len(specification) != 2:
        raise TypeError(f"a {kind} must be a name, or a name and its parameters, not {specification!r}")
    return specification[0], specification[1]


cdef int set_parameters(Term *term, const fnn_operation *operation, str kind, given, Py_ssize_t units) except -1:
    # term.p (OUT): those given, or the defaults
    cdef int i, n = operation.parameters, least = abs(n), first = 1 if n < 0 else 0, most = FNN_TERM_PARAMETERS_MAX - first
    for i in range(FNN_TERM_PARAMETERS_MAX):
        term.p[i] = operation.defaults[i] if i < FNN_DEFAULTS_MAX else 0.0
    if given is None:
        return 0
    name = (<bytes>operation.name).decode()
    values = [float(p) for p in given]
    if len(values) < least or len(values) > (most if n < 0 else least):
        takes = f"{least} to {most}" if n < 0 else str(least)
        raise ValueError(f"{kind} {name!r} takes {takes} parameters, but {len(values)} were given: {given!r}")
    for i in range(len(values)):
        term.p[first + i] = values[i]
    if n < 0:
        term.p[0] = len(values) - least + 1
        if units % <Py_ssize_t>term.p[0]:
            raise ValueError(f"{kind} {name!r} was given {term.p[0]:.0f} values for {units} units; the units must be a multiple of them")
    return 0


cdef int set_term(Term *term, str kind, specification, bint from_logits, Py_ssize_t units) except -1:
    """term (OUT) of a loss or a metric of so many units: a name, or a name and its parameters. A loss serves as a metric, under its own
    name or that of its form from logits."""
    name, given = named(kind, specification)
    if kind == "metric":
        check_name(kind, name, METRICS + PLAIN_LOSSES)
    term.is_loss = kind == "loss" or name in PLAIN_LOSSES
    if not term.is_loss:
        term.index = METRICS.index(name)
    else:
        term.index = ALL_LOSSES.index(name) if kind == "metric" else loss_index(name, from_logits)
    return set_parameters(term, &loss_table()[term.index] if term.is_loss else &metric_table()[term.index], kind, given, units)


cdef Py_ssize_t target_columns(const Term *term, const fnn_operation *operation, Py_ssize_t units) noexcept:
    """How many columns y has."""
    if operation.property == FNN_TARGETS_CLASS:
        return 1
    return units // <Py_ssize_t>term.p[0] if operation.property == FNN_TARGETS_REPEATED else units


cdef int set_apart(Objective *objective, own, Py_ssize_t targets, bint together, Py_ssize_t units) except -1:
    """What an objective (IN and OUT) whose loss is set says of a loss that comes between the phases. own: OwnLoss or None; targets:
    columns of y that it takes."""
    name = (<bytes>loss_table()[objective.loss.index].name).decode()
    objective.ignored = objective.loss.p[0] if name.startswith("sparse") else NAN
    objective.apart = own is not None or together
    objective.together = together
    if own is not None:
        objective.targets = targets
        objective.kind = FNN_TARGETS_CLASS if own.classes else FNN_TARGETS_UNITS if targets == units else FNN_TARGETS_REPEATED
        objective.fused = False
    if together and name != "tversky":
        raise ValueError(f"loss {name!r} is not of all rows together")
    return 0


cdef int make_objective(Objective *objective, loss, bint from_logits, int last_activation, Py_ssize_t units) except -1:
    """objective (OUT): its loss, of a specification; it is fused with the last activation where the table has the pair."""
    cdef int i
    set_term(&objective.loss, "loss", loss, from_logits, units)
    objective.kind = loss_table()[objective.loss.index].property
    objective.targets = target_columns(&objective.loss, &loss_table()[objective.loss.index], units)
    objective.fused = False
    for i in range(FNN_LOSSES):
        if loss_table()[i].fused_from == objective.loss.index and loss_table()[i].fused_with == last_activation:
            objective.loss.index = i
            objective.fused = True
            break
    return 0


# ---- on arrays ----

cdef void loss_on_array(const Term *term, const real[:, ::1] y, const real[:, ::1] a, real[::1] rows, real[:, ::1] delta):
    # through columns, as everything at a network's output; 16 rows at a time
    cdef const fnn_kernels *k = kernels_for(sizeof(real))
    cdef Py_ssize_t n = a.shape[0], units = a.shape[1], targets = y.shape[1], r = 0, m, i
    cdef Py_ssize_t size = units * COLUMN_ALIGN
    cdef real[::1] space = np.empty(3 * size + COLUMN_ALIGN, dtype=np.float32 if real is float else np.float64)
    cdef real *columns = &space[0]
    cdef bint gradient = delta.shape[0] > 0
    cdef uint64_t state
    with nogil:
        state = float_flush()
        while r < n:
            m = min(<Py_ssize_t>COLUMN_ALIGN, n - r)
            k.transpose(m, units, &a[r, 0], units, columns, COLUMN_ALIGN)
            k.transpose(m, targets, &y[r, 0], targets, columns + size, COLUMN_ALIGN)
            k.loss[term.index](m, units, columns, COLUMN_ALIGN, columns + size, COLUMN_ALIGN, NULL, 1.0 / <double>n,
                               columns + 2 * size if gradient else NULL, COLUMN_ALIGN, columns + 3 * size, term.p)
            for i in range(m):
                rows[r + i] = columns[3 * size + i]
            if gradient:
                k.transpose(units, m, columns + 2 * size, COLUMN_ALIGN, &delta[r, 0], units)
            r += m
        float_restore(state)


def _loss(specification, y, a, bint from_logits, bint gradient):
    cdef Term term
    a = as_matrix(a, "a")
    y = as_matrix(y, "y", a.dtype)
    set_term(&term, "loss", specification, from_logits, a.shape[1])
    name = named("loss", specification)[0]
    expected = (a.shape[0], target_columns(&term, &loss_table()[term.index], a.shape[1]))
    if y.shape != expected:
        raise ValueError(f"y has shape {y.shape}, but loss {name!r} of outputs of shape {a.shape} needs {expected}")
    if loss_table()[term.index].property == FNN_TARGETS_CLASS:
        ignored = term.p[0] if name.startswith("sparse") else np.nan
        wrong = np.flatnonzero(~((y >= 0) & (y < a.shape[1]) & (y == np.floor(y)) | (y == ignored)))
        if wrong.size:
            raise ValueError(f"y holds {y[wrong[0], 0]} in row {wrong[0]}; loss {name!r} needs class numbers from 0 to {a.shape[1] - 1}")
    rows = np.empty(a.shape[0], a.dtype)
    delta = np.empty(a.shape if gradient else (0, a.shape[1]), a.dtype)
    if a.shape[0]:
        if a.dtype == np.float32:
            loss_on_array[float](&term, y, a, rows, delta)
        else:
            loss_on_array[double](&term, y, a, rows, delta)
    return rows, delta


def loss_forward(name, y, a, *, bint from_logits=False):
    """Loss of each row.

    Parameters
    ----------
    name : str, or (str, parameters)
        One of ``fastnn.kernels.LOSSES``, with its parameters (see ``csrc/losses.def``) where they are not the defaults.
    y : array_like, shape (rows, units), or (rows, 1) class numbers for a sparse loss
        Targets.
    a : array_like, shape (rows, units), float32 or float64
        Outputs: probabilities, or logits with ``from_logits``.
    from_logits : bool, default False
        Whether `a` comes before the sigmoid or softmax (crossentropies only).

    Returns
    -------
    ndarray, shape (rows,)
        The dtype of `a`.

    Raises
    ------
    ValueError
        For an unknown name, or shapes that do not fit.
    """
    return _loss(name, y, a, from_logits, False)[0]


def loss_backward(name, y, a, *, bint from_logits=False):
    """Gradient, with respect to the outputs, of the mean over the rows of the loss.

    Parameters
    ----------
    name, y, a, from_logits
        As in :func:`loss_forward`.

    Returns
    -------
    ndarray, shape (rows, units)
        The dtype of `a`. Zero where Keras's clipping of probabilities to [1e-7, 1 - 1e-7] is at work.
    """
    return _loss(name, y, a, from_logits, True)[1]
