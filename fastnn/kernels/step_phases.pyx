"""The phases of a training step, in their order."""
from fastnn.kernels.optimizers cimport Optimizer
from fastnn.kernels.phases cimport apart_phases, rows_phases
from fastnn.kernels.plan cimport (
    ENDING_LOSS,
    MAX_PHASES,
    PHASE_ANGLES,
    PHASE_DIRECTED,
    PHASE_NORMS,
    PHASE_OWN_CONSTRAINTS,
    PHASE_OWN_PENALTIES,
    PHASE_REFRESH,
    PHASE_ROWS_SUMS,
    PhaseKind,
    Plan,
)
from fastnn.kernels.schedule cimport Run
from fastnn.kernels.whole cimport most_step_phases, step_phases


cdef int require_phases(const Plan *plan, const Optimizer *optimizer) except -1:
    """Raise unless there is room for the phases of a step, whatever is asked of loss and variables."""
    # rows there and back with the loss apart, penalties, the step, constraints
    cdef double most = (4 * plan.coupled + 3) + 3 + most_step_phases(optimizer) + 3
    if not most <= MAX_PHASES:
        raise ValueError(f"a step of this network and optimizer may have {most:g} phases, but there is room for {MAX_PHASES}: take fewer "
                         "batch normalisations, or fewer ns_steps")
    return 0


cdef inline void add_phase(Run *run, bint wanted, PhaseKind kind) noexcept:
    if wanted:
        run.phase[run.phases] = kind
        run.phases += 1


cdef void list_phases(Run *run, const Plan *plan, const Optimizer *optimizer, bint sums, bint apart) noexcept:
    """``run.phase`` and what goes with it (OUT): rows, penalties that look at whole variables, the step, constraints that do so.

    sums: blocks of rows leave their gradients; apart: the loss has a phase of its own.
    """
    if apart:
        run.phases = apart_phases(plan, False, run.phase, run.stretch)
    else:
        run.phases = rows_phases(plan, False, ENDING_LOSS, run.phase, run.stretch)
    if sums:
        run.phase[0] = PHASE_ROWS_SUMS
    penalty_phases(run, plan)
    optimizer_phases(run, plan, optimizer, sums)


cdef void penalty_phases(Run *run, const Plan *plan) noexcept:
    """Those before the gradients of tiles: penalties that look at whole variables."""
    add_phase(run, plan.angles > 0, PHASE_DIRECTED)
    add_phase(run, plan.angles > 0, PHASE_ANGLES)
    add_phase(run, plan.own_penalties, PHASE_OWN_PENALTIES)


cdef void optimizer_phases(Run *run, const Plan *plan, const Optimizer *optimizer, bint sums) noexcept:
    """From the batch's deltas, or the sums of its blocks, to the next weights."""
    run.gathered = run.phases + 1
    run.phases += step_phases(optimizer, sums, &run.phase[run.phases], &run.stretch[run.phases])
    add_phase(run, plan.normed, PHASE_NORMS)
    add_phase(run, plan.own_constraints, PHASE_OWN_CONSTRAINTS)
    add_phase(run, plan.normed or plan.own_constraints, PHASE_REFRESH)
