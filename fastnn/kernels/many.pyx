"""Many trainings in one native call: whoever is free takes the next one, and works on it alone.

Small networks gain nothing from sharing a step between threads, and everything from a core of their own: there is no barrier, and
weights stay in one core's cache until a training's slice is over. Tiny ones of one shape also share vectors (``lanes.pyx``). Each
network's bits are those that it would get alone.
"""
from cython.parallel cimport parallel, threadid

from fastnn.kernels.csrc cimport fnn_barrier, fnn_barrier_init, fnn_flag_get, fnn_flag_set, fnn_jobs_take
from fastnn.kernels.epoch cimport run_alone
from fastnn.kernels.lanes cimport Lanes, alike, lanes_size, may_share, run_lanes
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.plan cimport round_up
from fastnn.kernels.runtime cimport clock
from fastnn.kernels.schedule cimport Run
from fastnn.kernels.threads cimport begin_call, end_call, team_for
from fastnn.kernels.training cimport Training

cdef extern from "Python.h":
    ctypedef struct PyObject
    int raise_signals "PyErr_CheckSignals"() except -1
    PyObject *raised_so_far "PyErr_Occurred"() noexcept

cdef enum:
    FEWEST = 4             # lanes are shared by more than one in so many of them

# What a thread takes: one training, or some that share lanes.
cdef struct Job:
    Lanes lanes
    bint taken


cdef void take_jobs(Job *job, Py_ssize_t jobs, fnn_barrier *queue, double deadline, void *work) noexcept nogil:
    # one thread's: it begins with one at least, so that each call gets somewhere
    cdef Py_ssize_t i
    cdef Run *run
    while True:
        i = <Py_ssize_t>fnn_jobs_take(queue)
        if i >= jobs:
            return
        run = job[i].lanes.run[0]
        job[i].taken = True
        if job[i].lanes.count > 1:
            run_lanes(&job[i].lanes, work, deadline)
        elif run.plan.kernels.itemsize == 4:
            run_alone[float](run, <float *>run.parameters)
        else:
            run_alone[double](run, <double *>run.parameters)
        if clock() >= deadline:
            return


cdef int work_jobs(Job *job, Py_ssize_t jobs, int threads, double deadline) except -1:
    cdef fnn_barrier queue
    cdef Py_ssize_t i, size = 0
    cdef Arena arena
    cdef char *work
    for i in range(jobs):
        if job[i].lanes.count > 1:
            size = max(size, round_up(lanes_size(job[i].lanes.run[0]), 128))
    arena = Arena(max(size * threads, <Py_ssize_t>1))
    work = <char *>arena.base
    fnn_barrier_init(&queue)
    if threads == 1:
        with nogil:
            take_jobs(job, jobs, &queue, deadline, work)
    else:
        with nogil, parallel(num_threads=threads):
            take_jobs(job, jobs, &queue, deadline, work + threadid() * size)
    return -1 if raised_so_far() != NULL else 0


cdef Py_ssize_t make_jobs(list trainings, Job *job, Py_ssize_t *place) except -1:
    """job (OUT), place (OUT): the job of each training; their number is returned. Few of a kind do not share."""
    cdef Py_ssize_t jobs = 0, i, j, n = len(trainings), lanes
    cdef Run *run
    cdef list filling = []  # jobs that more may join
    for i in range(n):
        run = &(<Training>trainings[i]).run_state
        if may_share(run):
            (<Training>trainings[i]).look_at_targets()
        if may_share(run):
            for j in filling:
                if alike(job[j].lanes.run[0], run):
                    job[j].lanes.run[job[j].lanes.count] = run
                    job[j].lanes.count += 1
                    place[i] = j
                    if job[j].lanes.count == <Py_ssize_t>run.plan.kernels.lanes:
                        filling.remove(j)
                    break
            else:
                filling.append(jobs)
                place[i] = jobs
                jobs = single_job(job, jobs, run)
        else:
            place[i] = jobs
            jobs = single_job(job, jobs, run)
    for j in filling:
        lanes = <Py_ssize_t>job[j].lanes.run[0].plan.kernels.lanes
        if 1 < job[j].lanes.count * FEWEST <= lanes:
            for i in range(n):
                run = &(<Training>trainings[i]).run_state
                if place[i] == j and run != job[j].lanes.run[0]:
                    place[i] = jobs
                    jobs = single_job(job, jobs, run)
            job[j].lanes.count = 1
    return jobs


cdef inline Py_ssize_t single_job(Job *job, Py_ssize_t jobs, Run *run) noexcept:
    job[jobs].lanes.run[0] = run
    job[jobs].lanes.count = 1
    job[jobs].taken = False
    return jobs + 1


def sharing(list trainings not None):
    """How `run_many` would put trainings together, as they are now.

    Returns
    -------
    list of int
        How many share the lanes of each job.
    """
    cdef Py_ssize_t n = len(trainings), i
    cdef Training t
    cdef Arena arena = Arena((n + 1) * (sizeof(Job) + sizeof(Py_ssize_t)))
    cdef Job *job = <Job *>arena.base
    for t in trainings:
        t.wanted = t.run_state.epochs
        t.run_state.optimizer = t.network.optimizer
        t.begin_slice()
    return [job[i].lanes.count for i in range(make_jobs(trainings, job, <Py_ssize_t *>(job + n)))]


def run_many(list trainings not None, double seconds, int num_threads=0, Py_ssize_t epochs=0):
    """Train on, all of them without the GIL; each publishes as its own `run` would.

    Parameters
    ----------
    trainings : list of Training
        Not finished, of different networks, and with no Python in their steps (`Training.calls_python`). The first ones come first.
    seconds : float
        Return after about so many seconds; those that nobody has come to until then are as they were.
    num_threads : int, default 0
        0: as many as this process may use and other calls leave.
    epochs : int, default 0
        How many each trains on for at most; 0 is all.

    Returns
    -------
    list of (int, Exception or None)
        Which of them were trained, and what their `run` would have raised.

    Raises
    ------
    KeyboardInterrupt
        Or whatever a signal handler raises; all trainings are at an end then, and what they reached is published.
    """
    cdef Py_ssize_t n = len(trainings), i
    cdef double deadline = clock() + seconds
    cdef Training t
    cdef Arena arena
    cdef Job *job
    cdef Py_ssize_t *place
    cdef int threads
    for t in trainings:
        if t.finished or len(t.own) > 0:
            raise ValueError("trainings that run together must not be finished, nor call Python in their steps")
    if n == 0:
        return []
    arena = Arena(n * (sizeof(Job) + sizeof(Py_ssize_t)))
    job = <Job *>arena.base
    place = <Py_ssize_t *>(job + n)
    raised = None
    found = []
    begin_call()
    try:
        threads = team_for(n, num_threads)
        for i in range(n):
            t = <Training>trainings[i]
            t.enter(epochs if epochs > 0 else t.run_state.epochs)
            t.begin_slice()
            t.run_state.deadline = deadline
        work_jobs(job, make_jobs(trainings, job, place), threads, deadline)
    except BaseException as error:
        raised = error
    finally:
        end_call()
        for t in trainings:
            t.network.running = False
    for i in range(n):
        t = <Training>trainings[i]
        if fnn_flag_get(&t.run_state.barrier):  # in the middle of a step: what was published before stays
            fnn_flag_set(&t.run_state.barrier, 0)
            t.close()
        elif job[place[i]].taken:
            found.append((i, left(t)))
    if raised is None:
        try:
            raise_signals()
        except BaseException as error:
            raised = error
    if raised is not None:
        for t in trainings:
            if not t.finished:
                t.break_off()
        raise raised
    return found


cdef object left(Training t):
    # the end of a training's call: what it raises
    try:
        t.leave(False)
    except Exception as error:
        return error
    return None
