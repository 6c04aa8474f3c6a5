"""Reading inputs: files, folders and standard input become a `Source`; and which format they are in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pinfeather._convert import recognised
from pinfeather._files import FileError
from pinfeather._plugins import every, translator
from pinfeather.model.diagnostics import Code, Diagnostic, Span, error, info
from pinfeather.translators.contract import AnyTranslator, File, Source


class UsageError(Exception):
    """The arguments do not make sense together; the message says what to do."""


SUFFIXES = frozenset({".yaml", ".yml", ".toml", ".json"})
CAP = 64 * 1024 * 1024
"""Bytes of one input file; the readers' own caps, a document each, are lower."""
SKIPPED = frozenset(
    {".git", ".venv", "venv", ".tox", "node_modules", "__pycache__", ".pinfeather", "dist", "build"}
    | {".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
)


def file(path: Path) -> File:
    """One input file. Raises FileError with what to do."""
    try:
        if path.is_dir():
            raise FileError(path, "is a folder; name a file in it")
        with path.open("rb") as stream:
            data = stream.read(CAP + 1)
    except OSError as problem:
        raise FileError(path, (problem.strerror or str(problem)).lower()) from None
    if len(data) > CAP:
        raise FileError(path, f"is larger than {CAP // 2**20} MiB")
    return File(str(path), data)


def source(names: Sequence[str]) -> Source:
    """The files named, `-` for standard input; a folder stands for the configuration files right in it.

    Compose's overrides come after what they override, as `docker compose` reads them.
    """
    files: list[File] = []
    for name in names:
        path = Path(name)
        if name == "-":
            files.append(_standard_input())
        elif path.is_dir():
            inside = [each for each in _entries(path) if each.suffix in SUFFIXES and each.is_file()]
            if not inside:
                raise FileError(path, f"is a folder without a {', '.join(sorted(SUFFIXES))} file; name a file")
            files += [file(each) for each in sorted(inside, key=lambda each: (".override." in each.name, each.name))]
        else:
            files.append(file(path))
    return Source(tuple(files))


def _standard_input() -> File:
    path = Path("<stdin>")
    if sys.stdin is None:
        raise FileError(path, "is closed")
    try:
        data = sys.stdin.buffer.read(CAP + 1)
    except OSError as problem:
        raise FileError(path, (problem.strerror or str(problem)).lower()) from None
    if len(data) > CAP:
        raise FileError(path, f"is larger than {CAP // 2**20} MiB")
    return File(str(path), data)


Group = tuple[AnyTranslator, Source]
"""The files of one format, which are read together."""


def readers_for(inputs: Source, name: str | None, given: Sequence[str] = ()) -> tuple[tuple[Group, ...], tuple[Diagnostic, ...]]:
    """The inputs by format: the one that is named, or the one that each file is recognised as. No groups: the diagnostics say why.

    A file that a format reads together with its own (a fragment for the file provider beside a compose file) goes there.
    One of a folder that is in no known format is left alone and said, if another is routing; `given` are the names that were
    given, so that a file that was named itself is refused.
    """
    if name is not None:
        chosen, doubts = translator(name)
        return (((chosen, inputs),) if chosen is not None else ()), doubts
    from pinfeather.translators import builtin

    ours = {each: builtin.load(each) for each in builtin.MODULES}
    known: Mapping[str, AnyTranslator] = ours
    groups: dict[str, list[File]] = {}
    others: list[Diagnostic] = []
    for one in inputs.files:
        candidates = recognised(one, ours.values())
        if not candidates:
            known = {**ours, **every().translators}
            candidates = recognised(one, known.values())
        if not candidates and one.name not in given:
            others.append(info(Code.SCOPE, "in no format that is known here, left alone", span=Span(one.name)))
            continue
        if len(candidates) != 1:
            said = f"this may be any of {', '.join(candidates)}" if candidates else "this is in no format that is known here"
            hint = "say which with --from; `pinfeather formats` lists them"
            return (), (error(Code.FORMAT, said, span=Span(one.name), instead=hint),)
        groups.setdefault(candidates[0], []).append(one)
    if not groups:
        names = ", ".join(one.name for one in inputs.files)
        return (), (error(Code.FORMAT, f"none of these is in a format that is known here: {names}", instead="name a file, or say --from"),)
    for each in list(groups):
        holder = next((other for other in groups if other != each and each in known[other].companions), None)
        if holder is not None:
            groups[holder] += groups.pop(each)
    order = {file.name: place for place, file in enumerate(inputs.files)}
    found = tuple((known[each], Source(tuple(sorted(files, key=lambda file: order[file.name])))) for each, files in groups.items())
    return found, tuple(others)


def below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in a stable order; what version control and package managers put there is passed over."""
    for path in _entries(folder):
        if path.is_symlink() or path.name in SKIPPED:
            continue
        if path.is_dir():
            yield from below(path)
        elif path.is_file():
            yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as problem:
        raise FileError(folder, (problem.strerror or str(problem)).lower()) from None
