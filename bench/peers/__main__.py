"""The process of one peer: ``python -m bench.peers NAME THREADS CPUS``.

It reads commands from stdin, one JSON object a line, and answers each with a line on stdout. While another
peer works, it sleeps in that read. An error is an answer too: ``{"error": "..."}``.
"""

import contextlib
import gc
import importlib
import json
import os
import sys
import time


class Child:
    """Answers commands: ``hello``, ``check``, ``load``, ``round``, ``drop``."""

    def __init__(self, name, threads):
        from bench.peers import PEERS

        self.entry, self.threads = PEERS[name], threads
        start = time.perf_counter()
        self.cls = importlib.import_module(f"bench.peers.{self.entry.module}").Peer
        self.import_seconds = time.perf_counter() - start
        self.peer = None

    def hello(self):
        """Who this is."""
        return {"versions": self.cls.versions(), "import_seconds": self.import_seconds}

    def read(self, folder):
        from bench.peers.spec import Spec

        spec = Spec(folder)
        reason = self.cls.why_not(spec, **self.entry.options)
        if reason:
            raise Impossible(reason)
        return spec

    def check(self, folder, epochs):
        """Losses before, during and after a short training without shuffling; of inference, outputs."""
        spec = self.read(folder)
        x, y = spec.arrays["checked_x"], spec.arrays["checked_y"]
        peer = self.cls(spec, x, y, self.threads, **self.entry.options)
        answer = {what: getattr(self.cls, what)(spec, **self.entry.options) for what in ("tolerance", "note")}
        if spec.inference:
            return answer | {"outputs": peer.predict(x).tolist()}
        before = float(peer.loss())
        losses = [float(loss) for loss in peer.fit(epochs, shuffle=False)]
        return answer | {"before": before, "losses": losses, "after": float(peer.loss())}

    def load(self, folder, seconds):
        """Make the peer in its best setting; how many epochs (or calls) take about so many seconds."""
        spec = self.read(folder)
        x, y = spec.arrays["x"], spec.arrays["y"]
        rows = len(x) if spec.models > 1 or spec.inference else affordable(spec, self.cls, len(x))
        if rows < len(x):
            x, y = x[:rows], y[:rows]
        self.inference, spec.rows = spec.inference, x.shape[-2]
        seconds = max(seconds, 0.0 if spec.inference else self.cls.least_seconds)
        self.steps = 1 if spec.inference else spec.steps(x.shape[-2])
        found = []
        settings = self.cls.settings(spec, self.threads, **self.entry.options)
        for setting in settings:
            start = time.perf_counter()
            self.peer = self.cls(spec, x, y, self.threads, **self.entry.options, **setting)
            self.work(1)
            first = time.perf_counter() - start
            count = self.count(seconds if len(settings) == 1 else seconds / 2)
            took = min(self.work(count) for _ in range(1 if len(settings) == 1 else 2)) / count
            found.append((took, first - took, setting, count))
        took, compile_seconds, setting, count = min(found, key=lambda one: one[0])
        if len(settings) > 1:
            if setting is not found[-1][2]:
                self.peer = self.cls(spec, x, y, self.threads, **self.entry.options, **setting)
            count = max(1, round(count * 2))
            self.work(count)
        return {
            "count": count,
            "steps": self.steps,
            "rows": rows if spec.models == 1 else x.shape[-2],
            "setting": setting,
            "compile_seconds": max(0.0, compile_seconds),
        }

    def count(self, seconds):
        count = 1
        while True:
            took = min(self.work(count), self.work(count))  # the first of a new length may compile
            if took > seconds / 3 or count >= 300_000:
                return max(1, min(300_000, round(count * seconds / took)))
            count = max(count + 1, min(50 * count, round(count * seconds / took)))

    def round(self, count):
        """Seconds of so many epochs (or calls)."""
        return {"seconds": self.work(count)}

    def work(self, count):
        if self.inference:
            return self.calls(count)
        start = time.perf_counter()
        losses = self.peer.fit(count)
        took = time.perf_counter() - start
        if len(losses) != count or not losses[-1] == losses[-1]:
            raise RuntimeError(f"{count} epochs gave losses {losses[-3:]}")
        return took

    def calls(self, count):
        call = self.peer.caller() if hasattr(self.peer, "caller") else self.peer.predict
        x = self.peer.x
        call(x)
        start = time.perf_counter()
        for _ in range(count):
            call(x)
        return time.perf_counter() - start

    def drop(self):
        """Forget the workload."""
        self.peer = None
        gc.collect()
        return {}


class Impossible(Exception):
    """A workload that a peer cannot express."""


def affordable(spec, cls, rows):
    """Rows of which an epoch takes no more than two seconds, for peers that say how slow they are."""
    speed = getattr(cls, "flops_a_second", None)
    if speed is None:
        return rows
    steps = int(2 * speed / spec.flops)
    if steps < 1:
        raise Impossible(f"a step takes it about {spec.flops / speed:.0f} s")
    return min(rows, steps * spec.batch)


def main(name, threads, cpus):
    """Serve until stdin ends."""
    # Before any framework is imported: thread pools take their size from it.
    os.sched_setaffinity(0, cpus)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a framework prints must not come between the answers
    gc.disable()
    try:
        child = Child(name, threads)
    except (ImportError, OSError) as error:
        print(json.dumps({"missing": describe(error)}), file=answers, flush=True)
        return
    print(json.dumps(child.hello()), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        gc.collect()
        try:
            answer = getattr(child, command.pop("do"))(**command)
        except Impossible as reason:
            answer = {"impossible": str(reason)}
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": describe(error)}
        print(json.dumps(answer), file=answers, flush=True)


def describe(error):
    """An error in one line, without folders of this machine."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return " ".join(word for word in text.split(" ") if not word.strip("'\"()").startswith("/"))[:300]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(sys.argv[1], int(sys.argv[2]), [int(cpu) for cpu in sys.argv[3].split(",")])
