"""Several files, written together: all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pinfeather._files import FileError, remove, write_atomic


class Wanted(NamedTuple):
    """One file. `mode`: permission bits; None: the usual ones. `mine`: it may be there, since `data` holds what it said."""

    path: Path
    data: bytes
    mode: int | None = None
    mine: bool = False


def write_all(files: Sequence[Wanted], *, force: bool) -> None:
    """Writes them in their order. Raises FileError, with everything as it was."""
    before = {each.path: _there(each.path) for each in files}
    for each in files:
        old = before[each.path]
        if old is not None and old != each.data and not each.mine and not force:
            raise FileError(each.path, "is there already; nothing was written. Choose another name, or say --force to write over it")
    folders: list[Path] = []
    done: list[Wanted] = []
    try:
        for each in files:
            _make_folder(each.path.parent, folders)
            done.append(each)
            write_atomic(each.path, each.data, mode=each.mode)
    except BaseException:
        _undo(done, before, folders)
        raise


def _there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise FileError(path, (problem.strerror or str(problem)).lower()) from None


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        try:
            each.mkdir()
        except OSError as problem:
            raise FileError(each, f"cannot be made a folder: {(problem.strerror or str(problem)).lower()}") from None
        made.append(each)


def _undo(done: Sequence[Wanted], before: dict[Path, bytes | None], folders: Sequence[Path]) -> None:
    for each in reversed(done):
        old = before[each.path]
        if old is None:
            remove(each.path)
        else:
            write_atomic(each.path, old)
    for folder in reversed(folders):
        if not any(folder.iterdir()):
            folder.rmdir()
