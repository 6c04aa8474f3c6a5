"""What a rollout did and is about to do: a line of JSON each, on the disk before it is done; and where that left things.

Only ever appended to. A line that a power cut tore is left as it is: what it announced had not begun.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pinfeather._files import FileError
from pinfeather.rollout.editing import Subject

What = Literal[
    "began", "writes", "runs", "ended", "holds", "stands", "goes back", "went back", "done", "goes on", "stopped", "given up", "torn"
]


class Record(BaseModel):
    """One line. Which fields there are hangs on `what`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    time: str
    """RFC 3339, UTC."""
    what: What
    kind: str | None = None
    name: str | None = None
    """Whose split it is."""
    document: str | None = None
    to: str | None = None
    steps: list[str] | None = None
    """In percent."""
    weights: dict[str, int] | None = None
    digest: str | None = None
    """SHA-256 of the document's bytes: as it was (`began`), is (`goes on`), or will be (`writes`)."""
    spelt: dict[str, str] | None = None
    """How the weights were written before the first step, for going back: the document itself may hold what no log should."""
    command: list[str] | None = None
    folder: str | None = None
    exit: int | None = None
    """Below 0: the signal that ended it."""
    seconds: float | None = None
    why: str | None = None
    output: str | None = None
    """The end of what a command printed that failed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the last rollout of a log stands: one that has written, or was about to."""

    began: Record
    last: Record
    phase: Literal["up", "back", "done", "undone"] = "up"
    written: str = ""
    """The digest of what was written last."""
    possible: frozenset[str] = frozenset()
    """That and the digests of what may stand there instead, where the write was cut off."""
    weights: Mapping[str, int] | None = None
    earlier: Mapping[str, int] | None = None
    """Those before."""
    stands: bool = False
    """Whether these weights were deployed and verified to the end of their hold."""
    running: Record | None = None
    """A command whose end was not seen."""

    @property
    def unfinished(self) -> bool:
        return self.phase in ("up", "back")


def standing(records: Iterable[Record]) -> Standing | None:
    """Of the last rollout that has begun to write; None where there is none, or it was given up."""
    found: Standing | None = None
    begun: Standing | None = None  # one that has not written: it changed nothing, so what was before it counts
    for record in records:
        if record.what == "began":
            begun = Standing(record, record, written=record.digest or "", possible=frozenset({record.digest or ""}))
        elif record.what == "given up":
            found = None
        elif record.what == "writes" and begun is not None:
            found, begun = _after(begun, record), None
        elif begun is None and found is not None:
            found = _after(found, record)
    return found


def _after(found: Standing, record: Record) -> Standing:
    found = replace(found, last=record)
    match record.what:
        case "writes":
            earlier, digest = found.weights or found.began.weights, record.digest or ""
            possible = found.possible | {digest}
            return replace(found, written=digest, possible=possible, weights=record.weights, earlier=earlier, stands=False)
        case "goes on":
            digest = record.digest or ""
            return replace(found, written=digest, possible=frozenset({digest}), weights=record.weights)
        case "runs":
            return replace(found, running=record, possible=frozenset({found.written}))  # what was to be written is
        case "ended":
            return replace(found, running=None)
        case "stands":
            return replace(found, stands=True)
        case "goes back":
            return replace(found, phase="back")
        case "went back":
            return replace(found, phase="undone")
        case "done":
            return replace(found, phase="done")
        case _:
            return found


class Log:
    """One log. Nothing is made before the first line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self) -> list[Record]:
        """Every line; none where there is no log. Raises FileError where a line is not one of ours."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise FileError(self.path, f"cannot be read: {(problem.strerror or str(problem)).lower()}") from None
        lines = data.split(b"\n")
        torn = len(lines) - 1  # what is behind the last line end; mostly nothing
        found: list[Record] = []
        wrong = 0
        for number, line in enumerate(lines[:torn], 1):
            try:
                record = Record.model_validate_json(line)
            except ValidationError:
                if wrong:
                    break
                wrong = number
                continue
            if wrong and record.what != "torn":
                break
            wrong = 0
            found.append(record)
        if wrong:
            raise FileError(self.path, f"line {wrong} is no line of a rollout's log; say another with --log")
        return found

    def append(self, what: What, **fields: object) -> Record:
        """One more line, on the disk when this returns. Raises FileError."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = Record.model_validate({"time": now, "what": what, **fields})
        try:
            if self._descriptor is None:
                self._descriptor = self._opened()
            self._write(record)
        except OSError as problem:
            raise FileError(self.path, f"cannot write the log: {(problem.strerror or str(problem)).lower()}") from None
        return record

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, record: Record) -> None:
        assert self._descriptor is not None
        rest = memoryview((record.model_dump_json(exclude_none=True) + "\n").encode("utf-8"))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)

    def _opened(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileError(self.path, "is no file; say another with --log")
        os.fchmod(descriptor, 0o600)
        if fresh:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
            self._descriptor = descriptor
            self.append("torn")
        return descriptor


def subject_of(record: Record) -> Subject:
    """Whose rollout a `began` tells of."""
    return Subject(record.kind or "", record.name or "")
