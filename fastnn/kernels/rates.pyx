"""Learning rates that are functions of the number of steps done, evaluated once a step.

The formulas are those of ``fastnn/optimizers/schedules.py``, in double precision. Powers and cosines are computed here, from additions,
multiplications, divisions and exact scaling alone, since the C library's are not the same bits everywhere.
"""
import numpy as np

from libc.math cimport ceil, floor, frexp, isfinite, ldexp
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastnn.kernels.names import check_name

# name: parameters, in the order of plan.ScheduleKind
SCHEDULES = {
    "exponential": ("initial_learning_rate", "decay_steps", "decay_rate", "staircase"),
    "inverse_time": ("initial_learning_rate", "decay_steps", "decay_rate", "staircase"),
    "polynomial": ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle"),
    "piecewise": (),
    "cosine": ("initial_learning_rate", "decay_steps", "alpha", "has_warmup", "warmup_target", "warmup_steps"),
    "cosine_restarts": ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha"),
    "one_cycle": ("max_learning_rate", "total_steps", "warmup_fraction", "initial_divisor", "final_divisor"),
    "table": (),
}

cdef enum:
    AHEAD = 1024                            # steps that a user's own function is asked ahead

cdef double LN2_HIGH = 0.6931471803691238   # with so many zeros at its end that products with small integers are exact
cdef double LN2_LOW = 1.9082149292705878161e-10
cdef double LOG2_E = 1.4426950408889634
cdef double PI = 3.141592653589793
cdef double SPLIT = 134217729.0             # 2^27 + 1: cuts a double in two halves whose products are exact
cdef double HALF_ROOT = 0.7071067811865476


cdef void logarithm(double x, double *high, double *low) noexcept nogil:
    """log x = high + low (OUT), for x > 0."""
    # x = m 2^k, m = 1 + f in [sqrt(1/2), sqrt 2); log(1 + f) = f - (h - s (h + R)) with s = f / (2 + f), h = f^2 / 2 and
    # R = 2/3 s^2 + 2/5 s^4 + ..., of which eleven terms leave 1e-18
    cdef int k, i
    cdef double m = frexp(x, &k), f, s, s2, h, r = 0.0, t, top
    if m < HALF_ROOT:
        m *= 2.0
        k -= 1
    f = m - 1.0
    s = f / (2.0 + f)
    s2 = s * s
    h = 0.5 * f * f
    for i in range(11, 0, -1):
        r = s2 * (2.0 / (2 * i + 1) + r)
    t = h - s * (h + r)
    high[0] = f - t
    low[0] = (f - high[0]) - t
    if k != 0:
        top = k * LN2_HIGH + high[0]
        low[0] += (high[0] - (top - k * LN2_HIGH)) + k * LN2_LOW
        high[0] = top


cdef double exponential(double high, double low, double x) noexcept nogil:
    """e^(x (high + low)), to about one unit in the last place."""
    cdef double p = x * high, c, x1, x2, h1, h2, tail, n, r, q = 0.0
    cdef int i
    if p > 709.0 or p < -708.0:
        return ldexp(1.0, 1024) if p > 0 else 0.0
    c = SPLIT * x
    x1 = c - (c - x)
    x2 = x - x1
    c = SPLIT * high
    h1 = c - (c - high)
    h2 = high - h1
    tail = (((x1 * h1 - p) + x1 * h2 + x2 * h1) + x2 * h2) + x * low  # what the rounding of p lost
    n = floor(p * LOG2_E + 0.5)
    r = ((p - n * LN2_HIGH) - n * LN2_LOW) + tail
    for i in range(14, 0, -1):  # e^r - 1 by Taylor's series, on |r| < 0.35
        q = (1.0 + q) * (r / i)
    return ldexp(1.0 + q, <int>n)


cdef double real_power(double base, double exponent) noexcept nogil:
    """base^exponent for base, exponent >= 0; 0^0 = 1."""
    cdef double high, low
    if exponent == 0.0 or base == 1.0:
        return 1.0
    if exponent == 1.0 or base == 0.0:
        return base
    logarithm(base, &high, &low)
    return exponential(high, low, exponent)


cdef double cosine(double x) noexcept nogil:
    """cos(pi x) for 0 <= x <= 1."""
    # Taylor's series, on at most an eighth of a turn
    cdef double y, y2, sum = 0.0, sign = 1.0
    cdef int i
    if x >= 0.75:
        x = 1.0 - x
        sign = -1.0
    if x <= 0.25:
        y = PI * x
        y2 = y * y
        for i in range(18, 0, -2):
            sum = (1.0 + sum) * (-y2 / (i * (i - 1)))
        return sign * (1.0 + sum)
    y = PI * (0.5 - x)
    y2 = y * y
    for i in range(19, 1, -2):
        sum = (1.0 + sum) * (-y2 / (i * (i - 1)))
    return y + y * sum


cdef double piecewise(const Schedule *s, double step) noexcept nogil:
    # the value before the first boundary that is not below the step
    cdef Py_ssize_t low = 0, high = s.count - 1, middle
    while low < high:
        middle = (low + high) // 2
        if step <= s.boundaries[middle]:
            high = middle
        else:
            low = middle + 1
    return s.values[low]


cdef double cosine_restarts(Schedule *s, double fraction) noexcept nogil:
    # found anew from the first, or on from the last one found: the same sums and products either way
    cdef const double *p = &s.p[0]
    if p[2] == 1.0:
        s.start = floor(fraction)
        s.length = 1.0
        s.height = real_power(p[3], s.start)
    elif s.length == 0.0 or fraction < s.start:
        s.start = 0.0
        s.length = 1.0
        s.height = 1.0
    while fraction >= s.start + s.length:
        if s.start + s.length == s.start:  # t_mul < 1: all restarts are over
            return p[0] * p[4]
        s.start += s.length
        s.length *= p[2]
        s.height *= p[3]
    return p[0] * ((1.0 - p[4]) * (0.5 * s.height * (1.0 + cosine((fraction - s.start) / s.length))) + p[4])


cdef double one_cycle(const double *p, double step) noexcept nogil:
    cdef double up = p[2] * p[1], begin = p[0] / p[3], end = p[0] / p[3] / p[4]
    if step < up:
        return begin + (p[0] - begin) * (0.5 * (1.0 - cosine(step / up)))
    if step >= p[1]:
        return end
    return end + (p[0] - end) * (0.5 * (1.0 + cosine((step - up) / (p[1] - up))))


cdef double scheduled_rate(Schedule *s, int64_t step) noexcept nogil:
    """The learning rate after so many steps."""
    cdef const double *p = &s.p[0]
    cdef double at = <double>step, fraction, steps
    if s.kind == SCHEDULE_TABLE:
        return s.values[min(max(step - s.first, <int64_t>0), <int64_t>s.count - 1)]
    if s.kind == SCHEDULE_PIECEWISE:
        return piecewise(s, at)
    if s.kind == SCHEDULE_ONE_CYCLE:
        return one_cycle(p, at)
    if s.kind == SCHEDULE_COSINE_RESTARTS:
        return cosine_restarts(s, at / p[1])
    if s.kind == SCHEDULE_COSINE:
        if p[3] == 0.0:
            return p[0] * ((1.0 - p[2]) * (0.5 * (1.0 + cosine(min(at, p[1]) / p[1]))) + p[2])
        if at < p[5]:
            return (p[4] - p[0]) * (at / p[5]) + p[0]
        return p[4] * ((1.0 - p[2]) * (0.5 * (1.0 + cosine(min(at - p[5], p[1]) / p[1]))) + p[2])
    if s.kind == SCHEDULE_POLYNOMIAL:
        steps = p[1]
        if p[4] == 0.0:
            at = min(at, steps)
        elif at > 0.0:
            steps *= ceil(at / steps)
        return (p[0] - p[2]) * real_power(1.0 - at / steps, p[3]) + p[2]
    fraction = floor(at / p[1]) if p[3] != 0.0 else at / p[1]
    if s.kind == SCHEDULE_INVERSE_TIME:
        return p[0] / (1.0 + p[2] * fraction)
    if p[2] == 0.0:
        return p[0] if fraction == 0.0 else 0.0
    return p[0] * exponential(s.log_base[0], s.log_base[1], fraction)


cdef class Rates:
    """A schedule of learning rates, and the memory that it reads.

    Parameters
    ----------
    kind : str
        One of ``SCHEDULES``.
    parameters : sequence of float
        In the order of ``SCHEDULES[kind]``, flags as 0 and 1; checked by the caller.
    boundaries, values : sequence of float, optional
        Of "piecewise": ``values[i]`` holds up to and including step ``boundaries[i]``, the last value from there on.
    function : callable, optional
        Of "table": from the number of steps done to the learning rate. Asked for ``AHEAD`` steps at once.
    """

    def __init__(self, str kind, parameters=(), boundaries=None, values=None, function=None):
        cdef int i
        check_name("schedule", kind, tuple(SCHEDULES))
        if len(parameters) != len(SCHEDULES[kind]):
            raise ValueError(f"schedule {kind!r} has the parameters {', '.join(SCHEDULES[kind])}; got {len(parameters)} numbers")
        memset(&self.schedule, 0, sizeof(Schedule))
        self.schedule.kind = <ScheduleKind><int>list(SCHEDULES).index(kind)
        for i in range(len(parameters)):
            self.schedule.p[i] = parameters[i]
        if self.schedule.kind == SCHEDULE_EXPONENTIAL and self.schedule.p[2] > 0.0:
            logarithm(self.schedule.p[2], &self.schedule.log_base[0], &self.schedule.log_base[1])
        self.function = function
        if kind == "table":
            self.values = np.zeros(AHEAD)
        elif kind == "piecewise":
            self.values = np.array(values, np.float64)
            if len(values) > 1:
                self.boundaries = np.array(boundaries, np.float64)
                self.schedule.boundaries = &self.boundaries[0]
        if self.values is not None:
            self.schedule.values = &self.values[0]
            self.schedule.count = self.values.shape[0]

    cdef int64_t fill(self, int64_t step) except -1:
        """Of a table: ask the function for the steps from `step` on, if they are not there. Returns the first step that is not."""
        cdef Py_ssize_t i
        if self.filled and self.schedule.first <= step < self.schedule.first + AHEAD:
            return self.schedule.first + AHEAD
        # an array of its own: another training may read the one before
        cdef double[::1] values = np.empty(AHEAD)
        for i in range(AHEAD):
            value = self.function(step + i)
            try:
                values[i] = float(np.asarray(value).reshape(()))
            except (TypeError, ValueError):
                raise TypeError(f"the learning-rate schedule {self.function!r} gave {value!r} for step {step + i}; expected a number") \
                    from None
            if not isfinite(values[i]) or values[i] < 0.0:
                raise ValueError(f"the learning-rate schedule {self.function!r} gave {value!r} for step {step + i}; expected a finite "
                                 "number of at least 0")
        self.values = values
        self.filled = True
        self.schedule.values = &self.values[0]
        self.schedule.first = step
        return step + AHEAD

    def __call__(self, int64_t step):
        """The learning rate after `step` steps."""
        if self.function is not None:
            return float(np.asarray(self.function(step)).reshape(()))
        return scheduled_rate(&self.schedule, step)


def power_of(double base, double exponent):
    """``base**exponent`` for numbers of at least 0, as schedules compute it."""
    return real_power(base, exponent)


def cosine_of_pi(double x):
    """``cos(pi * x)`` for 0 <= x <= 1, as schedules compute it."""
    return cosine(x)
