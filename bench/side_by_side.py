"""All peers on all workloads: rounds of each in turn, in rotating order, so that all see the same machine."""

import contextlib
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import verify
from bench.peers import PEERS
from bench.peers.spec import stacked_data, write
from bench.processes import Gone, Process, busy_seconds
from fastnn._bench.workloads import INFERENCES, MANY_MODELS, WORKLOADS

TRAININGS = {**WORKLOADS, **MANY_MODELS}
KEYS = [*TRAININGS, *INFERENCES]
DISTURBED = 0.15  # cores kept busy by others, above which a round is taken again


@dataclass(frozen=True)
class Plan:
    """What to run, and for how long."""

    keys: list[str]
    peers: list[str]
    teams: list[list[int]]  # CPUs of each pass: one, then all
    rounds: int  # beside one that warms up
    seconds: float  # of a round, about
    quick: bool = False
    settle: float = (
        0.05  # before a round of several threads: pools of those who worked before spin for a while
    )
    patience: int = 2  # times as many rounds, at most, where others disturbed them


@dataclass
class Results:
    """What was measured, and what was not and why."""

    measured: list[dict] = field(default_factory=list)
    left_out: list[dict] = field(default_factory=list)  # key, threads, peer, reason
    missing: dict[str, str] = field(default_factory=dict)  # peer: reason
    versions: dict[str, str] = field(default_factory=dict)
    imports: dict[str, float] = field(default_factory=dict)
    complete: bool = False


def run(plan, say=print):
    """Measure everything of the plan; Ctrl-C ends it with what there is."""
    results = Results()
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="fastnn-bench-") as scratch,
    ):
        for cpus in plan.teams:
            one_team(plan, cpus, Path(scratch), results, say)
        results.complete = True
    return results


def one_team(plan, cpus, scratch, results, say):
    """All workloads with one number of threads."""
    threads = len(cpus)
    names = [name for name in plan.peers if name not in results.missing]
    if threads == 1:  # devices are for threads
        names = [name for name in names if not PEERS[name].devices]
    processes = {}
    try:
        for name in names:
            process = start(name, threads, cpus, scratch, results)
            if process:
                processes[name] = process
        for key in plan.keys:
            folder = scratch / f"{key}-{threads}"
            write_workload(folder, key, plan.quick)
            one_workload(plan, key, folder, threads, processes, results, say)
            shutil.rmtree(folder)
            for name in [name for name, process in processes.items() if process.child.poll() is not None]:
                processes[name].close()
                del processes[name]
                again = start(name, threads, cpus, scratch, results)
                if again:
                    processes[name] = again
    finally:
        for process in processes.values():
            process.leave()
        for process in processes.values():
            process.close()


def start(name, threads, cpus, scratch, results):
    """A peer's process that has said hello, or None, and why among the missing."""
    process = Process(name, threads, cpus, scratch / f"{name.replace(' ', '-')}-{threads}")
    try:
        hello = process.answer()
    except Gone as gone:
        hello = {"missing": str(gone)}
    if "missing" in hello:
        results.missing[name] = hello["missing"]
        process.close()
        return None
    results.versions[name] = hello["versions"]
    results.imports[name] = hello["import_seconds"]
    return process


def write_workload(folder, key, quick):
    """The workload as a folder that every peer reads."""
    if key in INFERENCES:
        inference = INFERENCES[key]
        x, y, _ = verify.judge_outputs(key)
        write(folder, inference.of, (x, y), inference=inference.rows, checked=(x, y))
        return
    workload, true = TRAININGS[key], verify.judge(key)
    data = stacked_data(workload, (quick and workload.quick_rows) or workload.rows)
    write(folder, workload, data, checked=(true.x, true.y))


def one_workload(plan, key, folder, threads, processes, results, say):
    """Verify, prepare and time all peers on one workload."""
    entrants = {}
    for name, process in processes.items():
        try:
            entrants[name] = prepare(process, key, folder, plan.seconds)
        except Refused as refused:
            results.left_out.append({"key": key, "threads": threads, "peer": name, "reason": str(refused)})
    rounds = {name: [] for name in entrants}  # (seconds, cores that others kept busy meanwhile)
    for turn in range(1 + plan.rounds * (1 + plan.patience)):
        if turn > plan.rounds and all(len(quiet(found)) >= plan.rounds for found in rounds.values()):
            break
        names = list(rounds)
        first = turn % max(1, len(names))
        for name in names[first:] + names[:first]:
            if threads > 1:
                time.sleep(plan.settle)
            try:
                found = one_round(processes[name], entrants[name]["count"])
            except Refused as refused:
                results.left_out.append(
                    {"key": key, "threads": threads, "peer": name, "reason": str(refused)}
                )
                del rounds[name]
                continue
            if turn:  # the first round warms up
                rounds[name].append(found)
    for name, found in rounds.items():
        entrant = entrants[name]
        units = entrant["count"] * entrant["steps"]
        chosen = quiet(found) if len(quiet(found)) >= max(1, plan.rounds // 2) else found
        results.measured.append(
            {"key": key, "threads": threads, "peer": name, "rounds": len(chosen)}
            | {"disturbed": statistics.median(outside for _, outside in chosen)}
            | spread([1e6 * seconds / units for seconds, _ in chosen])
            | {part: entrant[part] for part in ("setting", "compile_seconds", "rows", "error", "note")}
        )
        say(line(results.measured[-1]))
    for name in entrants:
        if processes[name].child.poll() is None:
            processes[name].ask(do="drop")


def one_round(process, count):
    """Seconds of a peer's round, and how many cores were busy with something else meanwhile."""
    start, busy, own = time.perf_counter(), busy_seconds(), process.processor_seconds()
    try:
        answer = process.ask(do="round", count=count)
    except Gone as gone:
        raise Refused(str(gone)) from None
    refuse(answer)
    outside = (busy_seconds() - busy) - (process.processor_seconds() - own)
    return answer["seconds"], max(0.0, outside / (time.perf_counter() - start))


def quiet(rounds):
    """Those in which nothing else ran to speak of, other peers' threads included."""
    return [found for found in rounds if found[1] < DISTURBED]


class Refused(Exception):
    """A peer that does not take part in a workload, and why."""


def prepare(process, key, folder, seconds):
    """Hold a peer's losses against the judge's, and let it get ready."""
    try:
        if key in INFERENCES:
            checked = process.ask(do="check", folder=str(folder), epochs=0)
            refuse(checked)
            error = verify.compare_outputs(key, checked["outputs"], checked["tolerance"])
        else:
            checked = process.ask(do="check", folder=str(folder), epochs=verify.judge(key).epochs)
            refuse(checked)
            found = (checked["before"], checked["losses"], checked["after"])
            error = verify.compare(key, *found, checked["tolerance"])
        loaded = process.ask(do="load", folder=str(folder), seconds=seconds)
    except Gone as gone:
        raise Refused(str(gone)) from None
    except AssertionError as wrong:
        raise Refused("wrong losses: " + " ".join(str(wrong).split())[:200]) from None
    refuse(loaded)
    return loaded | {"error": error, "note": checked["note"]}


def refuse(answer):
    for word in ("impossible", "error"):
        if isinstance(answer.get(word), str):
            raise Refused(answer[word])


def spread(values):
    """Median, quartiles and best."""
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": quartiles[1], "low": quartiles[0], "high": quartiles[2], "best": min(values)}


def line(row):
    """A measured row for the terminal, while the run goes on."""
    return (
        f"{row['key']:3} {row['threads']} thread{'s' * (row['threads'] > 1):1} {row['peer']:20}"
        f" {row['median']:12,.2f} µs  [{row['low']:,.2f} .. {row['high']:,.2f}]"
        f"  compile {row['compile_seconds']:.1f} s" + (f"  {row['setting']}" if row["setting"] else "")
    )
