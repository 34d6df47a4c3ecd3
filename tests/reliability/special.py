"""Special builds of fastnn, from a copy of the tree: what sanitized.py, covered.py and races.py share."""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", "build", "dist", "__pycache__", "*.so", "*.egg-info", ".*cache", ".hypothesis"
)


def parser(description, epilog="All further arguments are pytest's; by default it runs all tests."):
    """Return a parser with what every program here takes; what it does not know is pytest's."""
    made = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--folder", type=Path, help="build there, and keep it for the next time")
    made.add_argument("--build-only", action="store_true", help="of use with --folder")
    return made


@contextlib.contextmanager
def copied_tree(folder=None):
    """Copy the files of the tree to a folder, by default to a temporary one, and yield its path."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastnn-")))
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
        yield folder.resolve()


def run(*command, **options):
    """Run a program to its end; if it fails, print what it said and end."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    if done.returncode:
        said = done.stdout[-10_000:]
        sys.exit(f"{said}\nexit status {done.returncode}: {' '.join(str(word) for word in command)}")
    return done.stdout


def build(folder, **environment):
    """Build the extensions in place, with these variables."""
    run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=folder, env={**os.environ, **environment})


def pytest(folder, arguments, runner=("pytest",), **environment):
    """Run pytest in a copy of the tree, or what runs it; return its exit status."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-m", *runner, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=env, check=False).returncode


def compiler():
    """Return the C compiler's words: ``$CC``, or gcc."""
    return os.environ.get("CC", "gcc").split()


def library(name):
    """Return the path of one of the compiler's libraries."""
    found = run(*compiler(), f"-print-file-name={name}").strip()
    if not os.path.isabs(found):
        sys.exit(f"{compiler()[0]} has no {name}: the sanitizers' libraries come with gcc")
    return os.path.realpath(found)
