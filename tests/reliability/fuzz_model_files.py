"""Coverage-guided fuzzing of `fastnn.models.load_model`, with Atheris (``pip install atheris``).

    python tests/reliability/fuzz_model_files.py --seconds 60

Files of models of every kind are changed, as bytes and as what they say, and mostly signed anew, so that the
digest does not stop them. Whatever comes of it: a model that predicts and can be saved, or
`fastnn.FormatError`; within 5 seconds; and in memory of the file's size, that of the network, and 16 MB.
Anything else ends the run with another status than 0, and leaves the input in ``--keep``.
"""

import argparse
import ctypes
import json
import pkgutil
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import atheris
import numpy as np

TESTS = Path(__file__).resolve().parent.parent
# Of what other packages are needed for, or what is compiled, nothing is to be learned.
APART = {"__main__", "kernels", "convert", "estimators", "model_selection", "sklearn_wrapper"}
sys.path.insert(0, str(TESTS))

with atheris.instrument_imports(include=["fastnn"]):
    import fastnn

    for module in pkgutil.walk_packages(fastnn.__path__, "fastnn."):
        if not APART & set(module.name.split(".")):
            __import__(module.name)
    from test_files_damage import joined, parts, signed

    from fastnn.models import load_model

SECONDS = 5  # that an input may take
MEGABYTE = 2**20
BEYOND = 16 * MEGABYTE  # the file's size and that of the network, which is not more in these files
ADDRESS_SPACE = 2 << 30  # beyond what the program has when it starts: a larger allocation fails, and is told

STRANGE = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64, 10**40),
    *(0.5, -0.5, 1e-320, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 1.0, 3.5),
    *("", "x", "relu", "adam", "Dense", "keras", "builtins", "function", "__class__", "float16", "bfloat16"),
    *("\u0000", "\ud800", "é", "mse", "sha256", "a" * 5000, "channels_first", "rows", "auto"),
    *([], {}, [None], [[]], [1, 2, 3], [2**62] * 3, {"class_name": "Dense", "config": {}}, [[1], [2, 3]]),
]


# ---- files to begin with ---------------------------------------------------------------------------


def write_seeds(folder: Path) -> None:
    """Write files of models of every layer, loss, metric, optimizer and schedule; see `random_models`."""
    from functools import partial

    from random_models import models, set_weights

    for model in models():
        found: dict = {"k": fastnn, "np": np, "partial": partial, "found": {}, "set_weights": set_weights}
        # without what comes after the fit, and without callbacks that are functions
        code = model.code.partition('found["fit"]')[0]
        try:
            exec(code, found)
            found["model"].fit(found["x"], found["y"], verbose=0)
            found["model"].save(folder / f"seed-{model.seed}")
        except (FloatingPointError, ValueError) as error:  # diverged; or settings that cannot be written
            print(f"no file of model {model.seed}: {error}")
    fastnn.config.set_floatx("float32")
    small = fastnn.Sequential([fastnn.Input((3,)), fastnn.layers.Dense(2)])
    small.save(folder / "not-compiled")
    small.save_weights(folder / "weights")
    for path in (TESTS / "files").glob("*.safetensors"):
        (folder / path.name).write_bytes(path.read_bytes())


# ---- changes ---------------------------------------------------------------------------------------


def places(tree, found=None):
    """Return (container, key) of everything in a tree of dicts and lists."""
    found = [] if found is None else found
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        found.append((tree, key))
        places(value, found)
    return found


def change_tree(tree, rng: random.Random) -> None:
    """Change something in it."""
    found = places(tree)
    if not found:
        return
    holder, key = rng.choice(found)
    kind = rng.randrange(8)
    value = holder[key]
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, name = rng.choice(found)
        holder[key] = json.loads(
            json.dumps(other.get(name) if isinstance(other, dict) else other[name : name + 1])
        )
    elif kind == 2 and isinstance(holder, dict):
        holder[rng.choice([str(k) for _, k in found] + ["x"])] = holder.pop(key)
    elif kind == 3 and isinstance(value, list):
        value.append(rng.choice([*value, *STRANGE]))
    elif kind == 4 and isinstance(value, dict):
        value[rng.choice([str(k) for _, k in found])] = rng.choice(STRANGE)
    elif kind == 5 and isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = rng.choice(
            [value + 1, value - 1, -value, value * 2, value * 1000, str(value), float(value)]
        )
    elif kind == 6:
        for _ in range(rng.choice([1, 10, 500])):
            value = [value] if rng.random() < 0.5 else {str(key): value}
        holder[key] = value
    else:
        holder[key] = rng.choice(STRANGE)


def change_file(data: bytes, rng: random.Random) -> bytes:
    """Return another file: its text, its header or its numbers changed, and its digest right."""
    header, rest = parts(data)
    text = header["__metadata__"]["fastnn"]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        kind = rng.randrange(10)
        if kind < 6:
            content = json.loads(text)
            change_tree(content, rng)
            text = json.dumps(content)
        elif kind == 6:
            text = atheris.Mutate(text.encode("utf-8", "surrogatepass"), len(text) + 64).decode(
                "utf-8", "replace"
            )
        elif kind == 7:
            rest = atheris.Mutate(rest, len(rest) + 64)
        else:
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            change_tree(tensors, rng)
            header = {**tensors, "__metadata__": header["__metadata__"]}
    header["__metadata__"]["fastnn"] = text
    return joined(header, rest)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Atheris's custom mutator."""
    rng = random.Random(seed)
    if rng.random() < 0.05:
        return atheris.Mutate(data, max_size)
    try:
        if rng.random() < 0.05:
            data = signed(atheris.Mutate(data, max_size))
        else:
            data = change_file(data, rng)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, OverflowError):
        data = atheris.Mutate(data, max_size)
    return data[:max_size]


# ---- what must hold --------------------------------------------------------------------------------


class Heap(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = Heap


def allocated() -> int:
    """Return the bytes that the C library has handed out."""
    heap = _libc.mallinfo2()
    return heap.uordblks + heap.hblkhd


class Target:
    """What Atheris calls with each input.

    Parameters
    ----------
    folder : Path
        For the file that is loaded, and for ``found``, which says how it goes.
    """

    def __init__(self, folder: Path):
        self.path, self.found = folder / "model", folder / "found"
        self.other = fastnn.Sequential([fastnn.Input((3,)), fastnn.layers.Dense(2)])
        self.loaded = self.refused = 0
        self.slowest, self.most = 0.0, 0

    def __call__(self, data: bytes) -> None:
        self.path.write_bytes(data)
        before, begun = allocated(), time.perf_counter()
        tracemalloc.start()
        try:
            model = self._load()
            more = max(tracemalloc.get_traced_memory()[1], allocated() - before) - len(data)
        finally:
            tracemalloc.stop()
        seconds = time.perf_counter() - begun
        self.slowest, self.most = max(self.slowest, seconds), max(self.most, more)
        if (self.loaded + self.refused) % 100 == 0:
            self.found.write_text(
                f"{self.loaded} files loaded, {self.refused} refused; the slowest took {self.slowest:.2f} s, "
                f"the most memory beyond a file's size was {self.most / MEGABYTE:.1f} MB"
            )
        if seconds > SECONDS:
            raise RuntimeError(f"loading took {seconds:.1f} s")
        if more > BEYOND:
            raise RuntimeError(f"loading {len(data)} bytes took {more} bytes more than that")
        if model is not None:
            self._use(model)
        else:
            self._load_weights()

    def _load(self):
        try:
            model = load_model(self.path)
        except fastnn.FormatError:
            self.refused += 1
            return None
        self.loaded += 1
        return model

    def _use(self, model) -> None:
        if not model.built or model.input_shape[1:] != (model._columns(),):
            return
        found = model.predict(np.ones((2, model._columns())), verbose=0)
        assert len(found) == 2
        model.save(self.path)
        load_model(self.path)

    def _load_weights(self) -> None:
        try:
            self.other.load_weights(self.path)
        except (fastnn.FormatError, ValueError):
            return


def fuzz(folder: Path, seconds: int, seed: int, keep: Path) -> None:
    """Fuzz; ends the process."""
    seeds = folder / "seeds"
    seeds.mkdir()
    write_seeds(seeds)
    target = Target(folder)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, resource.RLIM_INFINITY))
    options = [f"-max_total_time={seconds}", f"-timeout={4 * SECONDS}", "-max_len=1000000", f"-seed={seed}"]
    options += ["-print_final_stats=1", "-rss_limit_mb=4096", f"-artifact_prefix={keep}/"]
    atheris.Setup([sys.argv[0], *options, str(seeds)], target, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs that fail"
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("inputs", nargs="*", help="files to try, instead of fuzzing")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.folder:
        fuzz(arguments.folder, arguments.seconds, arguments.seed, arguments.keep)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        for path in arguments.inputs:
            print(path)
            Target(folder)(Path(path).read_bytes())
        if arguments.inputs:
            return 0
        arguments.keep.mkdir(parents=True, exist_ok=True)
        # In a process of its own, since libFuzzer ends it without a word of ours.
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--folder", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        lines = done.stdout.splitlines()
        print(
            *(line for line in lines if done.returncode or line.startswith(("no file", "stat::"))), sep="\n"
        )
        print(Target(folder).found.read_text() if (folder / "found").exists() else "nothing was tried")
        print("no findings" if done.returncode == 0 else f"a finding, in {arguments.keep}")
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
