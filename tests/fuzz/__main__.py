"""`make fuzz`: many inputs for each reader, in several processes, with the numbers of what it found."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from multiprocessing.sharedctypes import Synchronized
from typing import NamedTuple

from pinfeather._plugins import every
from tests.fuzz.checks import Fault, fault, keep
from tests.fuzz.inputs import bases, make, trees, words

HANGS = 20.0
"""Seconds of the clock after which an input is taken to have no end; CPU is measured by the worker itself."""
_EACH = 3
"""So many inputs are kept for one mistake."""


class Worker(NamedTuple):
    """A process, and the number of the input that it is at (-1: none), with when it came to it."""

    process: multiprocessing.Process
    at: Synchronized[int]
    since: Synchronized[float]
    done: Synchronized[int]
    last: int


def run(
    name: str,
    seed: int,
    first: int,
    step: int,
    last: int,
    shared: tuple[Synchronized[int], ...],
    queue: multiprocessing.Queue[tuple[int, Fault]],
) -> None:
    """One process: every `step`-th number from `first` up to `last`."""
    translator = every().translators[name]
    at, since, done = shared
    for number in range(first, last, step):
        given = make(translator, seed, number)
        at.value, since.value = number, time.monotonic()
        found = fault(translator, given)
        if found is not None:
            queue.put((number, found))
        done.value += 1
    at.value = -1


class Fuzz:
    """One format. `faults` are its mistakes, by where they are."""

    def __init__(self, name: str, seed: int, count: int, jobs: int) -> None:
        self.translator = every().translators[name]
        self.faults: Counter[str] = Counter()
        self._seed, self._count, self._jobs = seed, count, jobs
        self._queue: multiprocessing.Queue[tuple[int, Fault]] = multiprocessing.Queue()
        self._before = 0

    def run(self) -> None:
        for prepared in (bases, trees, words):
            prepared(self.translator)  # once, before the processes part
        began = shown = time.monotonic()
        workers = [self._start(first, self._count) for first in range(self._jobs)]
        while workers:
            time.sleep(0.05)
            self._drain()
            workers = [other for worker in workers if (other := self._look(worker)) is not None]
            if time.monotonic() - shown > (1.0 if sys.stderr.isatty() else 30.0):
                shown = time.monotonic()
                self._say(self._before + sum(worker.done.value for worker in workers), shown - began)
        self._drain()
        self._say(self._before, time.monotonic() - began, end=True)

    def _start(self, first: int, last: int) -> Worker:
        at, since, done = multiprocessing.Value("q", -1), multiprocessing.Value("d", time.monotonic()), multiprocessing.Value("q", 0)
        arguments = (self.translator.name, self._seed, first, self._jobs, last, (at, since, done), self._queue)
        process = multiprocessing.Process(target=run, args=arguments, daemon=True)
        process.start()
        return Worker(process, at, since, done, last)

    def _look(self, worker: Worker) -> Worker | None:
        """The worker, or the one that goes on for it behind an input that killed it or has no end; None: it is done."""
        number = worker.at.value
        if worker.process.is_alive():
            if number < 0 or time.monotonic() - worker.since.value < HANGS:
                return worker
            worker.process.kill()
            worker.process.join()
            self._found(number, Fault("endless", f"no end within {HANGS:g} s"))
        else:
            worker.process.join()
            if number < 0 and worker.process.exitcode == 0:
                self._before += worker.done.value
                return None
            self._found(number, Fault(f"died {worker.process.exitcode}", "the process ended within this input"))
        self._before += worker.done.value + 1
        return self._start(number + self._jobs, worker.last)

    def _drain(self) -> None:
        while not self._queue.empty():
            self._found(*self._queue.get())

    def _found(self, number: int, found: Fault) -> None:
        self.faults[found.where] += 1
        if self.faults[found.where] <= _EACH:
            path = keep(self.translator, make(self.translator, self._seed, number), found)
            print(f"\n{self.translator.name} #{number}: {found.where}\n{found.what}\nkept as {path}", flush=True)  # noqa: T201 - a program

    def _say(self, done: int, spent: float, *, end: bool = False) -> None:
        rate = done / spent if spent else 0
        text = f"{self.translator.name}: {done:,} of {self._count:,} in {spent:.0f} s ({rate:.0f}/s), {sum(self.faults.values())} faults"
        print(  # noqa: T201 - a program
            f"\r{text}   " if sys.stderr.isatty() else text, end="\n" if end or not sys.stderr.isatty() else "", file=sys.stderr, flush=True
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=…", description=__doc__)
    known = every().translators
    parser.add_argument("--format", action="append", choices=sorted(known), help="this one only; may be given several times")
    parser.add_argument("--count", type=int, default=10_000, help="inputs a reader")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    given = parser.parse_args()
    faults = 0
    for name in given.format or known:
        fuzz = Fuzz(name, given.seed, given.count, given.jobs)
        fuzz.run()
        faults += sum(fuzz.faults.values())
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
