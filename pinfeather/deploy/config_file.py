"""`ConfigFile`: a text file that a proxy reads, written whole or not at all, and only where it is ours to write.

Ours is what carries our mark and our owner: a first line that is a comment (YAML, TOML), or a file `.NAME.pinfeather`
beside it where the format has no comment line. The mark holds the hash of the content, so an edit by hand shows: it is
put right, and said. A file without our mark, or with the mark of another stack, is never touched.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import Field
from typing_extensions import override

from pinfeather._files import FileError, remove, sweep_temporaries, write_atomic
from pinfeather.deploy.contract import (
    Change,
    Difference,
    Failure,
    RefusedError,
    Resource,
    Severity,
    Step,
    Stored,
    Value,
    changed_fields,
)
from pinfeather.deploy.folders import leave_folders, make_folders

_COMMENTED = frozenset({".yaml", ".yml", ".toml", ".cfg", ".conf", ".ini", ".env"})  # `#` starts a comment there
_MARK = re.compile(rb"# Written by Pinfeather for ([!-~]+); sha256 ([0-9a-f]{64}); an edit here is put back\.")
_LONGEST_MARK = 8192  # bytes; a URN is far shorter


class Mark(enum.StrEnum):
    """Where a file says that it is ours: in a first comment line, or in a file beside it."""

    COMMENT = "comment"
    SIDECAR = "sidecar"


class ConfigFileInputs(Value):
    """What a program asks for. `mark` is found from the file's suffix when absent; `mode` holds permission bits."""

    path: Annotated[str, Field(min_length=1)]
    content: str
    mark: Mark | None = None
    mode: Annotated[int, Field(ge=0, le=0o777)] | None = None


class ConfigFileOutputs(Value):
    """What is on the disk: the hash of the file's bytes, whose it is, and whether somebody edited it since."""

    sha256: str
    owner: str
    edited: bool = False


@dataclass(frozen=True)
class _Absent:
    """Nothing stands at the path."""


@dataclass(frozen=True)
class _Foreign:
    """Something stands there that is not ours; `reason` finishes the sentence `PATH ...`."""

    reason: str


@dataclass(frozen=True)
class _Ours:
    """Our mark is on it. `content` is what stands behind the mark, `edited` whether it is not what we wrote."""

    owner: str
    content: bytes
    sha256: str
    edited: bool
    mode: int


_Found = _Absent | _Foreign | _Ours


class ConfigFileResource(Resource[ConfigFileInputs, ConfigFileOutputs]):
    """The operations on a `ConfigFile`; its id is its path."""

    inputs = ConfigFileInputs
    outputs = ConfigFileOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"path", "mark"})
    # The new path is written before the old one goes: a proxy that watches the folder is never without its routes.
    delete_before_replace: ClassVar[bool] = False

    @override
    def identity(self, new: ConfigFileInputs) -> str:
        return new.path

    @override
    def check(self, new: ConfigFileInputs) -> Sequence[Failure]:
        if "\0" in new.path or not Path(new.path).is_absolute() or os.path.normpath(new.path) != new.path:
            return (Failure("path", f"{new.path!r} must be an absolute path without `.`, `..` or a slash at its end"),)
        return ()

    @override
    def diff(self, step: Step, old: Stored[ConfigFileInputs, ConfigFileOutputs], new: ConfigFileInputs) -> Difference:
        changes = changed_fields(old.inputs, new)
        replaces = self.replace_on & changes.keys()
        if replaces:
            return Difference(changes, replaces, delete_before_replace="path" not in replaces)
        found = _look(new)
        if isinstance(found, _Ours) and _belongs(found, step, old):
            if _edited(found, old):
                step.say(Severity.WARNING, _hand(new.path))
            if found.sha256 != _sha256(_render(new, _owner(step.urn))):
                changes.setdefault("sha256", Change.UPDATE)
            if new.mode is not None and found.mode != new.mode:
                changes.setdefault("mode", Change.UPDATE)
        else:  # gone, or somebody else's: `update` writes it again or says why not
            changes.setdefault("sha256", Change.UPDATE)
        return Difference(changes)

    @override
    def create(self, step: Step, new: ConfigFileInputs) -> ConfigFileOutputs:
        owner = _owner(step.urn)
        found = _look(new)
        if isinstance(found, _Foreign):
            raise _not_ours(new.path, found.reason)
        if isinstance(found, _Ours):
            moved = _stack(found.owner) == _stack(owner) and not found.edited and found.content == new.content.encode()
            if found.owner != owner and not moved:
                raise _not_ours(new.path, f"belongs to {found.owner}")
            if found.edited:
                step.say(Severity.WARNING, _hand(new.path))
        return self._write(step, new, found)

    @override
    def read(self, step: Step, old: Stored[ConfigFileInputs, ConfigFileOutputs]) -> ConfigFileOutputs | None:
        found = _look(old.inputs)
        if not isinstance(found, _Ours) or not _belongs(found, step, old):
            if not isinstance(found, _Absent):
                step.say(Severity.WARNING, f"{old.inputs.path} {_whose(found)}: what Pinfeather wrote there is gone.")
            return None
        edited = _edited(found, old)
        if edited:
            step.say(Severity.WARNING, _hand(old.inputs.path))
        return ConfigFileOutputs(sha256=found.sha256, owner=found.owner, edited=edited)

    @override
    def update(self, step: Step, old: Stored[ConfigFileInputs, ConfigFileOutputs], new: ConfigFileInputs) -> ConfigFileOutputs:
        found = _look(new)
        if isinstance(found, _Absent):
            step.say(Severity.INFO, f"{new.path} was gone; it is written again.")
        elif not isinstance(found, _Ours) or not _belongs(found, step, old):
            raise _not_ours(new.path, _whose(found))
        elif _edited(found, old):
            step.say(Severity.WARNING, _hand(new.path))
        return self._write(step, new, found)

    @override
    def delete(self, step: Step, old: Stored[ConfigFileInputs, ConfigFileOutputs]) -> None:
        path = Path(old.inputs.path)
        found = _look(old.inputs)
        sidecar = _sidecar(path) if _mark_of(old.inputs) is Mark.SIDECAR else None
        if isinstance(found, _Ours) and _belongs(found, step, old):
            if _edited(found, old):
                step.say(Severity.WARNING, f"{path} was edited by hand, so it stays; remove it yourself.")
                return
            sweep_temporaries(path)
            remove(path)
        elif not isinstance(found, _Absent):
            step.say(Severity.WARNING, f"{path} {_whose(found)}, so it stays.")
            return
        if sidecar is not None:
            remove(sidecar)
        leave_folders(path.parent)

    def _write(self, step: Step, new: ConfigFileInputs, found: _Found) -> ConfigFileOutputs:
        owner = _owner(step.urn)
        data = _render(new, owner)
        if not step.preview:
            path = Path(new.path)
            if isinstance(found, _Absent):
                make_folders(path)
            sweep_temporaries(path)
            if _mark_of(new) is Mark.SIDECAR:
                # First the mark: killed between the two, we find our mark without its file, and never our file
                # without its mark.
                write_atomic(_sidecar(path), _mark_line(owner, new.content.encode()))
            write_atomic(path, data, mode=new.mode)
        return ConfigFileOutputs(sha256=_sha256(data), owner=owner)


def _owner(urn: str) -> str:
    # A watching Traefik runs `{{` even in a comment; quoting leaves only what is harmless there.
    return quote(urn, safe=":$/-._~")


def _stack(owner: str) -> list[str]:
    return owner.split("::")[:2]  # urn:pulumi:STACK::PROJECT


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _mark_of(new: ConfigFileInputs) -> Mark:
    if new.mark is not None:
        return new.mark
    return Mark.COMMENT if Path(new.path).suffix.lower() in _COMMENTED else Mark.SIDECAR


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.pinfeather")


def _mark_line(owner: str, content: bytes) -> bytes:
    return f"# Written by Pinfeather for {owner}; sha256 {_sha256(content)}; an edit here is put back.\n".encode()


def _render(new: ConfigFileInputs, owner: str) -> bytes:
    content = new.content.encode()
    return _mark_line(owner, content) + content if _mark_of(new) is Mark.COMMENT else content


def _belongs(found: _Ours, step: Step, old: Stored[ConfigFileInputs, ConfigFileOutputs]) -> bool:
    # A resource that was renamed by an alias still owns what it wrote under its old name.
    return found.owner in (_owner(step.urn), old.outputs.owner)


def _edited(found: _Ours, old: Stored[ConfigFileInputs, ConfigFileOutputs]) -> bool:
    # Killed between the mark and the file, we left the new mark beside the old content: that is no edit by hand.
    return found.edited and (old.outputs.edited or found.sha256 != old.outputs.sha256)


def _whose(found: _Found) -> str:
    if isinstance(found, _Ours):
        return f"belongs to {found.owner}"
    return found.reason if isinstance(found, _Foreign) else "is gone"


def _hand(path: str) -> str:
    # One sentence for refresh, comparison and update: what is said twice in a run is shown once.
    return f"{path} was edited by hand; `up` puts it right."


def _not_ours(path: str, reason: str) -> RefusedError:
    return RefusedError(f"{path} {reason}, so it is not touched: move it away, or give this resource another path.")


def _look(new: ConfigFileInputs) -> _Found:
    """What stands at the path. Of a file that is not ours only the first line is read."""
    path = Path(new.path)
    try:
        return _look_at(path, _mark_of(new))
    except FileNotFoundError:
        return _Absent()
    except NotADirectoryError:
        raise FileError(path, "a part of its path is a file and not a folder") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {(error.strerror or 'unknown error').lower()}") from error


def _look_at(path: Path, mark: Mark) -> _Found:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        return _Foreign("is a folder" if stat.S_ISDIR(mode) else "is not a file")
    if mark is Mark.SIDECAR:
        try:
            line = _sidecar(path).read_bytes()[:_LONGEST_MARK].partition(b"\n")[0]
        except FileNotFoundError:
            return _Foreign("was not written by Pinfeather")
        data = content = b""
    else:
        with path.open("rb") as file:
            data = file.readline(_LONGEST_MARK)
        line = data.rstrip(b"\r\n")
    marked = _MARK.fullmatch(line)
    if marked is None:
        return _Foreign("was not written by Pinfeather")
    data = path.read_bytes()
    content = data if mark is Mark.SIDECAR else data.partition(b"\n")[2]
    owner, written = marked[1].decode("ascii"), marked[2].decode("ascii")
    return _Ours(owner, content, _sha256(data), _sha256(content) != written, stat.S_IMODE(mode))
