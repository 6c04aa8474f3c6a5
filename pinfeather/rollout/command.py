"""`pinfeather rollout`: what it reads, what it refuses before it does anything, and where it goes on."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

from pinfeather import _render
from pinfeather._files import FileError, sweep_temporaries
from pinfeather._sources import UsageError, file
from pinfeather.model.noun import nanoseconds
from pinfeather.rollout.editing import Subject, Text, find, read, restored, spelt
from pinfeather.rollout.lock import holder_of, locked
from pinfeather.rollout.log import Log, Standing, standing, subject_of
from pinfeather.rollout.running import Stop, still_runs
from pinfeather.rollout.steps import NOT_BACK, Job, Rollout, digest, said
from pinfeather.rollout.weights import UnsayableError, percent, share_of
from pinfeather.verify.arguments import parser as verify_parser

_PROJECT = ("Pulumi.yaml", "Pulumi.yml")
_LONGEST = 150  # characters of a name in a file's name
_POLL = 0.2  # seconds
_LONGEST_TIME = 7 * 24 * 3600.0  # seconds


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 every step stands, 1 it went back or was not begun, 2 input, 4 going back failed, or files; 128 + a signal's number.

    Raises FileError and UsageError, both before anything is done.
    """
    path = Path(os.path.realpath(given.document))
    subject = Subject("route", given.route) if given.route is not None else Subject("split", given.split)
    folder = _folder(given, path)
    log = Log(Path(given.log) if given.log is not None else folder / ".pinfeather" / _log_name(subject))
    if given.status:
        return _status(path, subject, log)
    up, verify = _up(given, folder), _verify(given, path)
    times = _seconds("--settle", given.settle), _seconds("--hold", given.hold)
    with locked(path), closing(log), Stop() as stop:
        sweep_temporaries(path)
        found = _standing(log, path, subject)
        if found is not None and found.unfinished and given.anew:
            log.append("given up", why="--anew")
            found = None
        cut_off = found is not None and found.unfinished
        if found is not None and (cut_off or given.back):
            return _go_on(given, path, subject, (up, verify, folder, times), log, stop, found)
        if given.back:
            raise UsageError(f"{log.path} knows of no rollout of {subject} that could go back")
        return _begin(given, path, subject, (up, verify, folder, times), log, stop)


_How = tuple[Sequence[str], Sequence[str], Path, tuple[float, float]]
"""How a step is deployed and verified, where, and for how long it settles and holds."""


def _begin(given: argparse.Namespace, path: Path, subject: Subject, how: _How, log: Log, stop: Stop) -> int:
    if given.to is None or given.steps is None:
        raise UsageError("say --to SERVICE and --steps 10,30,60,100")
    text = read(str(path), _bytes(path))
    job = _job(path, subject, text, given.to, how)
    shares = [share for share in given.steps if share > job.share]
    if not shares:
        sys.stdout.write(_render.plain(f"nothing to do: {subject} gives {job.to} {percent(job.share)} already") + "\n")
        return 0
    _sayable(job, shares)
    rollout = Rollout(job, log, stop, written=digest(text.data), weights=job.weights)
    log.append(
        "began",
        kind=subject.kind,
        name=subject.name,
        document=str(path),
        to=job.to,
        steps=[f"{float(share * 100):g}" for share in given.steps],
        weights=dict(job.weights),
        digest=digest(text.data),
        spelt=spelt(text, job.target),
    )
    rollout.say(f"{subject}: {job.to} has {percent(job.share)}; steps {', '.join(map(percent, shares))}")
    return _guarded(rollout, lambda: rollout.up(shares, first=True))


def _go_on(given: argparse.Namespace, path: Path, subject: Subject, how: _How, log: Log, stop: Stop, found: Standing) -> int:
    """With a rollout of the log: on where it was cut off, or back."""
    began = found.began
    if given.to is not None and given.to != began.to:
        raise UsageError(f"a rollout to {began.to!r} was cut off ({log.path}): finish it, or say --back or --anew")
    backwards = given.back or found.phase == "back"
    if not backwards and given.steps is None:
        raise UsageError(f"say --steps; those of the rollout that was cut off are {','.join(began.steps or ())}")
    if found.phase == "undone":
        sys.stdout.write(_render.plain(f"nothing to do: {subject} went back already ({found.last.time})") + "\n")
        return 0
    data = _bytes(path)
    if digest(data) not in found.possible:
        raise UsageError(f"{path} was edited since the last step of the rollout in {log.path}: --anew begins from what it is now")
    text = read(str(path), data)
    now = find(text, subject, began.to or "")
    original = restored(text, now, began.spelt or {})
    if digest(original) != began.digest:
        raise UsageError(
            f"{path}: what it was before the rollout in {log.path} cannot be made of it any more: --anew begins from what it is now"
        )
    job = _job(path, subject, read(str(path), original), began.to or "", how)
    share = share_of(now.weights, now.raised)
    shares: list[Fraction] = []
    if not backwards:
        stands = found.stands or digest(data) == began.digest
        shares = [*([] if stands else [share]), *(each for each in given.steps if each > share)]
        _sayable(job, shares)
    rollout = Rollout(job, log, stop, written=digest(data), weights=now.named(now.weights), earlier=found.earlier)
    log.append("goes on", weights=dict(rollout.weights), digest=digest(data))  # a write that was announced may not have come
    rollout.say(f"{subject}: {_stood(found)}; {rollout.stands()}")
    if not _ended(rollout, found, stop):
        return rollout.stopped()
    if backwards:
        why = "--back" if given.back else "it was going back"
        code = _guarded(rollout, lambda: rollout.back(why))
        return 0 if given.back and rollout.is_back else code
    rollout.say(f"going on: {', '.join(map(percent, shares)) or 'no step is left'}")
    return _guarded(rollout, lambda: rollout.up(shares, first=share not in shares))


def _guarded(rollout: Rollout, work: Callable[[], int]) -> int:
    """Where the log or the document fails in the middle, it is said what stands; nothing can be done that would not be in the log."""
    try:
        return work()
    except FileError as problem:
        sys.stderr.write(f"pinfeather: {_render.plain(f'{problem}; stopped there: {rollout.stands()}')}\n")
        return NOT_BACK


def _ended(rollout: Rollout, found: Standing, stop: Stop) -> bool:
    """Waits for a command that goes on though its rollout was killed. False: somebody wants us to end meanwhile."""
    if found.running is None or not still_runs(rollout.output):
        return True
    rollout.say(f"waiting for the end of `{' '.join(found.running.command or ())}`, which still runs (it holds {rollout.output})")
    while still_runs(rollout.output):
        if stop.wait(_POLL):
            return False
    return True


# What is given --------------------------------------------------------------------------------------------------------------


def _folder(given: argparse.Namespace, path: Path) -> Path:
    """Where the deployment runs. Raises UsageError and FileError."""
    if given.cwd is not None:
        folder = Path(given.cwd).absolute()
        if not folder.is_dir():
            raise FileError(Path(given.cwd), "is no folder")
        return folder
    for folder in path.parents:
        if any((folder / name).is_file() for name in _PROJECT):
            return folder
    if given.up is None and not given.status and given.log is None:
        raise UsageError(f"no Pulumi.yaml stands beside {path} or above it: say its folder with --cwd")
    return path.parent


def _log_name(subject: Subject) -> str:
    name = quote(subject.name, safe="")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}={digest(subject.name.encode())[:16]}"
    return f"rollout-{name}.log" if subject.kind == "route" else f"rollout-split={name}.log"


def _up(given: argparse.Namespace, folder: Path) -> list[str]:
    if (given.up is None) == (given.stack is None):
        raise UsageError("say one of --stack and --up: how a step is deployed")
    words = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", str(given.stack)]
    if given.up is not None:
        words = _words("--up", given.up)
        if not words:
            raise UsageError("--up: the command is empty")
    program = words[0]
    there = shutil.which(str(folder / program)) if os.sep in program else shutil.which(program)
    if there is None:
        raise UsageError(f"{program}: there is no such program{'' if os.sep in program else ' on PATH'}; nothing was done")
    return words


def _verify(given: argparse.Namespace, path: Path) -> list[str]:
    if not given.verify_url:
        raise UsageError("say --verify-url: where the proxy is reached that each step is verified at")
    urls = [word for url in given.verify_url for word in ("--url", url)]
    # -P: what stands in the current folder is not imported in the place of what is installed.
    words = [str(path), *urls, *_words("--verify-options", given.verify_options)]
    if {"-h", "--help"} & set(words):
        raise UsageError("--verify-options: with --help nothing would be verified")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            verify_parser().parse_args(words)
    except SystemExit:
        raise UsageError(f"--verify-options: {said.getvalue().strip().rpartition('error: ')[2]}") from None
    return [sys.executable, "-P", "-m", "pinfeather", "verify", *words]


def _words(flag: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as problem:
        raise UsageError(f"{flag} {text}: {str(problem).lower()}") from None


def _seconds(flag: str, text: str) -> float:
    try:
        found = nanoseconds(text) / 1e9
    except ValueError:
        found = -1.0
    if not 0 <= found <= _LONGEST_TIME:
        raise UsageError(f"{flag} {text}: write a number and a unit, such as 30s or 5m; a week at most")
    return found


def _bytes(path: Path) -> bytes:
    data = file(path).text
    assert isinstance(data, bytes)
    return data


def _job(path: Path, subject: Subject, text: Text, to: str, how: _How) -> Job:
    up, verify, folder, (settle, hold) = how
    return Job(path, subject, text, find(text, subject, to), up, verify, folder, settle, hold)


def _sayable(job: Job, shares: Sequence[Fraction]) -> None:
    """That each step can be written, before the first is. Raises UsageError."""
    try:
        for share in shares:
            job.text_at(share)
    except UnsayableError as problem:
        raise UsageError(f"{job.original.place(job.target.base)}: {problem}") from None


# Where it stands ------------------------------------------------------------------------------------------------------------


def _standing(log: Log, path: Path, subject: Subject) -> Standing | None:
    """Raises UsageError where the log is another's."""
    found = standing(log.read())
    if found is None:
        return None
    began = found.began
    if (subject_of(began), began.document) != (subject, str(path)):
        if not found.unfinished:
            return None
        raise UsageError(f"{log.path} is of a rollout of {subject_of(began)} in {began.document} that was cut off: say another with --log")
    return found


def _stood(found: Standing, *, runs: bool = False) -> str:
    """In one sentence. `runs`: by a process that works on it now."""
    weights = said(found.weights or {})
    if found.phase == "done":
        return f"the last rollout is done, with {weights}"
    if found.phase == "undone":
        return f"the last rollout went back to {weights}"
    way = "going back" if found.phase == "back" else "a rollout"
    if found.running is not None:
        where = f"in the middle of `{' '.join(found.running.command or ())}`"
    elif found.stands:
        where = "after a verified step"
    else:
        where = "before its step was verified"
    return f"{way} {'is' if runs else 'was cut off'} at {weights}, {where} ({found.last.time})"


def _status(path: Path, subject: Subject, log: Log) -> int:
    found = _standing(log, path, subject)
    holder = holder_of(path)
    if found is None:
        text = f"{log.path} knows of no rollout of {subject}"
    else:
        there = "holds what was written" if digest(_bytes(path)) in found.possible else "was edited since"
        text = f"{subject}: {_stood(found, runs=holder is not None)}; {path} {there}"
    if holder is not None:
        text += f"; process {holder} works on it now"
    elif found is not None and found.unfinished:
        text += f"; the same command goes {'on, with --back it goes back' if found.phase == 'up' else 'all the way back'}"
    sys.stdout.write(_render.plain(text) + "\n")
    return 0
