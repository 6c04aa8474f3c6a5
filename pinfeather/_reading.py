"""From the arguments of a command to the document that they name: read by its formats, put together, bound, and with its servers.

`convert`, `explain` and whatever else asks about a document read it in this one way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pinfeather._convert import options_for, read
from pinfeather._sources import Group, UsageError, file, readers_for, source
from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document, EntryPoint
from pinfeather.translators.contract import NOTHING, AnyTranslator, Options, Parsed, Source

Extra = Mapping[str, str | bool]
"""Options of the formats, by name."""


class Loaded(NamedTuple):
    """What was read, and by which formats with which options."""

    parsed: Parsed
    formats: tuple[tuple[AnyTranslator, Options], ...] = ()
    written: Document | None = None
    """The document before `--servers`: as the target has it, where its names are made of what is written."""


def load(files: Sequence[str], given: argparse.Namespace) -> Loaded:
    """The document of some files, by the options that say how they are read. Without a document the diagnostics say why.

    Raises FileError and UsageError.
    """
    return load_source(source(files), given, [*files, "<stdin>"])


def load_source(inputs: Source, given: argparse.Namespace, names: Sequence[str]) -> Loaded:
    """The same of what was read already; `names`: what the user called it."""
    groups, doubts = readers_for(inputs, given.source, names)
    if not groups:
        return Loaded(Parsed(None, doubts))
    options, points, said = instance_of([reader for reader, _ in groups], given.instance, given.from_static)
    if any(finding.severity is Severity.ERROR for finding in said):
        return Loaded(Parsed(None, said))
    readers: list[tuple[Group, Options]] = []
    for group in groups:
        reader = group[0]
        made, wrong = options_for(reader, {name: value for name, value in options.items() if name in reader.options.model_fields})
        if made is None:
            return Loaded(Parsed(None, wrong))
        readers.append((group, made))
    written = prepared(read_groups(readers), given.bind, (), points)
    parsed = prepared(written, (), given.servers, {})
    found = (*doubts, *said, *parsed.diagnostics)
    return Loaded(parsed._replace(diagnostics=found), tuple((reader, made) for (reader, _), made in readers), written.document)


def instance_of(
    formats: Iterable[AnyTranslator], instance: str | None, from_static: str | None
) -> tuple[Extra, Mapping[str, EntryPoint], tuple[Diagnostic, ...]]:
    """What `--instance` and `--from-static` say. Raises FileError."""
    if instance is None and from_static is None:
        return NOTHING, NOTHING, ()
    from pinfeather._instance import read_instance, read_static

    known = {name for each in formats for name in each.options.model_fields}
    read_files = []
    if from_static is not None:
        read_files.append(read_static(file(Path(from_static))))
    if instance is not None:
        read_files.append(read_instance(file(Path(instance)), known))
    options = {name: value for each in read_files for name, value in each.options.items() if name in known}
    points = {name: point for each in read_files for name, point in each.entry_points.items()}
    return options, points, tuple(finding for each in read_files for finding in each.diagnostics)


def read_groups(readers: Iterable[tuple[Group, Options]]) -> Parsed:
    """All inputs, each by its format, put together."""
    parts = [read(inputs, reader, options) for (reader, inputs), options in readers]
    if len(parts) == 1:
        return parts[0]
    from pinfeather._merge import merged

    return merged(parts)


def prepared(parsed: Parsed, binds: Sequence[str], servers: Sequence[str], entry_points: Mapping[str, EntryPoint]) -> Parsed:
    """The document with its templates bound, its servers named and its entry points known. Raises UsageError."""
    document = parsed.document
    found: list[Diagnostic] = list(parsed.diagnostics)
    if binds and document is not None:
        from pinfeather.model.bind import bind

        document, said = bind(document, _bindings(binds))
        found += said
    if servers and document is not None:
        document = _with_servers(document, servers, found)
    if entry_points and document is not None:
        from pinfeather._instance import with_entry_points

        document = with_entry_points(document, entry_points)
    return parsed._replace(document=document, diagnostics=tuple(found))


def _with_servers(document: Document, texts: Iterable[str], found: list[Diagnostic]) -> Document:
    from pinfeather.model.servers import WrongServersError, with_servers

    wanted = {key: tuple(part.strip() for part in value.split(",")) for key, value in _pairs(texts, "--servers").items()}
    try:
        document, said = with_servers(document, wanted)
    except WrongServersError as problem:
        raise UsageError(str(problem)) from None
    found += said
    return document


def _pairs(texts: Iterable[str], flag: str) -> dict[str, str]:
    """`KEY=VALUE` pairs. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text}: write it as KEY=VALUE")
        found[key] = value
    return found


def _bindings(texts: Iterable[str]) -> dict[str, str]:
    from pinfeather.model.bind import binding

    found: dict[str, str] = {}
    for text in texts:
        pair = binding(text)
        if pair is None:
            raise UsageError(f"--bind {text}: write it as EXPR=VALUE, such as '.Values.domain=example.com'")
        found[pair[0]] = pair[1]
    return found
