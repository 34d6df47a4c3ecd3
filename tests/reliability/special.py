"""Special builds of fastnn, made from a copy of the tree: what sanitized.py and covered.py share."""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", "build", "dist", "__pycache__", "*.so", "*.egg-info", ".*cache")


def parser(description):
    """Return a parser with what every program here takes; what it does not know is pytest's."""
    made = argparse.ArgumentParser(
        description=description,
        epilog="All further arguments are pytest's; by default it runs all tests.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--folder", type=Path, help="build there, and keep it for the next time")
    return made


@contextlib.contextmanager
def copied_tree(folder=None):
    """Copy the files of the tree to a folder, by default to a temporary one, and yield its path."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastnn-")))
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
        yield folder.resolve()


def build(folder, **environment):
    """Build the extensions in place, with these variables; print what the compiler said if it fails."""
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    env = {**os.environ, **environment}
    done = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout[-10_000:]}\nthe build failed")


def pytest(folder, arguments, **environment):
    """Run pytest in a copy of the tree; return its exit status."""
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=env, check=False).returncode


def library(name, compiler=None):
    """Return the path of one of the compiler's libraries."""
    compiler = compiler or os.environ.get("CC", "gcc")
    command = [*compiler.split(), f"-print-file-name={name}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(found):
        sys.exit(f"{compiler} has no {name}: it comes with gcc (Debian: libgcc-12-dev and the like)")
    return os.path.realpath(found)
