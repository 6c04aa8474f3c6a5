"""That two rollouts never work on one document: a lock beside it, which the system takes away with its holder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinfeather._files import FileError


def lock_of(document: Path) -> Path:
    """The lock's file, in the folder of the document itself."""
    target = Path(os.path.realpath(document))
    return target.with_name(f".{target.name}.rollout.lock")


@contextmanager
def locked(document: Path) -> Iterator[None]:
    """Holds the lock. Raises FileError where another process does, with its number."""
    path = lock_of(document)
    while True:
        descriptor = _opened(document, path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise FileError(document, f"another rollout works on it (process {holder or 'unknown'}); wait for its end, or end it") from None
        if _still_there(descriptor, path):
            break
        os.close(descriptor)  # its last holder has just removed it
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def holder_of(document: Path) -> str | None:
    """The number of the process that works on a document now."""
    try:
        descriptor = os.open(lock_of(document), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    return None


def _opened(document: Path, path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise FileError(document, f"cannot be locked ({path}): {(problem.strerror or str(problem)).lower()}") from None


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)
