"""A rollout, step by step: write, deploy, verify, hold, verify; and all the way back where one of them fails.

Whatever is done is in the log before it is. Before each step the document's bytes are compared with what was written last: what
somebody else wrote is never overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from pinfeather import _render
from pinfeather._files import FileError, write_atomic
from pinfeather._sources import file
from pinfeather.rollout.editing import Subject, Target, Text, edited
from pinfeather.rollout.log import Log
from pinfeather.rollout.running import Ended, Stop, run, shown
from pinfeather.rollout.weights import percent, share_of, weights_at
from pinfeather.verify.unlike import UNSURE

WENT_BACK, INPUT, NOT_BACK = 1, 2, 4
PAUSE = 1.0
"""Seconds between two verifies of a deployment that is settling."""
SETTLES = (1, 4)
"""What verify ends with where a proxy may not have loaded the new weights yet: they do not hold, or it does not answer."""
_LINES = 15  # of a failed command's output
_VERIFY = "verify"


class EditedError(Exception):
    """Somebody else wrote the document since we did."""


class Job(NamedTuple):
    """What is to be rolled out, and how."""

    path: Path
    subject: Subject
    original: Text
    """The document before the first step."""
    target: Target
    """The split as it was in it."""
    up: Sequence[str]
    verify: Sequence[str]
    folder: Path
    """Where `up` runs."""
    settle: float
    """Seconds."""
    hold: float
    """Seconds."""

    def text_at(self, share: Fraction) -> tuple[bytes, Mapping[str, int]]:
        """The document with a share, and its weights. Raises UnsayableError and UsageError."""
        weights = weights_at(self.target.weights, self.target.raised, share)
        return edited(self.original, self.target, weights), self.target.named(weights)

    @property
    def to(self) -> str:
        return self.target.services[self.target.raised]

    @property
    def weights(self) -> Mapping[str, int]:
        """Before the first step."""
        return self.target.named(self.target.weights)

    @property
    def share(self) -> Fraction:
        """Before the first step."""
        return share_of(self.target.weights, self.target.raised)


def digest(data: bytes) -> str:
    """By what the bytes of a document are told from others."""
    return hashlib.sha256(data).hexdigest()


def said(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {weight}" for name, weight in weights.items())


class Rollout:
    """One run of the command. `written`: the digest of the document as it must stand now; `weights`: those in it; `earlier`: before."""

    def __init__(
        self, job: Job, log: Log, stop: Stop, *, written: str, weights: Mapping[str, int], earlier: Mapping[str, int] | None = None
    ) -> None:
        self.job = job
        self.log = log
        self.stop = stop
        self.weights = weights
        self.earlier = earlier
        """What the proxy had before these weights, and may still have."""
        self._ours = {written}
        self.output = log.path.with_name(f"{log.path.name}.out")
        self._begun = time.monotonic()
        self._backwards = False
        self.is_back = False
        """Whether it went all the way back."""

    # The two ways ------------------------------------------------------------------------------------------------------

    def up(self, shares: Sequence[Fraction], *, first: bool) -> int:
        """Every step, and back where one fails; returns the exit code. `first`: what stands now is verified before anything is done."""
        if first:
            failed = self._verified(settled=True)
            if self.stop.asked():
                return self.stopped()
            if failed is not None:
                self.log.append("stopped", why=failed.why)
                self.say(f"{failed.why}, as it stands now: nothing was changed; put that right first")
                return failed.code
        for share in shares:
            try:
                failed = self._step(share)
            except EditedError as problem:
                return self._edited(problem)
            if self.stop.asked():
                return self.stopped(failed)
            if failed is not None:
                return self.back(failed.why)
        self.log.append("done", weights=dict(self.weights))
        self.say(f"done: {said(self.weights)}")
        return 0

    def back(self, why: str) -> int:
        """The document as it was, deployed and verified; returns the exit code. A stop is not heeded before its end."""
        self._backwards = True
        self.say(f"{why}: going back to {said(self.job.weights)}")
        self.log.append("goes back", why=why)
        deployed = self.weights
        try:
            self._write(self.job.original.data, self.job.weights)
        except EditedError as problem:
            return self._edited(problem)
        except FileError as problem:
            return self._not_back(str(problem), NOT_BACK)
        ended = self._run("deploy", self.job.up, self.job.folder, after=2)
        if ended.code:
            return self._not_back(f"{self._ended('deploy', ended)}; what is deployed may still be {said(deployed)}", NOT_BACK)
        failed = self._verified(settled=False)
        if failed is not None:
            return self._not_back(f"it was deployed, but {failed.why}", failed.code)
        self.log.append("went back")
        self.is_back = True
        self.say(f"back: {said(self.weights)}, as before the first step")
        return WENT_BACK

    def stopped(self, failed: Failed | None = None) -> int:
        """Somebody wanted this to end: what stands is said."""
        why = f"stopped{f' ({failed.why})' if failed is not None else ''}"
        self.log.append("stopped", why=why)
        self.say(f"{why} where it is: {self.stands()}; the same command goes on, with --back it goes back")
        return self.stop.code

    def stands(self) -> str:
        return f"{self.job.path} has {said(self.weights)}"

    # Of a step -----------------------------------------------------------------------------------------------------------

    def _step(self, share: Fraction) -> Failed | None:
        data, weights = self.job.text_at(share)
        self.say(f"{percent(share)}: {said(weights)}")
        try:
            self._write(data, weights)
        except FileError as problem:
            return Failed(str(problem), NOT_BACK)
        ended = self._run("deploy", self.job.up, self.job.folder, after=2)
        if ended.code:
            return Failed(f"at {percent(share)} {self._ended('deploy', ended)}", WENT_BACK)
        if self.stop.asked():
            return None
        failed = self._verified(settled=False)
        if failed is None and self.job.hold and not self.stop.asked():
            self.log.append("holds", seconds=self.job.hold)
            self.say(f"holding for {self.job.hold:g} s")
            if not self.stop.wait(self.job.hold):
                failed = self._verified(settled=True)
        if self.stop.asked():
            return None
        if failed is not None:
            return Failed(f"at {percent(share)} {failed.why}", failed.code)
        self.check()  # else it was another document that was verified
        self.log.append("stands", weights=dict(weights))
        return None

    def _write(self, data: bytes, weights: Mapping[str, int]) -> None:
        """Raises EditedError, with nothing written, and FileError."""
        self.check()
        self.log.append("writes", weights=dict(weights), digest=digest(data))
        self._ours.add(digest(data))  # a write that fails has mostly, but not always, changed nothing
        write_atomic(self.job.path, data)
        if weights != self.weights:
            self.earlier = self.weights
        self._ours, self.weights = {digest(data)}, weights

    def check(self) -> None:
        """Raises EditedError where the document is not what was written last."""
        if digest(_bytes(self.job.path)) not in self._ours:
            raise EditedError(f"{self.job.path} was edited by somebody else since the last step, and is left as it is")

    def _verified(self, *, settled: bool) -> Failed | None:
        """Whether the proxy does what the document says. It is asked again while it may not have loaded it, unless it has `settled`."""
        end = time.monotonic() + (0.0 if settled else self.job.settle)
        after = 2 if self._backwards else 1
        while True:
            begun = time.monotonic()
            ended = self._run(_VERIFY, [*self.job.verify, *self._unlike()], Path.cwd(), after=after, quiet=begun < end)
            if not ended.code:
                self.say(f"verify: it does what the document says ({ended.seconds:.1f} s)")
                for line in ended.output.splitlines():
                    if UNSURE in line:
                        self.say(f"verify: {line.strip()}")
                return None
            if begun >= end or ended.code not in SETTLES or self.stop.wait(_pause(end), after=after):
                if begun < end:
                    self._show(ended)
                return Failed(self._ended(_VERIFY, ended), ended.code if ended.code in (INPUT, NOT_BACK) else WENT_BACK)

    def _unlike(self) -> Sequence[str]:
        """What verify has to tell the weights from: it is asked until it holds, so a proxy that has not loaded them must not seem to."""
        target, earlier = self.job.target, self.earlier
        if earlier is None or earlier == self.weights or len(earlier) != len(target.services):
            return ()
        subject = self.job.subject
        return "--unlike", f"{subject.kind}:{subject.name}={','.join(map(str, earlier.values()))}"

    def _run(self, what: str, words: Sequence[str], folder: Path, *, after: int, quiet: bool = False) -> Ended:
        if what != _VERIFY:
            self.say(" ".join(shown(words)))
        self.log.append("runs", command=shown(words), folder=str(folder))
        ended = run(words, folder, self.output, self.stop, after=after)
        self.log.append("ended", exit=ended.code, seconds=round(ended.seconds, 3), output=ended.output if ended.code else None)
        if ended.code and not quiet:
            self._show(ended)
        return ended

    # What is said ----------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line of progress. Nobody reading it any more is no reason to leave a rollout half done: the log has it all."""
        with contextlib.suppress(OSError):
            sys.stdout.write(_render.plain(f"{time.monotonic() - self._begun:7.1f}s  {text}") + "\n")
            sys.stdout.flush()

    def _show(self, ended: Ended) -> None:
        lines = [line for line in ended.output.splitlines() if line.strip()]
        with contextlib.suppress(OSError):
            sys.stderr.write("".join(f"          | {_render.plain(line)}\n" for line in lines[-_LINES:]))
            sys.stderr.flush()

    def _ended(self, what: str, ended: Ended) -> str:
        name = "verify" if what == _VERIFY else f"`{' '.join(shown(self.job.up))}`"
        return f"{name} ended with {ended.code}" if ended.code >= 0 else f"{name} was ended by signal {-ended.code}"

    def _edited(self, problem: EditedError) -> int:
        self.log.append("stopped", why=str(problem))
        self.say(f"{problem}; what was deployed last has {said(self.weights)}: deploy what you want, and begin again with --anew")
        return WENT_BACK

    def _not_back(self, why: str, code: int) -> int:
        self.log.append("stopped", why=why)
        self.say(f"going back failed: {why}; {self.stands()}; the same command tries again to go back to {said(self.job.weights)}")
        return self.stop.code if self.stop.asked() else code


class Failed(NamedTuple):
    """What failed, and the exit code where nothing is left to be done."""

    why: str
    code: int


def _pause(end: float) -> float:
    return min(PAUSE, max(0.0, end - time.monotonic()))


def _bytes(path: Path) -> bytes:
    data = file(path).text
    assert isinstance(data, bytes)
    return data
