"""Results of an epoch: what sums over its rows, and counts of them, say. All in float64, in a fixed order; formulas as in Keras 3.

Counts of a confusion (``csrc/metrics.h``) say how many rows were above so many thresholds, with a target of 0 and of 1. What lies above
a threshold is the sum of all counts beyond it, so everything here walks from the highest threshold down.
"""
from libc.math cimport INFINITY, NAN, isinf, sqrt

from fastnn.kernels.plan cimport (
    FINISH_AUC,
    FINISH_BATCHES,
    FINISH_BEST,
    FINISH_F_SCORE,
    FINISH_MEAN,
    FINISH_R2,
    FINISH_ROOT_MEAN,
    FINISH_THRESHOLDS,
    SUM_LANES,
    Metric,
    Objective,
    tree_sum,
)
from fastnn.kernels.rates cimport logarithm

cdef enum Quantity:           # in the order of measures.QUANTITIES
    TRUE_POSITIVES
    FALSE_POSITIVES
    TRUE_NEGATIVES
    FALSE_NEGATIVES
    PRECISION
    RECALL
    SPECIFICITY

cdef enum Curve:              # of an area: option 0
    CURVE_ROC
    CURVE_PR
    CURVE_PR_GAIN

cdef enum Summation:          # option 1
    SUM_INTERPOLATION
    SUM_MINORING
    SUM_MAJORING

cdef enum Average:            # of F scores and R2: option 0
    AVERAGE_NONE
    AVERAGE_PLAIN             # macro; uniform_average
    AVERAGE_WEIGHTED          # weighted; variance_weighted_average
    AVERAGE_MICRO

cdef double EPSILON = 1e-7

cdef struct Confusion:
    double tp
    double fp
    double tn
    double fn


cdef inline double ratio(double a, double b) noexcept nogil:
    return a / b if b != 0 else 0.0


# ---- confusions ----

cdef Confusion start(const Metric *m, const double *counts) noexcept nogil:
    # above all thresholds there is nothing: everything is negative
    cdef Confusion c
    cdef Py_ssize_t i
    c.tp = c.fp = c.tn = c.fn = 0
    for i in range(m.counts // 2):
        c.tn += counts[2 * i]
        c.fn += counts[2 * i + 1]
    return c


cdef inline void lower(Confusion *c, const double *counts, Py_ssize_t threshold) noexcept nogil:
    # from threshold number `threshold` + 1 to this one
    c.fp += counts[2 * threshold + 2]
    c.tp += counts[2 * threshold + 3]
    c.tn -= counts[2 * threshold + 2]
    c.fn -= counts[2 * threshold + 3]


cdef double quantity(const Confusion *c, int kind) noexcept nogil:
    if kind == TRUE_POSITIVES:
        return c.tp
    if kind == FALSE_POSITIVES:
        return c.fp
    if kind == TRUE_NEGATIVES:
        return c.tn
    if kind == FALSE_NEGATIVES:
        return c.fn
    if kind == PRECISION:
        return ratio(c.tp, c.tp + c.fp)
    if kind == RECALL:
        return ratio(c.tp, c.tp + c.fn)
    return ratio(c.tn, c.tn + c.fp)


cdef void at_thresholds(const Metric *m, const double *counts, double *result) noexcept nogil:
    # option 0: the quantity; vector: where each threshold's result goes
    cdef Confusion c = start(m, counts)
    cdef Py_ssize_t t
    for t in range(<Py_ssize_t>m.settings.thresholds - 1, -1, -1):
        lower(&c, counts, t)
        result[<Py_ssize_t>m.vector[t]] = quantity(&c, <int>m.option[0])


cdef double best(const Metric *m, const double *counts) noexcept nogil:
    # the largest quantity of option 1 among the thresholds where that of option 0 is at least option 2
    cdef Confusion c = start(m, counts)
    cdef Py_ssize_t t
    cdef double found = 0
    for t in range(<Py_ssize_t>m.settings.thresholds - 1, -1, -1):
        lower(&c, counts, t)
        if quantity(&c, <int>m.option[0]) >= m.option[2]:
            found = max(found, quantity(&c, <int>m.option[1]))
    return found


cdef void point(const Confusion *c, int curve, double *x, double *y) noexcept nogil:
    # x, y (OUT): of a curve
    cdef double scale
    if curve == CURVE_ROC:
        x[0] = ratio(c.fp, c.fp + c.tn)
        y[0] = quantity(c, RECALL)
    elif curve == CURVE_PR:
        x[0] = quantity(c, RECALL)
        y[0] = quantity(c, PRECISION)
    else:
        scale = ratio(c.tp + c.fn, c.tn + c.fp)
        x[0] = max(0.0, 1 - scale * ratio(c.fn, c.tp)) if c.tp != 0 else 0.0
        y[0] = 1 - scale * ratio(c.fp, c.tp) if c.tp != 0 else 1.0


cdef double under_pr(const Confusion *low, const Confusion *high) noexcept nogil:
    # between two thresholds, true positives and all positives change together, not their ratio (Davis & Goadrich, "The relationship
    # between precision-recall and ROC curves", 2006)
    cdef double gained = low.tp - high.tp, p_low = low.tp + low.fp, p_high = high.tp + high.fp
    cdef double slope = ratio(gained, max(p_low - p_high, 0.0)), intercept = high.tp - slope * p_high
    cdef double growth = ratio(p_low, max(p_high, 0.0)) if p_low > 0 and p_high > 0 else 1.0
    cdef double log_growth, rest
    logarithm(growth, &log_growth, &rest)
    return ratio(slope * (gained + intercept * (log_growth + rest)), max(high.tp + high.fn, 0.0))


cdef double area(const Metric *m, const double *counts) noexcept nogil:
    cdef Confusion high, low = start(m, counts)
    cdef int curve = <int>m.option[0], summation = <int>m.option[1]
    cdef Py_ssize_t t, last = <Py_ssize_t>m.settings.thresholds - 1
    cdef double sum = 0, x0, y0, x1, y1, height
    lower(&low, counts, last)
    point(&low, curve, &x0, &y0)
    for t in range(last - 1, -1, -1):
        high = low
        x1, y1 = x0, y0
        lower(&low, counts, t)
        point(&low, curve, &x0, &y0)
        if curve == CURVE_PR and summation == SUM_INTERPOLATION:
            sum += under_pr(&low, &high)
            continue
        height = (y0 + y1) / 2 if summation == SUM_INTERPOLATION else min(y0, y1) if summation == SUM_MINORING else max(y0, y1)
        sum += (x0 - x1) * height
    return sum


cdef double areas(const Metric *m, const double *counts) noexcept nogil:
    # of one confusion, or the mean of each label's own, weighted by `vector`
    cdef double sum = 0, weights = 0, w
    cdef Py_ssize_t g
    if m.groups == 1:
        return area(m, counts)
    for g in range(m.groups):
        w = m.vector[g] if m.vector != NULL else 1.0
        sum += w * area(m, counts + g * m.counts)
        weights += w
    return ratio(sum, weights)


# ---- sums ----

cdef void f_scores(const Metric *m, const double *sums, double *result) noexcept nogil:
    # option 0: the average; option 1: beta^2
    cdef Py_ssize_t j, units = m.units
    cdef int average = <int>m.option[0]
    cdef double tp = 0, guessed = 0, true = 0, all_true = 0, score, total = 0
    for j in range(units):
        all_true += tree_sum(sums + (2 * units + j) * SUM_LANES)
    for j in range(units):
        tp = tp + tree_sum(sums + j * SUM_LANES)
        guessed = guessed + tree_sum(sums + (units + j) * SUM_LANES)
        true = true + tree_sum(sums + (2 * units + j) * SUM_LANES)
        if average == AVERAGE_MICRO and j + 1 < units:
            continue
        score = f_score(tp, guessed, true, m.option[1])
        if average == AVERAGE_NONE:
            result[j] = score
        elif average == AVERAGE_PLAIN:
            total += score / units
        elif average == AVERAGE_WEIGHTED:
            total += score * (true / (all_true + EPSILON))
        else:
            total = score
        tp = guessed = true = 0
    if average != AVERAGE_NONE:
        result[0] = total


cdef inline double f_score(double tp, double guessed, double true, double beta2) noexcept nogil:
    cdef double precision = tp / (guessed + EPSILON), recall = tp / (true + EPSILON)
    return precision * recall / (beta2 * precision + recall + EPSILON) * (1 + beta2)


cdef void r2_scores(const Metric *m, const double *sums, double weight, Py_ssize_t rows, double *result) noexcept nogil:
    # option 0: the average; option 1: regressors, which adjust it
    cdef int average = <int>m.option[0]
    cdef Py_ssize_t j, units = m.units, width = units if average == AVERAGE_NONE else 1
    cdef double y, squares, miss, total, score, scores = 0, totals = 0, samples = <double>rows * units
    for j in range(units):
        y = tree_sum(sums + j * SUM_LANES)
        squares = tree_sum(sums + (units + j) * SUM_LANES)
        miss = tree_sum(sums + (2 * units + j) * SUM_LANES)
        total = squares - y * (y / weight)
        score = 1 - divide(miss, total)
        if isinf(score):
            score = 0
        if average == AVERAGE_NONE:
            result[j] = score
        elif average == AVERAGE_PLAIN:
            scores += score
            totals += 1
        else:
            scores += score * total
            totals += total
    if average != AVERAGE_NONE:
        result[0] = divide(scores, totals)
    if m.option[1] != 0 and m.option[1] < samples - 1:
        for j in range(width):
            result[j] = 1 - (1 - result[j]) * (samples - 1) / (samples - m.option[1] - 1)


cdef inline double divide(double a, double b) noexcept nogil:
    # as floating-point hardware does, whatever cdivision says of zero
    if b != 0:
        return a / b
    return NAN if a == 0 or a != a else INFINITY if a > 0 else -INFINITY


cdef double intersection_over_union(const Metric *m, const double *counts) noexcept nogil:
    # option 0: classes; vector: which of them; the mean over those that occur
    cdef Py_ssize_t classes = <Py_ssize_t>m.option[0], i, j, c
    cdef double sum = 0, seen = 0, both
    for i in range(m.vector_size):
        c = <Py_ssize_t>m.vector[i]
        both = -counts[c * classes + c]
        for j in range(classes):
            both += counts[c * classes + j] + counts[j * classes + c]
        if both > 1e-9:
            sum += counts[c * classes + c] / (both + EPSILON)
            seen += 1
    return sum / (seen + EPSILON)


cdef void finish_all(const Objective *objective, const double *state, Py_ssize_t rows, double *result) noexcept nogil:
    """result (OUT): the loss's mean and every metric's results over so many rows; zeros for none."""
    cdef const Metric *m
    cdef const double *own
    cdef double all_weight, weight
    cdef Py_ssize_t i
    for i in range(objective.results):
        result[i] = 0.0
    if rows == 0:
        return
    result[0] = tree_sum(state) / <double>rows
    all_weight = tree_sum(state + SUM_LANES) if objective.weights > 0 else <double>rows
    for i in range(objective.metrics):
        m = &objective.metric[i]
        own = state + m.state
        weight = all_weight if m.weighted else <double>rows
        if m.finish == FINISH_MEAN:
            result[m.result] = ratio(tree_sum(own), weight)
        elif m.finish == FINISH_BATCHES:
            result[m.result] = ratio(tree_sum(own), own[SUM_LANES])
        elif m.finish == FINISH_ROOT_MEAN:
            result[m.result] = sqrt(ratio(tree_sum(own), weight))
        elif m.finish == FINISH_THRESHOLDS:
            at_thresholds(m, own, result + m.result)
        elif m.finish == FINISH_BEST:
            result[m.result] = best(m, own)
        elif m.finish == FINISH_AUC:
            result[m.result] = areas(m, own)
        elif m.finish == FINISH_F_SCORE:
            f_scores(m, own, result + m.result)
        elif m.finish == FINISH_R2:
            r2_scores(m, own, weight, rows, result + m.result)
        else:
            result[m.result] = intersection_over_union(m, own)
