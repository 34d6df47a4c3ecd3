"""What Python asks of the training of each array of weights, taken over into the plan."""
from fastnn.kernels.orthogonal cimport matrix_elements
from fastnn.kernels.plan cimport Plan, Variable, is_kernel
from fastnn.kernels.tiling cimport cut_tiles

# what can be asked, and what holds otherwise
DEFAULTS = {"trained": True}


cdef int require_all(const Plan *plan, given, str what) except -1:
    if len(given) != plan.variables:
        raise ValueError(f"{what} has {len(given)} entries for {plan.variables} arrays of weights")
    return 0


cdef int ask(Plan *plan, asked) except -1:
    """Take over one dict for each array, as ``Network.set_variables`` describes them; on an error nothing is changed."""
    cdef Py_ssize_t i
    require_all(plan, asked, "asked")
    for settings in asked:
        unknown = [key for key in settings if key not in DEFAULTS]
        if unknown:
            raise ValueError(f"of an array of weights {', '.join(DEFAULTS)} can be asked, not {unknown[0]!r}")
    for i, settings in enumerate(asked):
        plan.variable[i].trained = settings.get("trained", True)
    cut_tiles(plan)
    return 0


cdef int ask_decay(Plan *plan, decay) except -1:
    """Whether weight decay acts on each array; None: on all."""
    cdef Py_ssize_t i
    if decay is not None:
        require_all(plan, decay, "decay")
    for i in range(plan.variables):
        plan.variable[i].decays = decay is None or decay[i]
    cut_tiles(plan)
    return 0


cdef int ask_orthogonal(Plan *plan, orthogonal) except -1:
    """Whether an optimizer of orthogonal directions has one for each array; None: for all that are matrices."""
    cdef Py_ssize_t i
    cdef Variable *v
    if orthogonal is not None:
        require_all(plan, orthogonal, "orthogonal")
    plan.matrices = 0
    for i in range(plan.variables):
        v = &plan.variable[i]
        v.orthogonal = is_kernel(v) and (orthogonal is None or orthogonal[i])
        if v.orthogonal:
            v.matrix = plan.matrices
            plan.matrices += matrix_elements(v)
    return 0
