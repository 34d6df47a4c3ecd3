"""Single rows and columns of variables, out of a buffer laid out as the parameters and back: for what looks at whole variables."""
from fastnn.kernels.plan cimport Layer, Panel, Plan, Variable
from fastnn.kernels.runtime cimport real


cdef Py_ssize_t line_length(const Variable *v, int axis) noexcept nogil:
    """Elements of a line along an axis: 0 a column, 1 a row."""
    return v.rows if axis == 0 else v.columns


cdef Py_ssize_t line_count(const Variable *v, int axis) noexcept nogil:
    return v.columns if axis == 0 else v.rows


cdef inline void get(const real *w, Py_ssize_t step, Py_ssize_t n, real *line) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        line[i] = w[i * step]


cdef inline void put(const real *line, Py_ssize_t n, real *w, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        w[i * step] = line[i]


cdef Py_ssize_t place_of(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, Py_ssize_t *step) noexcept nogil:
    # the first element of a line whose elements are all `step` (OUT) apart; step 0: a row of a wide layer, panel by panel
    cdef const Layer *layer
    cdef Py_ssize_t p = 0
    if v.layer < 0:
        step[0] = 1
        return plan.op[v.op].weights + v.vector * plan.op[v.op].stride
    layer = &plan.layer[v.layer]
    if layer.narrow and (v.vector == 1 or axis == 1):
        step[0] = layer.stride
        return layer.weights + (layer.inputs if v.vector == 1 else i)
    if layer.narrow:
        step[0] = 1
        return layer.weights + i * layer.stride
    if axis == 1:
        step[0] = 0
        return layer.weights
    while i >= layer.panel[p].start + layer.panel[p].columns:
        p += 1
    step[0] = layer.panel[p].width
    return layer.weights + (layer.inputs + 1) * layer.panel[p].start + i - layer.panel[p].start


cdef void get_line(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, const real *buffer, real *line) noexcept nogil:
    """line (OUT): column (axis 0) or row (axis 1) i of a variable, or the whole vector that it is (axis 1, row 0)."""
    cdef Py_ssize_t step, place = place_of(plan, v, axis, i, &step), p, row
    cdef const Layer *layer
    cdef const Panel *panel
    if step != 0:
        get(buffer + place, step, line_length(v, axis), line)
        return
    layer = &plan.layer[v.layer]
    row = layer.inputs if v.vector == 1 else i
    for p in range(layer.panels):
        panel = &layer.panel[p]
        get(buffer + place + (layer.inputs + 1) * panel.start + row * panel.width, 1, panel.columns, line + panel.start)


cdef void put_line(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, const real *line, real *buffer) noexcept nogil:
    """The way back."""
    cdef Py_ssize_t step, place = place_of(plan, v, axis, i, &step), p, row
    cdef const Layer *layer
    cdef const Panel *panel
    if step != 0:
        put(line, line_length(v, axis), buffer + place, step)
        return
    layer = &plan.layer[v.layer]
    row = layer.inputs if v.vector == 1 else i
    for p in range(layer.panels):
        panel = &layer.panel[p]
        put(line + panel.start, panel.columns, buffer + place + (layer.inputs + 1) * panel.start + row * panel.width, 1)
