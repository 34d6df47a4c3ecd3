"""Locks that the whole process shares, and that no fork leaves taken."""

import os
import threading

__all__ = ["shared_lock"]


def shared_lock() -> "threading.RLock":
    """Return a lock that whoever forks holds meanwhile: a child never waits for a thread that it lacks."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
