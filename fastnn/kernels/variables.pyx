"""What Python asks of the training of each array of weights, taken over into the plan."""
from libc.math cimport isfinite, isnan

from fastnn.kernels.orthogonal cimport matrix_elements
from fastnn.kernels.plan cimport CONSTRAINT_LIMITS, CONSTRAINT_NONE, CONSTRAINT_NORMS, CONSTRAINT_OWN, Plan, Variable, is_kernel
from fastnn.kernels.tiling cimport cut_tiles

# what can be asked, and what holds otherwise
DEFAULTS = {"trained": True, "penalty": (0.0, 0.0), "orthogonal": None, "own_penalty": None, "limits": None, "norms": None,
            "own_constraint": None}


cdef int require_all(const Plan *plan, given, str what) except -1:
    if len(given) != plan.variables:
        raise ValueError(f"{what} has {len(given)} entries for {plan.variables} arrays of weights")
    return 0


cdef int ask(Plan *plan, asked) except -1:
    """Take over one dict for each array, as ``Network.set_variables`` describes them; on an error nothing is changed."""
    cdef Py_ssize_t i
    cdef list found = []
    require_all(plan, asked, "asked")
    for i, settings in enumerate(asked):
        unknown = [key for key in settings if key not in DEFAULTS]
        if unknown:
            raise ValueError(f"of an array of weights {', '.join(DEFAULTS)} can be asked, not {unknown[0]!r}")
        found.append(asked_of(plan.variable[i], {**DEFAULTS, **settings}))
    for i in range(plan.variables):
        plan.variable[i] = found[i]
    cut_tiles(plan)
    return 0


cdef Variable asked_of(Variable v, dict settings) except *:
    # the same variable, of which this is asked
    v.trained = settings["trained"]
    v.penalty = settings["penalty"]
    v.constraint = CONSTRAINT_NONE
    if not all(isfinite(p) and p >= 0 for p in v.penalty):
        raise ValueError(f"a penalty has two numbers of at least 0, not {settings['penalty']}")
    v.angles = 0.0
    if settings["orthogonal"] is not None:
        v.angles, mode = settings["orthogonal"]
        v.angles_axis = 0 if mode == "columns" else 1
        if not (isfinite(v.angles) and v.angles >= 0) or mode not in ("rows", "columns") or dimensions_of(&v) != 2:
            raise ValueError(f"'orthogonal' is (a factor of at least 0, 'rows' or 'columns') of a kernel, not {settings['orthogonal']}")
    v.own_penalty = settings["own_penalty"] is not None
    if sum(settings[key] is not None for key in ("limits", "norms", "own_constraint")) > 1:
        raise ValueError("an array of weights can have limits, constrained norms or an own constraint, not several of them")
    if settings["limits"] is not None:
        v.constraint = CONSTRAINT_LIMITS
        v.least, v.most = settings["limits"]
    elif settings["norms"] is not None:
        v.constraint = CONSTRAINT_NORMS
        v.least, v.most, v.rate, axis = settings["norms"]
        v.axis = axis_of(&v, axis)
    elif settings["own_constraint"] is not None:
        v.constraint = CONSTRAINT_OWN
        v.least = v.most = 0.0
    if v.constraint != CONSTRAINT_NONE and (isnan(v.least) or isnan(v.most) or v.least > v.most):
        raise ValueError(f"the least value allowed, {v.least}, must be at most the largest, {v.most}")
    return v


cdef int dimensions_of(const Variable *v) noexcept:
    return 1 if v.layer < 0 or v.vector == 1 else 2


cdef int axis_of(const Variable *v, axis) except? -2:
    # as NumPy counts, to 0 (along columns), 1 (along rows) or -1 (all elements)
    cdef int dimensions = dimensions_of(v)
    given = range(dimensions) if axis is None else [axis] if isinstance(axis, int) else list(axis)
    if not given or not all(-dimensions <= a < dimensions for a in given):
        raise ValueError(f"axis={axis!r} of an array of weights of {dimensions} dimension{'s' if dimensions > 1 else ''}")
    over = {a % dimensions for a in given}
    return -1 if len(over) == dimensions else <int>min(over)


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
