"""Which phases a training step has, and the memory that its threads work in."""
from fastnn.kernels.csrc cimport fnn_share
from fastnn.kernels.memory cimport room
from fastnn.kernels.plan cimport COLUMN_ALIGN, SUM_ROWS, round_up
from fastnn.kernels.step_phases cimport list_phases
from fastnn.kernels.tiny cimport tiny_kind

cdef enum:
    BLOCKS_A_THREAD = 8        # from so many blocks of rows a thread on, gradients are summed by blocks
    PARTIALS_BYTES = 64 << 20  # and only while the blocks' gradients take no more


cdef class Layout:
    pass


cdef Layout lay_out(Run *run, Network network, int threads):
    """Set the phases of `run` (IN and OUT) and its pointers, for steps of ``run.batch`` rows on so many threads; the caller keeps the
    result as long as it runs."""
    cdef Layout layout = Layout()
    cdef Py_ssize_t blocks = 0, capacity
    cdef bint sums = False
    if run.batch > SUM_ROWS and network.plan.coupled == 0 and not run.keeps_outputs and not network.objective.apart:
        blocks = (run.batch + SUM_ROWS - 1) // SUM_ROWS
        sums = blocks >= BLOCKS_A_THREAD * threads and room(0, blocks, network.plan.parameters) * network.itemsize <= PARTIALS_BYTES
    list_phases(run, &network.plan, &network.optimizer, sums, network.objective.apart)
    run.block = 0
    if run.validation.rows > 0:
        run.block = min(<Py_ssize_t>SUM_ROWS, round_up((run.validation.rows + threads - 1) // threads, COLUMN_ALIGN))
    if sums:
        run.block = SUM_ROWS
    capacity = max(threads * run.block, 0 if sums else run.batch)
    layout.space = network.workspace(capacity, threads, max(run.batch, threads * run.block), blocks if sums else 1, True)
    run.tiny = tiny_kind(&layout.space.plan, &layout.space.space, &network.objective, &network.optimizer, run.batch)
    run.plan = &layout.space.plan
    run.space = &layout.space.space
    run.work = layout.space.arena.base
    run.threads = threads
    layout.shares = Arena(threads * run.phases * sizeof(fnn_share) + (threads + 1) * sizeof(Py_ssize_t))
    run.share = <fnn_share *>layout.shares.base
    run.tile_bound = <Py_ssize_t *>(run.share + threads * run.phases)
    return layout
