"""The one place that writes files: whole or not at all.

A reader (a watching Traefik, a reference proxy, an editor) sees the old bytes or the new ones, never a part: the new
bytes go into a temporary file in the same folder, are flushed to the disk, take the old file's place by one rename,
and the folder is flushed. Unchanged bytes are not written, so nobody who watches the file wakes up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from pathlib import Path

_NEW_FILE = 0o666  # what `open` asks for; the umask takes its part away
_WHY = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EFBIG: "the file would be larger than the limit allows",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its symbolic links go in a circle",
}
_BOUND = "it is mounted by itself, so that it cannot be replaced in one step; mount its folder instead (the old file is unchanged)"


class FileError(Exception):
    """A file cannot be written or removed. The message is one sentence for the user; the command line exits with 4.

    `path` is the file as the caller named it. Whenever this is raised, the old file is as it was.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def write_atomic(path: Path, data: bytes, *, mode: int | None = None) -> bool:
    """Make `path` hold exactly `data`; return whether anything had to be written.

    A symbolic link is followed and its target replaced. The new file takes the old one's permissions and owner; `mode`
    (permission bits) sets others. Raises `FileError`, with the old file untouched and no temporary file left.
    """
    target = _target(path)
    old = _state(path, target)
    try:
        if old is not None and old.st_size == len(data) and target.read_bytes() == data:
            if mode is None or stat.S_IMODE(old.st_mode) == mode:
                return False
            target.chmod(mode)
            return True
        _replace(path, target, data, old, mode)
    except OSError as error:
        raise FileError(path, f"cannot write: {_why(error)}") from error
    return True


def remove(path: Path) -> bool:
    """Remove the file `path` (a link's target, not the link); return whether it was there. Raises `FileError`."""
    target = _target(path)
    try:
        target.unlink()
        _flush_folder(target.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FileError(path, f"cannot remove: {_why(error)}") from error
    return True


def sweep_temporaries(path: Path) -> None:
    """Remove temporary files for `path` whose writer has died (`kill -9`) before it could rename or remove them."""
    target = _target(path)
    pattern = re.compile(re.escape(f".{target.name}.") + r"([0-9]{1,10})\.[0-9a-f]{8}\.tmp")
    try:
        names = [entry.name for entry in target.parent.iterdir()]
    except OSError:
        return  # no folder, nothing to sweep; whoever writes next says what is wrong with it
    for name in names:
        left = pattern.fullmatch(name)
        if left is not None and not _runs(int(left[1])):
            with contextlib.suppress(OSError):  # harmless where it is; the write that follows says what is wrong
                (target.parent / name).unlink()


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _state(path: Path, target: Path) -> os.stat_result | None:
    """What stands at the target now; None when nothing does. Raises `FileError` for what no file can replace."""
    try:
        old = target.lstat()
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise FileError(path, f"the folder {target.parent} does not exist") from None
        return None
    except NotADirectoryError:
        raise FileError(path, "a part of its path is a file and not a folder") from None
    except OSError as error:
        raise FileError(path, f"cannot be looked at: {_why(error)}") from error
    if stat.S_ISDIR(old.st_mode):
        raise FileError(path, "is a folder; name a file in it")
    if stat.S_ISLNK(old.st_mode):
        raise FileError(path, _WHY[errno.ELOOP])
    if not stat.S_ISREG(old.st_mode):
        raise FileError(path, "is a device, a pipe or a socket, and not a file")
    if os.path.ismount(target):  # `Path.is_mount` of Python 3.11 says no for every file
        raise FileError(path, _BOUND)
    return old


def _replace(path: Path, target: Path, data: bytes, old: os.stat_result | None, mode: int | None) -> None:
    # The suffix is none that a watching proxy loads. O_EXCL: two writers never share a temporary file.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    fresh = old is None and mode is None
    descriptor = os.open(temporary, flags, _NEW_FILE if fresh else 0o600)
    try:
        try:
            _fill(descriptor, data)
            _take_over(descriptor, old, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno == errno.EBUSY:
            raise FileError(path, _BOUND) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def _fill(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _take_over(descriptor: int, old: os.stat_result | None, mode: int | None) -> None:
    """Give the new file the old one's owner and permissions, before it can be seen under its name."""
    if sys.platform == "win32":
        return
    if old is not None:
        new = os.fstat(descriptor)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    if mode is None and old is not None:
        mode = stat.S_IMODE(old.st_mode)
    if mode is not None:
        os.fchmod(descriptor, mode)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such operation
            raise
    finally:
        os.close(descriptor)


def _runs(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # signal 0 would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _why(error: OSError) -> str:
    return _WHY.get(error.errno or 0) or (error.strerror or "unknown error").lower()
