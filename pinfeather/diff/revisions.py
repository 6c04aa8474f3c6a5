"""Two revisions of a Git repository as the two sides: files are read out of its objects, and the work tree is left alone.

`A..B`, `A...B` (from where both have parted), `A..` (to HEAD). Git is asked with argument lists; a path is never an option.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pinfeather._sources import CAP, SUFFIXES, UsageError
from pinfeather.translators.contract import File, Source


def sources(revisions: str, paths: Sequence[str]) -> tuple[tuple[str, str], tuple[Source, Source]]:
    """What both sides are called, and their files. A folder stands for the configuration files right in it. Raises UsageError."""
    if not paths:
        raise UsageError(f"{revisions}: say which files or folders, behind --: pinfeather diff {revisions} -- routes/")
    joined, three, other = revisions.partition("...")
    before, after = (joined, other) if three else revisions.split("..", 1)
    before, after = before or "HEAD", after or "HEAD"
    commits = _commit(before), _commit(after)
    if three:
        commits = _parted(commits, revisions), commits[1]
    for path in paths:
        if not any(next(_entries(commit, path), None) for commit in commits):
            raise UsageError(f"{path}: neither {before} nor {after} has it")
    sides = tuple(Source(tuple(_files(commit, name, paths))) for commit, name in zip(commits, (before, after), strict=True))
    for name, side in zip((before, after), sides, strict=True):
        if not side.files:
            raise UsageError(f"{name} has no {', '.join(sorted(SUFFIXES))} file in {', '.join(paths)}")
    return (before, after), (sides[0], sides[1])


def _parted(commits: tuple[str, str], revisions: str) -> str:
    """Where both have parted."""
    try:
        return _git("merge-base", *commits).strip()
    except UsageError as problem:
        if str(problem):
            raise
        raise UsageError(
            f"{revisions}: they have no common ancestor here; a shallow clone has to be deepened (git fetch --unshallow)"
        ) from None


def _commit(revision: str) -> str:
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except UsageError as problem:
        if str(problem):
            raise
        raise UsageError(f"{revision!r} is no revision of this repository") from None


def _files(commit: str, name: str, paths: Sequence[str]) -> Iterator[File]:
    for path in paths:
        entries = list(_entries(commit, path))
        inside = [entry for entry in entries if PurePosixPath(entry).suffix in SUFFIXES]
        for entry in sorted(inside, key=lambda each: (".override." in each, each)):
            data = _bytes("cat-file", "blob", f"{commit}:./{entry}")
            if len(data) > CAP:
                raise UsageError(f"{name}:{entry}: is larger than {CAP // 2**20} MiB")
            yield File(f"{name}:{entry}", data)


def _entries(commit: str, path: str) -> Iterator[str]:
    """The file itself, or the files right in a folder, as paths from here. Links are not followed."""
    wanted = path.rstrip("/") or "."
    listed = _git("ls-tree", "-z", commit, "--", *([f"{wanted}/", wanted] if wanted != "." else ["./"]))
    for line in listed.split("\0"):
        mode, _, rest = line.partition(" ")
        entry = rest.partition("\t")[2]
        if mode.startswith("100") and entry:
            yield entry


def _git(*words: str) -> str:
    return _bytes(*words).decode("utf-8", "surrogateescape")


def _bytes(*words: str) -> bytes:
    """What Git prints. Raises UsageError with what it complains of."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        raise UsageError("two revisions are read with git, and there is none on PATH") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise UsageError(f"git: {said.removeprefix('fatal: ')}" if said else "")
    return done.stdout
