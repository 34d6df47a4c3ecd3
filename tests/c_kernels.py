"""The C kernels without Python: their units compiled by themselves, and linked with a driver of ``csrc/``."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-DNDEBUG"]
_AVX2 = ["-mavx2", "-mfma"]
_AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", *_AVX2]


class Machine(NamedTuple):
    """An architecture: its compiler, how its programs run here, its instruction sets and further units."""

    compiler: str
    run: Sequence[str]
    sets: dict[str, list[str]]  # name -> flags
    more: dict[str, list[str]]  # unit -> flags
    link: Sequence[str]


MACHINES = {
    "x86-64": Machine(
        "gcc",
        [],
        {"avx512": _AVX512, "avx2": _AVX2, "generic": []},
        {"isa_avx512bf16": ["-mavx512bf16", *_AVX512]},
        [],
    ),
    "aarch64": Machine(
        "aarch64-linux-gnu-gcc", ["qemu-aarch64"], {"neon": [], "generic": []}, {}, ["-static"]
    ),
}


class Kernels:
    """The compiled units of one machine, in a folder; each is compiled when it is first asked for.

    Parameters
    ----------
    machine : Machine
    folder : Path
    flags : list of str, optional
        Instead of `FLAGS`.
    objects : list of Path, optional
        The units, where they have been compiled before.
    """

    def __init__(
        self, machine: Machine, folder: Path, flags: Sequence[str] = FLAGS, objects: Sequence[Path] = ()
    ):
        for program in (machine.compiler, *machine.run):
            if not shutil.which(program):
                pytest.skip(f"needs {program} (Debian: gcc, gcc-aarch64-linux-gnu, qemu-user)")
        self.machine, self.folder, self.flags = machine, folder, flags
        units = [*(f"isa_{name}" for name in machine.sets), *machine.more]
        self.have = [
            f"-DFASTNN_HAVE_{unit.removeprefix('isa_').upper()}" for unit in units if "generic" not in unit
        ]
        self._objects = list(objects)

    def program(self, driver: str, own_unit: str | None = None) -> list[str]:
        """Return the command that runs ``csrc/<driver>.c``.

        ``own_unit`` is a file of the same folder that is compiled once for each instruction set, with its
        name in ``ISA`` and its header in ``SIMD``.
        """
        machine, tests = self.machine, ROOT / "tests" / "csrc"
        if not self._objects:
            units = {f"isa_{name}": flags for name, flags in machine.sets.items()}
            for unit, flags in {**units, **machine.more, "cpu": []}.items():
                self._objects.append(self._compile(ROOT / "csrc" / f"{unit}.c", unit, flags))
        own = [
            self._compile(
                tests / f"{own_unit}.c",
                f"{own_unit}_{name}",
                [*flags, f"-DISA={name}", f'-DSIMD="simd_{name}.h"'],
            )
            for name, flags in machine.sets.items()
            if own_unit
        ]
        path = self.folder / driver
        source = [tests / f"{driver}.c", *own, *self._objects]
        self._call(*self.have, "-fopenmp", *source, "-lm", *machine.link, "-o", path)
        return [*machine.run, str(path)]

    def _compile(self, source: Path, name: str, flags: Sequence[str]) -> Path:
        target = self.folder / f"{name}.o"
        self._call(*flags, *self.have, "-c", source, "-o", target)
        return target

    def _call(self, *arguments: str | Path) -> None:
        folders = [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'tests' / 'csrc'}"]
        command = [self.machine.compiler, *self.flags, *folders, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
