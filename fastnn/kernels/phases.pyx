"""The phases of a step on rows: forward to the output and back, cut wherever an operation looks at all rows of the batch at once."""
from fastnn.kernels.plan cimport (
    ENDING_APART,
    ENDING_LOSS,
    ENDING_NONE,
    ENDING_OUTPUT,
    ENDING_UPSTREAM,
    OP_BATCH_NORM,
    PHASE_LOSS,
    PHASE_MOMENTS,
    PHASE_ROWS,
    PHASE_SLOPES,
    Ending,
    PhaseKind,
    Plan,
    Stretch,
)


cdef int forward_phases(const Plan *plan, bint still, PhaseKind *kind, Stretch *stretch) noexcept:
    """kind, stretch (OUT): the phases from the input to the output; returns how many there are.

    To each operation that couples rows, and on from there. Outside training (`still`) none does.
    """
    cdef Py_ssize_t i, first = 0
    cdef int n = 0
    for i in range(plan.nodes):
        if still or not couples(plan, i):
            continue
        if first < i or i == 0:
            kind[n] = PHASE_ROWS
            stretch[n] = Stretch(first, i, -1, 0, ENDING_NONE)
            n += 1
        kind[n] = PHASE_MOMENTS
        stretch[n] = Stretch(i, 0, -1, 0, ENDING_NONE)
        n += 1
        first = i
    kind[n] = PHASE_ROWS
    stretch[n] = Stretch(first, plan.nodes, -1, 0, ENDING_OUTPUT)
    return n + 1


cdef int backward_phases(const Plan *plan, bint still, PhaseKind *kind, Stretch *stretch) noexcept:
    """The same from the output back to where deltas are no longer needed: from each operation that couples rows to the one before."""
    cdef Py_ssize_t i, nothing = plan.nodes + 1, back = plan.nodes - 1
    cdef int n = 0
    cdef Ending ending = ENDING_UPSTREAM
    for i in range(plan.nodes - 1, plan.lowest, -1):
        if still or not couples(plan, i):
            continue
        kind[n] = PHASE_ROWS
        stretch[n] = Stretch(nothing, nothing, back, i + 1, ending)
        kind[n + 1] = PHASE_SLOPES
        stretch[n + 1] = Stretch(i, 0, -1, 0, ENDING_NONE)
        n += 2
        ending = ENDING_NONE
        back = i
    kind[n] = PHASE_ROWS
    stretch[n] = Stretch(nothing, nothing, back, 0, ending)
    return n + 1


cdef int rows_phases(const Plan *plan, bint still, Ending ending, PhaseKind *kind, Stretch *stretch) noexcept:
    """The phases of a step but for its tiles: forward and backward, with the ending in the phase in which they meet."""
    cdef int n = forward_phases(plan, still, kind, stretch) - 1
    cdef Py_ssize_t first = stretch[n].first
    cdef int backward = backward_phases(plan, still, kind + n, stretch + n)
    stretch[n].first = first
    stretch[n].last = plan.nodes
    stretch[n].ending = ending
    return n + backward


cdef int apart_phases(const Plan *plan, bint still, PhaseKind *kind, Stretch *stretch) noexcept:
    """The same for a loss that is apart: it has a phase of its own between the way to the output and the way back."""
    cdef int n = forward_phases(plan, still, kind, stretch), backward
    stretch[n - 1].ending = ENDING_LOSS
    kind[n] = PHASE_LOSS
    stretch[n] = Stretch(0, 0, -1, 0, ENDING_NONE)
    backward = backward_phases(plan, still, kind + n + 1, stretch + n + 1)
    stretch[n + 1].ending = ENDING_APART
    return n + 1 + backward


cdef inline bint couples(const Plan *plan, Py_ssize_t node) noexcept:
    return plan.node[node].op != NULL and plan.node[node].op.kind == OP_BATCH_NORM and not plan.node[node].op.frozen
