"""Files that are there whole or not at all: written beside their place, then renamed into it."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Any


def write(path: Any, content: bytes, overwrite: bool = True) -> None:
    """Write a file so that at every moment, whatever fails, the old or the new one is at ``path``.

    Parameters
    ----------
    path : str or path-like
        A link is followed. A file that is replaced keeps its permissions.
    content : bytes
    overwrite : bool
        False: a file that is there is an error.

    Raises
    ------
    FileExistsError
        Where there is one, and ``overwrite`` is False.
    OSError
        Where it cannot be written: no such folder, no permission, no space.

    Notes
    -----
    What is written goes to the disk before the name does, so the promise includes a loss of power. A process
    that is killed in between leaves its unfinished file, ``.NAME.*.tmp``, behind.
    """
    place = Path(os.path.realpath(path))
    if not overwrite and place.exists():
        raise FileExistsError(f"{os.fspath(path)} exists; pass overwrite=True to replace it.")
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:100]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, _mode(place))
            os.fsync(handle)
        os.replace(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(place.parent)


def _mode(place: Path) -> int:
    """Return the permissions of the file that is there, or those of a new one."""
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk, where the system lets a folder be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
