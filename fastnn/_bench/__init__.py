"""``fastnn bench``: how fast fastnn is on this machine, and how fast the machine is.

`workloads` is the one table of networks, `machine` measures limits, `trainer` is fastnn on a workload,
`timing` takes rounds, `tables` prints. The checkout's ``bench/`` builds on these to measure other libraries
beside fastnn.
"""

import json
import os
from pathlib import Path

from fastnn._bench import machine, timing
from fastnn._bench.tables import table
from fastnn._bench.workloads import INFERENCES, WORKLOADS

KEYS = (*WORKLOADS, *INFERENCES)


def run(only=None, quick=False, threads=None, json_file=None):
    """Measure and print the machine's limits, then a table of workloads.

    Parameters
    ----------
    only : sequence of str, optional
        Keys of workloads; all by default.
    quick : bool
        Fewer rows, fewer and shorter rounds.
    threads : int, optional
        Measure with so many; by default with one, and with the automatic choice where there is more than one
        core.
    json_file : path, optional
        Where to write all figures, with those of every round.

    Raises
    ------
    ValueError
        For a workload that does not exist.
    OSError
        Where the file cannot be written.
    """
    keys = only or KEYS
    wrong = [key for key in keys if key not in KEYS]
    if wrong:
        raise ValueError(f"there is no workload {', '.join(map(repr, wrong))}; there are {', '.join(KEYS)}")
    settings = timing.QUICK if quick else timing.FULL
    teams = [threads] if threads else [1, None] if machine.cores() > 1 else [1]
    limits = machine.limits(settings.limit_seconds)
    rows: list[dict] = []
    notes: list[str] = []
    with timing.kept_threads():
        for key in keys:
            if key in INFERENCES:
                rows += timing.inference(key, teams, settings)
            else:
                rows += timing.fits(key, teams, settings, notes)
    limits = machine.better(limits, machine.limits(settings.limit_seconds))
    for row in rows:
        cores = row["threads"] or machine.cores()
        peak = limits.get(f"peak, {machine.count(cores)}") or machine.peak(cores)
        row["share_of_peak"] = row["flops"] / row["seconds"] / peak
    said = machine.describe(limits)
    for line in _limits(said):
        print(line)
    for line in table(
        "fit: whole epochs with shuffling, a step; predict: a call", [_columns(row) for row in rows]
    ):
        print(line)
    for note in notes:
        print(note)
    if json_file:
        found = {"machine": said, "limits": limits, "rows": rows, "notes": notes}
        Path(os.fspath(json_file)).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _limits(said):
    width = max(map(len, said))
    return [f"{name:<{width}}  {value}" for name, value in said.items()]


def _columns(row):
    """A measured row as the table shows it."""
    return {
        "": row["key"] + (" bf16" if row["precision"] else ""),
        "network": row["network"],
        "batch": f"{row['batch']:,}",
        "threads": "auto" if row["threads"] is None else str(row["threads"]),
        "µs": row["seconds"] * 1e6,
        "± (IQR/2)": (row["high"] - row["low"]) / 2 * 1e6,
        "best µs": row["best"] * 1e6,
        "GFLOP/s": row["flops"] / row["seconds"] / 1e9,
        "% of peak": 100 * row["share_of_peak"],
    }
