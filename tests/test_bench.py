"""The benchmarks' machinery: workloads, the processes of peers, and what a report says."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn._bench import machine, timing
from fastnn._bench.tables import table
from fastnn._bench.workloads import INFERENCES, MANY_MODELS, WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "bench").is_dir():
    pytest.skip("needs the checkout", allow_module_level=True)
sys.path.append(str(ROOT))  # last: an installed fastnn comes first

# ruff: noqa: E402
from bench import report, side_by_side, verify
from bench.__main__ import parser
from bench.peers import PEERS
from bench.peers.spec import Spec, stacked_data, write
from bench.processes import Gone, Process

CPU = [max(os.sched_getaffinity(0))]


@pytest.fixture
def numpy_process(tmp_path):
    process = Process("numpy", 1, CPU, tmp_path / "process")
    yield process
    process.close()


# ---- workloads -----------------------------------------------------------------------------------


def test_operations_and_bytes_of_a_step():
    """Counted by hand for 2-8-1 with four rows and plain gradient descent."""
    w = WORKLOADS["W1"]
    assert w.flops == 2 * 4 * (3 * (2 * 8 + 8 * 1) - 2 * 8)
    parameters = 2 * 8 + 8 + 8 + 1
    assert w.parameters == parameters
    assert w.bytes == 4 * (4 * (2 + 1) + (16 + 8) + 8 + 2 * parameters)


def test_many_models_cost_as_many():
    w = MANY_MODELS["W9"]
    one = 2 * w.batch * (3 * (8 * 32 + 32) - 8 * 32)
    assert w.flops == 64 * one
    x, y = stacked_data(w)
    assert x.shape == (64, 1000, 8)
    assert y.shape == (64, 1000, 1)
    assert not np.array_equal(x[0], x[1])


def test_operations_of_a_call():
    assert INFERENCES["I1"].flops == 2 * (32 * 64 + 64 * 64 + 64)
    assert INFERENCES["I2"].flops == 10_000 * INFERENCES["I1"].flops


@pytest.mark.parametrize("key", WORKLOADS)
def test_data_fits_the_network(key):
    w = WORKLOADS[key]
    x, y = w.data(w.batch)
    assert x.shape == (w.batch, w.inputs)
    assert len(y) == w.batch
    assert y.max() < w.widths[-1] if w.sparse else y.shape[1] == w.widths[-1]
    assert [a.size for a in w.initial_weights()] == [n for k, m in w.products for n in (k * m, m)]


def test_a_workload_survives_its_folder(tmp_path):
    w = WORKLOADS["W3"]
    write(tmp_path / "w", w, w.data(), checked=w.data(7))
    spec = Spec(tmp_path / "w")
    assert (spec.key, spec.layers, spec.batch, spec.sparse) == ("W3", list(w.layers), w.batch, True)
    for found, true in zip(spec.initial_weights(), w.initial_weights(), strict=True):
        np.testing.assert_array_equal(found, true)
    np.testing.assert_array_equal(spec.arrays["x"], w.data()[0])
    assert len(spec.arrays["checked_y"]) == 7


# ---- the process of a peer -----------------------------------------------------------------------


def test_a_peer_is_verified_and_timed(numpy_process, tmp_path):
    assert "numpy" in numpy_process.answer()["versions"]
    side_by_side.write_workload(tmp_path / "w", "W2", quick=True)
    ready = side_by_side.prepare(numpy_process, "W2", tmp_path / "w", 0.01)
    assert ready["error"] < verify.TOLERANCE
    assert ready["steps"] == WORKLOADS["W2"].steps(1000)
    seconds, outside = side_by_side.one_round(numpy_process, ready["count"])
    assert seconds > 0
    assert outside >= 0
    assert numpy_process.ask(do="drop") == {}


def test_outputs_are_verified(numpy_process, tmp_path):
    numpy_process.answer()
    side_by_side.write_workload(tmp_path / "w", "I1", quick=True)
    ready = side_by_side.prepare(numpy_process, "I1", tmp_path / "w", 0.01)
    assert ready["error"] < verify.TOLERANCE
    assert ready["steps"] == 1


def test_wrong_losses_are_found():
    true = verify.judge("W2")
    right = (true.before, true.losses, true.after)
    assert verify.compare("W2", *right) == 0
    assert verify.compare("W2", *right, tolerance=None) != 0
    for wrong in (
        (true.before * 1.001, true.losses, true.after),
        (true.before, [true.losses[0], *(loss * 1.001 for loss in true.losses[1:])], true.after),
        (true.before, true.losses, true.before),
    ):
        with pytest.raises(AssertionError, match="W2"):
            verify.compare("W2", *wrong)
    with pytest.raises(AssertionError, match="loss went"):
        verify.compare("W2", true.before, true.losses, true.before * 2, tolerance=None)


def test_wrong_outputs_are_found():
    _, _, outputs = verify.judge_outputs("I1")
    with pytest.raises(AssertionError, match="I1"):
        verify.compare_outputs("I1", outputs * 1.01)


def test_many_models_are_judged():
    true = verify.judge("W9")
    assert true.x.shape[0] == 64
    assert true.after < true.before


def test_what_a_peer_cannot_do_is_said(numpy_process, tmp_path):
    numpy_process.answer()
    side_by_side.write_workload(tmp_path / "w", "W9", quick=True)
    with pytest.raises(side_by_side.Refused, match="one model"):
        side_by_side.prepare(numpy_process, "W9", tmp_path / "w", 0.01)


def test_an_error_is_an_answer(numpy_process, tmp_path):
    numpy_process.answer()
    answer = numpy_process.ask(do="load", folder=str(tmp_path / "nothing"), seconds=0.01)
    assert "FileNotFoundError" in answer["error"]
    assert str(tmp_path) not in answer["error"]
    assert numpy_process.ask(do="drop") == {}, "it goes on after an error"


def test_a_peer_that_dies_is_named(numpy_process):
    numpy_process.answer()
    numpy_process.child.kill()
    with pytest.raises(Gone, match="status -9"):
        numpy_process.ask(do="drop")


def test_a_peer_that_hangs_is_ended(numpy_process):
    numpy_process.answer()
    with pytest.raises(Gone, match="no answer within"):
        numpy_process.answer(timeout=0.05)
    assert numpy_process.child.wait(30) == -9


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_module(name):
    assert (ROOT / "bench" / "peers" / f"{PEERS[name].module}.py").is_file()


# ---- a run and its report ------------------------------------------------------------------------


@pytest.fixture
def no_onnx(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('onnxruntime is not to be had')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_run_names_what_is_missing(no_onnx):
    plan = side_by_side.Plan(
        ["W1", "W9"], ["fastnn", "numpy", "onnxruntime"], [CPU], 2, 0.005, True, patience=0
    )
    said = []
    results = side_by_side.run(plan, said.append)
    assert {row["peer"] for row in results.measured} == {"fastnn", "numpy"}
    assert all(row["median"] > 0 and row["rounds"] in (1, 2) for row in results.measured)
    assert "not to be had" in results.missing["onnxruntime"]
    assert {(one["peer"], one["key"]) for one in results.left_out} == {("numpy", "W9")}
    assert len(said) == 3
    page = report.Report(results, {"CPU": "one"}, "python -m bench").markdown()
    assert "onnxruntime: not here (ImportError: onnxruntime is not to be had)" in page
    assert "numpy, W9: trains one model at a time" in page
    assert re.search(r"\| W1 \| 2-8-1 \| batch 4 \| .* \| numpy \(1 thread\) \|", page)


def measured(peer, threads, median, key="W2", note=None):
    row = {"key": key, "threads": threads, "peer": peer, "median": median, "low": median, "high": median}
    rest = {
        "best": median,
        "rounds": 3,
        "disturbed": 0.0,
        "setting": {},
        "compile_seconds": 0.0,
        "rows": 1000,
    }
    return row | rest | {"error": 1e-6, "note": note}


def test_a_report_says_when_fastnn_loses(tmp_path):
    results = side_by_side.Results(
        measured=[
            measured("fastnn", 1, 10.0),
            measured("fastnn", 2, 8.0),
            measured("jax", 1, 30.0),
            measured("jax", 2, 4.0),
            measured("fann", 1, 1.0, note="plain gradient descent, not Adam"),
        ],
        complete=True,
    )
    page = report.Report(results, {"CPU": "one"}, "python -m bench")
    text = page.markdown()
    assert "On 1 thread, the fastest peer is jax; fastnn is 3 times as fast." in text
    assert "On 2 threads, the fastest peer is jax; fastnn is 0.5 times as fast." in text
    assert "| W2 | 8-10-1 | batch 32 | 8 (2 threads) | jax (2 threads) | 4 | **0.5** |" in text
    assert "plain gradient descent" in text, "shown, but not as the fastest"
    page.save(tmp_path)
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8").startswith("# Benchmarks")
    assert (tmp_path / "benchmarks.png").stat().st_size > 1000


def test_runs_are_put_together(tmp_path):
    files = []
    for name, rows in {
        "one": [measured("fastnn", 1, 10.0), measured("jax", 1, 30.0)],
        "two": [measured("fastnn", 2, 5.0, key="W1"), measured("fastnn", 1, 6.0)],
    }.items():
        results = side_by_side.Results(
            measured=rows, versions={name: "1"}, imports={name: 0.1}, complete=True
        )
        files.append(tmp_path / name)
        page = report.Report(results, {"CPU": name}, report.command(["--only", name, "--json", "x.json"]))
        files[-1].write_text(json.dumps(page.as_dict()), encoding="utf-8")
    found = report.merged(files)
    assert found.command == "python -m bench --only one`, `python -m bench --only two"
    medians = {(row["key"], row["peer"], row["threads"]): row["median"] for row in found.results.measured}
    assert medians == {("W1", "fastnn", 2): 5.0, ("W2", "fastnn", 1): 6.0, ("W2", "jax", 1): 30.0}
    assert found.results.complete
    assert set(found.results.versions) == {"one", "two"}
    assert report.command(["--quick", "--save"]) == "python -m bench --quick"
    assert report.command(["--save", "there", "--peers", "a b"]) == "python -m bench --peers 'a b'"


@pytest.mark.parametrize("wrong", [["--only", "W99"], ["--peers", "abacus"], ["--only", ","]])
def test_wrong_arguments(wrong, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(wrong)
    assert "there are" in capsys.readouterr().err


def test_disturbed_rounds_are_told_apart():
    rounds = [(1.0, 0.0), (3.0, 1.0), (1.1, 0.1)]
    assert side_by_side.quiet(rounds) == [(1.0, 0.0), (1.1, 0.1)]


# ---- what fastnn bench is made of ----------------------------------------------------------------


def test_limits_are_positive_and_described():
    limits = machine.limits(0.0)
    assert all(value > 0 for value in limits.values())
    said = machine.describe(limits)
    assert "CPU" in said
    assert any("L1" in name for name in said)
    assert any("AMX" in name for name in said), "what is not measured is named"
    assert machine.better(limits, limits) == limits


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_buffers_grow_with_the_level(threads):
    sizes = [machine.buffer_bytes(level, threads) for level in (1, 2, 3)]
    assert sizes == sorted(set(sizes))
    assert machine.buffer_bytes(4, threads) > 0


def test_rounds_are_in_turns():
    order = []
    settings = timing.Settings(quick=True, rounds=3, seconds=0.0, limit_seconds=0.0)
    works = [lambda count: order.append("a"), lambda count: order.append("b")]
    found = timing.interleaved(works, settings)
    assert [len(seconds) for seconds in found] == [3, 3]
    assert order[-6:] == ["a", "b"] * 3


def test_tables():
    lines = table("title", [{"": "W1", "µs": 1234.5}, {"": "W2", "µs": float("nan")}])
    assert lines[1] == "title"
    assert lines[3].split() == ["W1", "1,234"]
    assert lines[4].split() == ["W2", "-"]
