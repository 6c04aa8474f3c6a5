"""Folders that the local resources make on the way to their files, and take away with the last of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pinfeather._files import FileError

_MARK = ".pinfeather-folder"
_NOTE = b"Made by Pinfeather, and removed with the last file that it wrote here.\n"


def make_folders(path: Path) -> None:
    """Make the missing folders above the file `path`.

    Each gets a mark, so that whichever resource is deleted last can remove it, and a folder of the user's stays.
    Raises `FileError`.
    """
    missing = []
    for folder in path.parents:
        if folder.exists():
            break
        missing.append(folder)
    try:
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another resource of this run made it just now
                folder.mkdir(mode=0o755)
                (folder / _MARK).write_bytes(_NOTE)
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise FileError(path, f"its folder cannot be made: {why}") from error


def leave_folders(folder: Path) -> None:
    """Remove the folders that we made, from the innermost outwards, as far as nothing else is in them."""
    for each in (folder, *folder.parents):
        mark = each / _MARK
        try:
            if [entry.name for entry in each.iterdir()] != [_MARK] or mark.read_bytes() != _NOTE:
                return
            mark.unlink()
            each.rmdir()
        except OSError:
            return  # gone already, or in use again: a folder left behind harms nobody
