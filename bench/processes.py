"""A peer's process, as the parent sees it."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

from bench.peers import PEERS

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 600  # seconds for an answer; compiling a wide network takes a minute or two


class Gone(Exception):
    """The process answered nothing more; why, as far as is known."""


def environment(name, threads, scratch):
    """What a peer is started with: as many threads everywhere, no GPU, caches that begin empty."""
    entry = PEERS[name]
    values = dict(os.environ)
    for variable in ("OMP", "MKL", "OPENBLAS", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        suffix = "_THREADS" if variable.startswith("TF") else "_NUM_THREADS"
        values[variable + suffix] = str(threads)
    values |= {
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TORCHINDUCTOR_CACHE_DIR": str(Path(scratch, "inductor")),
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)])),
    }
    if entry.devices:
        values["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={threads}"
    return values | entry.environment


def busy_seconds():
    """Time that all processes of the machine, and its host's others, have had; 0.0 where that is not told."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Process:
    """One peer with one number of threads on given CPUs; commands go in and answers come out, a line each."""

    def __init__(self, name, threads, cpus, scratch):
        self.name = name
        self.scratch = Path(scratch)
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.log = self.scratch / "log.txt"
        with self.log.open("w", encoding="utf-8") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "bench.peers", name, str(threads), ",".join(map(str, cpus))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=environment(name, threads, self.scratch),
                bufsize=0,
            )
        self.rest = b""

    def ask(self, timeout=TIMEOUT, **command):
        """Send a command and return its answer, a dict; Gone where there is none."""
        try:
            self.child.stdin.write(json.dumps(command).encode() + b"\n")
        except OSError:
            raise Gone(self.last_words()) from None
        return self.answer(timeout)

    def answer(self, timeout=TIMEOUT):
        """The next line of the child."""
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.child.kill()
                    raise Gone(f"no answer within {timeout} s")
                found = self.child.stdout.read(1 << 20)
                if not found:
                    raise Gone(self.last_words())
                self.rest += found
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def last_words(self):
        """How the process ended."""
        status = self.child.wait()
        lines = [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]
        words = " ".join((lines or [""])[-1].split())
        return f"ended with status {status}" + (f": {words[:200]}" if words else "")

    def processor_seconds(self):
        """Time that all its threads have had of the processors; 0.0 where that cannot be told."""
        try:
            fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def leave(self):
        """Let the process end by itself, which it does once it reads again."""
        with contextlib.suppress(OSError):
            self.child.stdin.close()

    def close(self, patience=2):
        """End the process, gently first."""
        self.leave()
        try:
            self.child.wait(patience)
        except (OSError, subprocess.TimeoutExpired):
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
