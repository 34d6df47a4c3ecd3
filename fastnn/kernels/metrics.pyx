"""Metrics: from descriptions to the kernels' table, row values, and what an epoch keeps of them.

A metric is three things. A kernel makes values of each row, in the rows phase, by whoever has the rows. Between two steps, one thread
adds them to the epoch's state, in the order of the rows: to sums in 16 lanes, or to the counts whose numbers the values are. At the
epoch's end, ``scores.pyx`` makes results of the state. So nothing depends on threads or instruction sets.
"""
import numpy as np

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport (
    FNN_TARGETS_ANY,
    FNN_TARGETS_CLASS,
    FNN_TARGETS_UNITS,
    fnn_kernels,
    fnn_operation,
)
from fastnn.kernels.losses cimport set_term, target_columns
from fastnn.kernels.plan cimport COLUMN_ALIGN, FINISH_AUC, FINISH_BATCHES, FINISH_OPTIONS, FINISH_R2, SUM_LANES, FinishKind, round_up
from fastnn.kernels.runtime cimport float_flush, float_restore, kernels_for, loss_table, metric_table
from fastnn.kernels.scores cimport finish_all

from fastnn.kernels.arrays import as_matrix
from fastnn.kernels.measures import FINISHES, measured
from fastnn.kernels.names import check_name

# What leaves several blocks of columns, and what can be made of what is not a mean.
BLOCKS = {"f_score": 3, "r2_score": 2}
MEANS = ("mean", "root_mean", "batches")
ROWS_FINISHES = {
    "confusion": ("thresholds", "best", "auc"),
    "f_score": ("f_score",),
    "r2_score": ("r2",),
    "iou": ("iou",),
}


cdef class Metrics:
    def __init__(self):
        self.arrays = []

    cdef const double *keep(self, values) except? NULL:
        # a copy of some numbers that lives as long as this
        cdef double[::1] array = np.array(values, np.float64)
        self.arrays.append(array)
        return &array[0] if array.shape[0] else NULL

    cdef int add(self, Metric *m, Objective *objective, measure) except -1:
        """m (OUT): one metric of an output of m.units units; its columns, state and results come behind the others'."""
        cdef const fnn_operation *operation
        cdef int i
        check_name("finish", measure.finish, FINISHES)
        if measure.finish not in ROWS_FINISHES.get(measure.rows, MEANS):
            raise ValueError(f"finish {measure.finish!r} does not go with row values {measure.rows!r}")
        cdef bint classes = objective.kind == FNN_TARGETS_CLASS
        name = measure.rows + ("_logits" if measure.from_logits else "")
        set_term(&m.term, "metric", (name, measure.parameters), False, m.units)
        operation = &loss_table()[m.term.index] if m.term.is_loss else &metric_table()[m.term.index]
        m.settings.p = m.term.p
        # of one unit, class numbers are as good as targets
        if m.units > 1 and operation.property != FNN_TARGETS_ANY and (
                (operation.property == FNN_TARGETS_CLASS) != classes or target_columns(&m.term, operation, m.units) != objective.targets):
            raise ValueError(f"metric {measure.rows!r} does not take the targets of this loss")
        if len(measure.options) > FINISH_OPTIONS:
            raise ValueError(f"metric {measure.rows!r} has more options than there is room for")
        for i, value in enumerate(measure.options):
            m.option[i] = value
        if measure.unit is not None and not 0 <= measure.unit < m.units:
            raise ValueError(f"metric {measure.rows!r} looks at unit {measure.unit}; there are {m.units}")
        m.settings.first = 0 if measure.unit is None else measure.unit
        m.settings.count = m.units if measure.unit is None else 1
        m.settings.thresholds = len(measure.thresholds)
        m.settings.threshold = self.keep(measure.thresholds)
        m.vector = self.keep(measure.vector)
        m.vector_size = len(measure.vector)
        m.weighted = measure.weighted
        m.whole = measure.whole
        m.finish = <FinishKind><int>FINISHES.index(measure.finish)
        m.groups = 1
        m.counts = 0
        m.columns = BLOCKS.get(measure.rows, 0) * m.units or 1
        if measure.rows == "confusion":
            m.columns = m.settings.count
            m.counts = 2 * (len(measure.thresholds) + 1)
            m.groups = m.columns if measure.separate else 1
        elif measure.rows == "iou":
            m.columns = m.units if m.term.p[2] and m.term.p[3] else 1
            m.counts = <Py_ssize_t>(m.term.p[0] * m.term.p[0])
            alike = (m.term.p[2] != 0) == (m.term.p[3] != 0)
            if m.units > 1 and (alike == classes or not classes and objective.targets != m.units):
                raise ValueError(f"metric {measure.rows!r} with these arguments does not take the targets of this loss")
        m.width = 1
        if measure.finish == "thresholds":
            m.width = len(measure.thresholds)
        elif measure.finish in ("f_score", "r2") and measure.options[0] == 0:
            m.width = m.units
        m.column = objective.columns
        m.state = objective.state
        m.result = objective.results
        objective.columns += m.columns
        sums = 3 * m.units if m.finish == FINISH_R2 else 2 if m.finish == FINISH_BATCHES else m.columns
        objective.state += m.counts * m.groups if m.counts else SUM_LANES * sums
        objective.results += m.width
        return 0


cdef Metrics make_metrics(Objective *objective, measures, Py_ssize_t units):
    """objective (OUT): what it says of metrics; its loss is there. What is returned has to live as long."""
    cdef Metrics made = Metrics()
    cdef Metric *m
    cdef int i
    found = [measured(given) for given in measures]
    made.table = Arena(max(1, len(found)) * sizeof(Metric))
    m = <Metric *>made.table.base
    objective.columns = objective.results = 1
    objective.state = SUM_LANES
    objective.weights = 0
    if any(one.weighted for one in found):
        objective.weights = 1
        objective.columns += 1
        objective.state += SUM_LANES
    objective.metrics = len(found)
    objective.metric = m
    for i, one in enumerate(found):
        m[i].units = units
        made.add(&m[i], objective, one)
    made.widths = tuple([m[i].width for i in range(len(found))])
    return made


cdef void measure_rows(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted, Py_ssize_t begin,
                       Py_ssize_t n, Py_ssize_t value_at) noexcept nogil:
    """The metrics' values of rows [begin, begin + n), whose outputs are there, from `value_at` on."""
    cdef const fnn_kernels *k = plan.kernels
    cdef real *out = work + plan.output.a.offset + begin
    cdef const real *y = work + space.y + begin
    cdef const real *weight = work + space.weight + begin
    cdef real *values = work + space.values + value_at
    cdef real *value
    cdef Py_ssize_t ld = space.capacity, i
    cdef const Metric *m
    if weighted and objective.weights > 0:
        memcpy(values + objective.weights * space.value_rows, weight, n * sizeof(real))
    for i in range(objective.metrics):
        m = &objective.metric[i]
        value = values + m.column * space.value_rows
        if m.term.is_loss:
            k.loss[m.term.index](n, m.units, out, ld, y, ld, NULL, 1.0, NULL, ld, value, m.term.p)
        else:
            k.metric[m.term.index](&m.settings, n, m.units, out, ld, y, ld, value, space.value_rows)
        if weighted and m.weighted and m.counts == 0 and m.finish != FINISH_R2:
            k.multiply_rows(m.columns, n, value, space.value_rows, weight, 0, value, space.value_rows)


cdef void fold_rows(const Plan *plan, const Space *space, const Objective *objective, const Source *source, const void *work,
                    Py_ssize_t start, Py_ssize_t rows, Py_ssize_t batch, double *state) noexcept nogil:
    """state (IN and OUT): the epoch's, with what the first `rows` rows of values add to it, which are those from `start` on, in batches
    of `batch` rows (0: these rows are one)."""
    cdef bint weighted = source.weight != NULL
    cdef const fnn_kernels *k = plan.kernels
    cdef Py_ssize_t item = <Py_ssize_t>k.itemsize, ld = space.value_rows * item, i, c
    cdef const char *values = <const char *>work + space.values * item
    cdef const char *weight = values + objective.weights * ld
    cdef const Metric *m
    k.sum_lanes(rows, values, state)
    if objective.weights > 0:
        if weighted:
            k.sum_lanes(rows, weight, state + SUM_LANES)
        else:
            state[SUM_LANES] += <double>rows
    for i in range(objective.metrics):
        m = &objective.metric[i]
        if m.finish == FINISH_BATCHES:
            if item == 4:
                add_means(source, <const float *>(values + m.column * ld), start, rows, batch, state + m.state)
            else:
                add_means(source, <const double *>(values + m.column * ld), start, rows, batch, state + m.state)
        elif m.counts == 0 and m.finish != FINISH_R2:
            for c in range(m.columns):
                k.sum_lanes(rows, values + (m.column + c) * ld, state + m.state + c * SUM_LANES)
        elif item == 4:
            add_rows(m, <const float *>(values + m.column * ld), space.value_rows,
                     <const float *>weight if weighted and m.weighted else NULL, rows, state + m.state)
        else:
            add_rows(m, <const double *>(values + m.column * ld), space.value_rows,
                     <const double *>weight if weighted and m.weighted else NULL, rows, state + m.state)


cdef inline void add_rows(const Metric *m, const real *value, Py_ssize_t ld, const real *weight, Py_ssize_t rows,
                          double *state) noexcept nogil:
    if m.counts == 0:
        add_moments(m, value, ld, weight, rows, state)
    else:
        count_rows(m, value, ld, weight, rows, state)


cdef void add_means(const Source *source, const real *value, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t batch,
                    double *sums) noexcept nogil:
    # sums (IN and OUT): SUM_LANES of the batches' means, then the number of batches; a batch may come in several calls
    cdef Py_ssize_t r, first, n
    for r in range(rows):
        first = start if batch == 0 else (start + r) // batch * batch
        n = rows if batch == 0 else min(batch, source.rows - first)
        sums[r % SUM_LANES] += <double>value[r] / <double>n
        if start + r == first:
            sums[SUM_LANES] += 1.0


cdef void count_rows(const Metric *m, const real *value, Py_ssize_t ld, const real *weight, Py_ssize_t rows, double *counts) noexcept nogil:
    # counts (IN and OUT): the one whose number a value is grows by the weights of row and label; a value that is no number is none
    cdef Py_ssize_t c, r
    cdef double w
    cdef double *own
    cdef bint labels = m.finish == FINISH_AUC and m.groups == 1 and m.vector != NULL
    for r in range(rows):  # outside, or the order would depend on how many rows come at once
        w = weight[r] if weight != NULL else 1.0
        if m.whole:
            w = <double><long long>w
        for c in range(m.columns):
            if 0 <= value[c * ld + r] < m.counts:
                own = counts + c * m.counts if m.groups > 1 else counts
                own[<Py_ssize_t>value[c * ld + r]] += w * m.vector[c] if labels else w


cdef void add_moments(const Metric *m, const real *value, Py_ssize_t ld, const real *weight, Py_ssize_t rows, double *sums) noexcept nogil:
    # sums (IN and OUT), SUM_LANES each, of w y, w y^2 and w d^2: products in float64, since the spread of targets far from zero is a small
    # difference of large numbers
    cdef Py_ssize_t j, r, units = m.units
    cdef double y, d, w
    cdef double *own
    for j in range(units):
        for r in range(rows):
            own = sums + j * SUM_LANES + r % SUM_LANES
            y = value[j * ld + r]
            d = value[(units + j) * ld + r]
            w = weight[r] if weight != NULL else 1.0
            own[0] += w * y
            own[units * SUM_LANES] += w * y * y
            own[2 * units * SUM_LANES] += w * d * d


# ---- on arrays ----

cdef results_on_arrays(Metrics metrics, Objective *objective, const real[:, ::1] y, const real[:, ::1] a, weight):
    # as at a network's output, all rows at once
    cdef Plan plan
    cdef Space space
    cdef Source source
    cdef const real[::1] w
    cdef Py_ssize_t n = a.shape[0], units = a.shape[1], ld = round_up(n, COLUMN_ALIGN), r
    cdef double[::1] state = np.zeros(objective.state)
    cdef double[::1] result = np.zeros(objective.results)
    cdef real[::1] work = np.zeros(ld * (units + y.shape[1] + 1 + objective.columns), np.float32 if real is float else np.float64)
    cdef uint64_t modes
    memset(&plan, 0, sizeof(Plan))
    memset(&space, 0, sizeof(Space))
    memset(&source, 0, sizeof(Source))
    plan.kernels = kernels_for(sizeof(real))
    space.capacity = space.value_rows = ld
    space.y = ld * units
    space.weight = space.y + ld * y.shape[1]
    space.values = space.weight + ld
    if weight is not None:
        w = weight
        source.weight = &w[0]
        for r in range(n):
            work[space.weight + r] = w[r]
    modes = float_flush()
    plan.kernels.transpose(n, units, &a[0, 0], units, &work[0], ld)
    plan.kernels.transpose(n, y.shape[1], &y[0, 0], y.shape[1], &work[space.y], ld)
    measure_rows(&plan, &space, objective, &work[0], weight is not None, 0, n, 0)
    fold_rows(&plan, &space, objective, &source, &work[0], 0, n, 0, &state[0])
    finish_all(objective, &state[0], n, &result[0])
    float_restore(modes)
    return np.asarray(result)[1:]


def metric_results(measure, y, a, sample_weight=None, *, bint class_numbers=False):
    """Results of a metric over rows.

    Parameters
    ----------
    measure : Measure or str
        A name out of ``fastnn.kernels.METRICS`` and ``LOSSES`` stands for its mean.
    y : array_like, shape (rows, units), or (rows, 1) with `class_numbers`
        Targets.
    a : array_like, shape (rows, units), float32 or float64
        Outputs.
    sample_weight : array_like, shape (rows,), optional
        Matters where the measure is weighted.
    class_numbers : bool, default False
        Whether the targets are class numbers.

    Returns
    -------
    ndarray of float64, shape (results,)

    Raises
    ------
    ValueError
        For unknown names, shapes that do not fit, or no rows.
    """
    cdef Objective objective
    cdef Metrics made
    a = as_matrix(a, "a")
    y = as_matrix(y, "y", a.dtype)
    expected = (a.shape[0], 1 if class_numbers else a.shape[1])
    if a.size == 0 or y.shape != expected:
        raise ValueError(f"y has shape {y.shape}, but outputs of shape {a.shape} need {expected}, and at least one row")
    weight = None
    if sample_weight is not None:
        weight = np.require(sample_weight, a.dtype, ["C", "A"])
        if weight.shape != a.shape[:1]:
            raise ValueError(f"sample_weight has shape {weight.shape} for {a.shape[0]} rows")
    objective.kind = FNN_TARGETS_CLASS if class_numbers else FNN_TARGETS_UNITS
    objective.targets = y.shape[1]
    made = make_metrics(&objective, [measure], a.shape[1])
    if a.dtype == np.float32:
        return results_on_arrays[float](made, &objective, y, a, weight)
    return results_on_arrays[double](made, &objective, y, a, weight)
