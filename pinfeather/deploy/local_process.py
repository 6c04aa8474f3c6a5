"""`LocalProcess`: a proxy or a server that runs on this machine under Pulumi, and goes on when Pulumi has ended.

Its id is its name. One process for each name and run folder: a run that was killed in the middle is found again and
adopted when it is healthy and of the same specification, so that nothing is ever started twice. What the process
reads while it runs (Traefik its folder, the reference proxy its file) is no part of the specification.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from typing_extensions import override

from pinfeather._files import FileError, sweep_temporaries, write_atomic
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
from pinfeather.deploy.processes import Identity, end, in_use, leads_session, marked, runs, split_address, start, tail, wait_healthy

_Seconds = Annotated[float, Field(gt=0, le=600)]
_Name = Annotated[str, Field(pattern=r"\A[a-z0-9][a-z0-9._-]{0,62}\z")]
_LOCK_PAUSE = 0.05  # seconds
_HEALTH_SCHEMES = ("http", "tcp")


class LocalProcessInputs(Value):
    """What a program asks for.

    `folder` is the run folder (state, lock and log), `restart_on` names values whose change asks for a restart, such as
    the hash of a static configuration. Without `health`, accepting a connection on the first listen address will do.
    """

    name: _Name
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    folder: str
    listen: tuple[str, ...] = ()
    health: str | None = None
    environment: dict[str, str] | None = None
    working_directory: str = "/"
    kind: str = "server"
    version: str = ""
    log: str | None = None
    restart_on: dict[str, str] | None = None
    start_timeout: _Seconds = 20.0
    stop_timeout: _Seconds = 10.0


class LocalProcessOutputs(Value):
    """The running process: pid, start time (seconds since 1970), where it listens, its log, and the hash of what it is."""

    pid: int
    started: float
    addresses: tuple[str, ...]
    log_file: str
    specification: str


class _Record(Value):
    """The state file: written before the first health check, so that a killed run leaves no process unknown."""

    pid: int
    started: float
    specification: str


_Old = Stored[LocalProcessInputs, LocalProcessOutputs]


class LocalProcessResource(Resource[LocalProcessInputs, LocalProcessOutputs]):
    """The operations on a `LocalProcess`."""

    inputs = LocalProcessInputs
    outputs = LocalProcessOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"name", "folder"})
    delete_before_replace: ClassVar[bool] = True  # both could not listen on one port

    @override
    def identity(self, new: LocalProcessInputs) -> str:
        return new.name

    @override
    def check(self, new: LocalProcessInputs) -> Sequence[Failure]:
        failures = []
        for name, path in (("folder", new.folder), ("working_directory", new.working_directory), ("log", new.log)):
            if path is not None and not Path(path).is_absolute():
                failures.append(Failure(name, f"{path!r} must be an absolute path"))
        if any("\0" in text for text in new.command):
            failures.append(Failure("command", "holds a NUL character"))
        for address in new.listen:
            try:
                split_address(address)
            except ValueError as error:
                failures.append(Failure("listen", str(error)))
        failures.extend(_health_failures(new))
        return failures

    @override
    def diff(self, step: Step, old: _Old, new: LocalProcessInputs) -> Difference:
        changes = changed_fields(old.inputs, new)
        replaces = self.replace_on & changes.keys()
        if not replaces and not runs(_identity(old)):
            step.say(Severity.WARNING, f"{new.name} (process {old.outputs.pid}) does not run any more.")
            changes["pid"] = Change.UPDATE
        return Difference(changes, frozenset(replaces))

    @override
    def create(self, step: Step, new: LocalProcessInputs) -> LocalProcessOutputs | None:
        if step.preview:
            if not _running(new):
                for refusal in filter(None, map(in_use, new.listen)):
                    step.say(Severity.WARNING, f"{new.name} will not start as things are: {refusal}.")
            return None
        with _locked(step, new):
            return _converge(step, new)

    @override
    def read(self, step: Step, old: _Old) -> LocalProcessOutputs | None:
        if runs(_identity(old)):
            return old.outputs
        for found in _running(old.inputs):
            if found.mark == _mark(old.inputs):  # a run was killed after it had started this one again
                return _outputs(old.inputs, found)
        step.say(Severity.WARNING, f"{old.inputs.name} (process {old.outputs.pid}) does not run any more.")
        return None

    @override
    def update(self, step: Step, old: _Old, new: LocalProcessInputs) -> LocalProcessOutputs | None:
        if old.outputs.specification == _specification(new) and runs(_identity(old)):
            return old.outputs
        if step.preview:
            return None
        with _locked(step, new):
            return _converge(step, new)

    @override
    def delete(self, step: Step, old: _Old) -> None:
        new = old.inputs
        with _locked(step, new):
            running = _running(new)
            if runs(_identity(old)) and old.outputs.pid not in [each.pid for each in running]:
                running.insert(0, _identity(old))
            _end_all(step, new, running)
            try:
                for path in (_state_file(new), _log(new), _lock_file(new)):
                    path.unlink(missing_ok=True)
                sweep_temporaries(_state_file(new))  # of a run that was killed while it wrote
            except OSError as error:
                raise FileError(Path(new.folder), f"cannot be cleared: {(error.strerror or '').lower()}") from error
        leave_folders(Path(new.folder))
        leave_folders(_log(new).parent)


def _converge(step: Step, new: LocalProcessInputs) -> LocalProcessOutputs:
    """Make the one process of this name run as specified: adopt it, or end what is there and start it."""
    running = _running(new)
    same = next((each for each in running if each.mark == _mark(new) and leads_session(each.pid)), None)
    if same is not None and wait_healthy(same, _health(new), new.start_timeout, step.cancelled) is None:
        step.say(Severity.INFO, f"{new.name} runs already (process {same.pid}); it is kept.")
        _write_record(new, same)
        return _outputs(new, same)
    _end_all(step, new, running)
    for refusal in filter(None, map(in_use, new.listen)):
        raise RefusedError(f"{new.name} cannot start: {refusal}. Stop that process, or choose another port.")
    log = _log(new)
    make_folders(log)
    written = log.stat().st_size if log.exists() else 0
    process = start(new.command, new.environment or {}, new.working_directory, log, _mark(new))
    failure: str | None = "it was interrupted"
    try:
        _write_record(new, process)
        failure = wait_healthy(process, _health(new), new.start_timeout, step.cancelled)
    finally:
        if failure is not None:
            end(process, min(1.0, new.stop_timeout))
            _state_file(new).unlink(missing_ok=True)
    if failure is not None:
        last = tail(log, written)
        shown = f" Its log {log} ends with:\n{last}" if last else f" It wrote nothing to its log {log}."
        raise RefusedError(f"{new.name} did not start: {failure}.{shown}")
    return _outputs(new, process)


def _end_all(step: Step, new: LocalProcessInputs, running: Sequence[Identity]) -> None:
    for each in running:
        if not end(each, new.stop_timeout):
            message = f"{new.name} (process {each.pid}) did not end within {new.stop_timeout:g} s, so it was killed."
            step.say(Severity.WARNING, message)


def _running(new: LocalProcessInputs) -> list[Identity]:
    """What runs under this name: what the state file says, and whatever carries its mark."""
    running = marked(_state_file(new))
    try:
        record = _Record.model_validate_json(_state_file(new).read_bytes())
    except (OSError, ValidationError):
        return running  # never started, or the state file was tampered with: the marks say it as well
    recorded = Identity(record.pid, record.started, f"{_state_file(new)}#{record.specification}")
    if runs(recorded) and recorded.pid not in [each.pid for each in running]:
        running.insert(0, recorded)
    return running


def _specification(new: LocalProcessInputs) -> str:
    """The hash of everything whose change asks for a restart."""
    fixed = new.model_dump(mode="json", exclude={"name", "folder", "start_timeout", "stop_timeout"})
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def _mark(new: LocalProcessInputs) -> str:
    return f"{_state_file(new)}#{_specification(new)}"


def _identity(old: _Old) -> Identity:
    mark = f"{_state_file(old.inputs)}#{old.outputs.specification}"
    return Identity(old.outputs.pid, old.outputs.started, mark)


def _outputs(new: LocalProcessInputs, process: Identity) -> LocalProcessOutputs:
    return LocalProcessOutputs(
        pid=process.pid,
        started=process.started,
        addresses=new.listen,
        log_file=str(_log(new)),
        specification=_specification(new),
    )


def _state_file(new: LocalProcessInputs) -> Path:
    return Path(new.folder, f"{new.name}.json")


def _lock_file(new: LocalProcessInputs) -> Path:
    return Path(new.folder, f"{new.name}.lock")


def _log(new: LocalProcessInputs) -> Path:
    return Path(new.log) if new.log is not None else Path(new.folder, f"{new.name}.log")


def _health(new: LocalProcessInputs) -> str:
    return new.health if new.health is not None else f"tcp://{new.listen[0]}"


def _health_failures(new: LocalProcessInputs) -> Iterator[Failure]:
    if new.health is None:
        if not new.listen:
            yield Failure("health", "is needed when there is no listen address to connect to")
        return
    try:
        parts = urlsplit(new.health)
        good = parts.scheme in _HEALTH_SCHEMES and parts.hostname and (parts.port or parts.scheme == "http")
    except ValueError:  # a port that is no number
        good = False
    if not good:
        yield Failure("health", f"{new.health!r} is not http://HOST:PORT/PATH or tcp://HOST:PORT")


def _write_record(new: LocalProcessInputs, process: Identity) -> None:
    record = _Record(pid=process.pid, started=process.started, specification=_specification(new))
    write_atomic(_state_file(new), record.model_dump_json().encode() + b"\n", mode=0o600)


@contextlib.contextmanager
def _locked(step: Step, new: LocalProcessInputs) -> Iterator[None]:
    """Hold the name's lock, so that two runs never start or end one process together."""
    path = _lock_file(new)
    make_folders(path)
    deadline = time.monotonic() + new.start_timeout + new.stop_timeout
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FileError(path, f"cannot be opened: {(error.strerror or '').lower()}") from error
        try:
            if _take(descriptor, path):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                yield
                return
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        finally:
            os.close(descriptor)
        if time.monotonic() >= deadline or step.cancelled.wait(_LOCK_PAUSE):
            raise RefusedError(f"{new.name}: another run (process {holder}) is busy with it; try again when it is done.")


def _take(descriptor: int, path: Path) -> bool:
    """Lock the file if nobody has it and it is still the one at `path`: who deletes a process removes the lock file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
