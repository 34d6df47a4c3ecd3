"""Activations as a layer states them: a name of the table, and how many parameters go with it."""
from fastnn.kernels.csrc cimport FNN_PARAMETERS_MAX, FNN_READS_INPUT
from fastnn.kernels.losses cimport activation_index
from fastnn.kernels.plan cimport Layer
from fastnn.kernels.runtime cimport activation_parameters, activation_table


def activation_parameter_count(str name):
    """How many parameters an activation takes.

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.ACTIVATIONS``.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For an unknown name.
    """
    return activation_parameters(activation_index(name))


def activation_reads(str name):
    """What the derivative of an activation is computed from.

    Parameters
    ----------
    name : str
        One of ``fastnn.kernels.ACTIVATIONS``.

    Returns
    -------
    {"output", "input"}
        The latter where several inputs have the same output.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    return "input" if activation_table()[activation_index(name)].property == FNN_READS_INPUT else "output"


cdef int set_activation(Layer *layer, specification) except -1:
    """activation, parameters, rowwise and reads_input (OUT) of a layer, from a name or (name, parameters)."""
    cdef int i
    if not isinstance(specification, str) and (not isinstance(specification, (tuple, list)) or len(specification) != 2):
        raise TypeError(f"activation must be a name, or a name and its parameters, not {specification!r}")
    name, given = (specification, ()) if isinstance(specification, str) else specification
    cdef int activation = activation_index(name)
    parameters = [float(p) for p in given]
    if len(parameters) != activation_parameters(activation):
        raise ValueError(
            f"activation {name!r} takes {activation_parameters(activation)} parameters, but {len(parameters)} were given: {given!r}")
    for i in range(FNN_PARAMETERS_MAX):
        layer.parameters[i] = parameters[i] if i < len(parameters) else 0.0
        if layer.parameters[i] != layer.parameters[i]:
            raise ValueError(f"activation {name!r}: parameter {i} is not a number: {given!r}")
    layer.activation = activation
    layer.rowwise = activation_table()[activation].rowwise
    layer.reads_input = activation_table()[activation].property == FNN_READS_INPUT
    return 0
