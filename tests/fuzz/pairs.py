"""`make long`: random documents through every pair of formats, in several processes."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pinfeather._plugins import every
from tests.fuzz.conversions import Broken, broken, documents, keep, said

BATCH = 10
_EACH = 2
"""So many documents are kept for one mistake."""


class Done(NamedTuple):
    """What one batch of documents came to."""

    conversions: int
    faults: tuple[tuple[str, str, str, Broken], ...]
    """The document as JSON, the two formats, and what is wrong."""


def batch(number: int) -> Done:
    """Some documents, each as every format says it, written in every format."""
    formats = every().translators
    conversions = 0
    faults: list[tuple[str, str, str, Broken]] = []
    for document in documents(number, BATCH):
        for name, reader in formats.items():
            source = said(document, reader)
            if isinstance(source, Broken):
                faults.append((document.model_dump_json(exclude_defaults=True), name, name, source))
                continue
            for other, writer in formats.items():
                conversions += 1
                if (found := broken(source, reader, writer)) is not None:
                    faults.append((source.model_dump_json(exclude_defaults=True), name, other, found))
    return Done(conversions, tuple(faults))


def run(count: int, jobs: int, first: int) -> int:
    """So many conversions; how many were wrong."""
    began = shown = time.monotonic()
    done, faults = 0, Counter[str]()
    with multiprocessing.Pool(jobs) as pool:
        for result in pool.imap_unordered(batch, _numbers(first)):
            done += result.conversions
            for text, reader, writer, found in result.faults:
                _found(text, reader, writer, found, faults)
            now = time.monotonic()
            if done >= count or now - shown > (1.0 if sys.stderr.isatty() else 30.0):
                shown = now
                _say(done, count, now - began, faults)
            if done >= count:
                pool.terminate()
                break
    return sum(faults.values())


def _numbers(first: int) -> Iterable[int]:
    return range(first, first + 10**6)


def _found(text: str, reader: str, writer: str, found: Broken, faults: Counter[str]) -> None:
    from pinfeather.model.document import Document

    faults[found.where] += 1
    if faults[found.where] <= _EACH:
        path = keep(Document.model_validate_json(text), reader, writer, found)
        print(f"\n{found.where}\n{found.what}\nkept as {path}", flush=True)  # noqa: T201 - a program


def _say(done: int, count: int, spent: float, faults: Counter[str]) -> None:
    end = "\n" if done >= count or not sys.stderr.isatty() else ""
    text = f"{done:,} of {count:,} conversions in {spent:.0f} s ({done / spent:.0f}/s), {sum(faults.values())} wrong"
    print(f"\r{text}   " if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - a program


def main() -> int:
    parser = argparse.ArgumentParser(prog="make long ARGS=…", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="conversions of a document from one format to another")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--first", type=int, default=0, help="the number of the first batch; another one gives other documents")
    given = parser.parse_args()
    return 1 if run(given.count, given.jobs, given.first) else 0


if __name__ == "__main__":
    sys.exit(main())
