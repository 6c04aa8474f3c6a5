"""`pinfeather explain` on files and standard streams: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Mapping
from dataclasses import replace

from pinfeather import _curl, _explain_render, _render
from pinfeather._explain import Explanation, explain
from pinfeather._reading import Loaded, load
from pinfeather._sources import UsageError, file
from pinfeather.model.decide import Request, State, normal_path
from pinfeather.model.diagnostics import Path, Report, Severity, Span
from pinfeather.model.document import Document
from pinfeather.model.table import UndecidedError
from pinfeather.translators.contract import Identity, Parsed

_FIELDS = frozenset({"method", "host", "path", "query", "headers", "entry_point", "tls", "client", "bindings", "down", "draining"})


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 the question is answered (404 and 503 are answers), 2 input that cannot be read. Raises FileError and UsageError."""
    files, asked = _asked(given)
    loaded = load(files, given) if files else None
    if loaded is not None and not _told(loaded.parsed, given):
        return 2
    if given.traefik is not None:
        return _live(given, loaded, asked)
    assert loaded is not None
    assert loaded.parsed.document is not None
    document = loaded.parsed.document
    found = _explained(document, asked, None, spans=loaded.parsed.spans, identity=_identity(document, loaded))
    _print(found, given)
    return 0


def _live(given: argparse.Namespace, loaded: Loaded | None, asked: _curl.Asked) -> int:
    """The same of a running Traefik; the files beside it say where its routers came from. OSError where none answers."""
    from pinfeather import _live

    live = _live.ask(given.traefik)
    document = live.parsed.document
    if document is None:
        _told(live.parsed, given)
        return 2
    spans: Mapping[Path, Span] = {}
    if loaded is not None and loaded.parsed.document is not None:
        spans = _live.spans_from(document, loaded.parsed.document, loaded.parsed.spans, live.names)
    found = _explained(document, asked, live.state, spans=spans, identity=None)
    notes = [f"{name} is disabled, Traefik says: {why}" for name, why in live.disabled]
    tied = _live.ties(document, found.request, live.state)
    if tied:
        notes.append(f"{' and '.join(live.names.get(name, name) for name in tied)} have one priority: which of them takes it is chance")
    shadowed = [(live.names.get(name, name), live.names.get(by, by)) for name, by in _live.shadowed(document)]
    notes += [f"{name} is never reached: {by} takes whatever it would take" for name, by in shadowed]
    if spans:
        lost = [_live.name_of(document, rung) for rung in found.table.order if _live.path_of(rung) not in spans]
        notes += [f"{live.names.get(name, name)} stands in none of the files" for name in lost]
    shown = {name: theirs for name, theirs in live.names.items() if name != theirs}
    _print(replace(found, notes=(*found.notes, *notes)), given, shown)
    return 0


def _told(parsed: Parsed, given: argparse.Namespace) -> bool:
    """Says what there is to say of a reading. Returns whether there is a document."""
    report = Report.of(parsed.diagnostics)
    if parsed.document is None or given.all:
        sys.stderr.write(_render.text(report, most=len(report.diagnostics) if given.all else _render.SCREEN))
    else:
        sys.stderr.write(_render.text(Report.of(finding for finding in report.diagnostics if finding.severity is Severity.ERROR)))
    return parsed.document is not None


def _explained(
    document: Document, asked: _curl.Asked, state: State | None, *, spans: Mapping[Path, Span], identity: Identity | None
) -> Explanation:
    try:
        said = _curl.state_of(document, asked.states)
        known = State({**(state.servers if state is not None else {}), **said.servers})
        request = replace(asked.request, entry_point=_curl.entry_point(asked, document))
        return explain(document, request, known, spans=spans, identity=identity)
    except _curl.LineError as problem:
        raise UsageError(str(problem)) from None
    except UndecidedError as problem:
        raise UsageError(f"{problem}, or say it with --bind") from None


def _print(found: Explanation, given: argparse.Namespace, names: Mapping[str, str] | None = None) -> None:
    """`names`: what a live Traefik calls what has another name here."""
    if given.report == "json":
        sys.stdout.write(_explain_render.as_json(found))
        return
    text = _explain_render.text(found, every=given.all)
    for ours, theirs in sorted((names or {}).items(), key=lambda each: -len(each[0])):
        text = re.sub(rf"(?<![\w@.-]){re.escape(ours)}(?![\w@.-])", lambda _, theirs=theirs: theirs, text)  # type: ignore[misc]
    sys.stdout.write(text)


def _identity(document: Document, loaded: Loaded) -> Identity | None:
    """The cookie values of the target, where one format alone was read."""
    if len(loaded.formats) != 1:
        return None
    (translator, options) = loaded.formats[0]
    return translator.identity(document, options)


def _asked(given: argparse.Namespace) -> tuple[list[str], _curl.Asked]:
    """The files, and the request: the last argument, unless --request says it."""
    files = list(given.files)
    if given.request is not None:
        return files, _from_json(given.request)
    if len(files) < (1 if given.traefik is not None else 2):
        raise UsageError("say what to ask: pinfeather explain FILE 'curl https://shop.example/', or --request with JSON")
    try:
        return files, _curl.parse(files.pop())
    except _curl.LineError as problem:
        raise UsageError(str(problem)) from None


def _from_json(text: str) -> _curl.Asked:
    """`--request`: JSON itself, a file of it, or `-`."""
    if text == "-":
        text = sys.stdin.read()
    elif not text.lstrip().startswith("{"):
        data = file(pathlib.Path(text)).text
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    try:
        tree = json.loads(text)
    except ValueError as problem:
        raise UsageError(f"--request is no JSON: {problem}") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("host"), str):
        raise UsageError('--request is a JSON object with at least "host"')
    unknown = sorted(set(tree) - _FIELDS)
    if unknown:
        raise UsageError(f"--request: {unknown[0]!r} is not known; known are {', '.join(sorted(_FIELDS))}")
    try:
        headers = tree.get("headers", [])
        pairs = list(headers.items()) if isinstance(headers, dict) else [(name, value) for name, value in headers]
        request = Request(
            host=tree["host"],
            path=normal_path(str(tree.get("path", "/"))),
            method=str(tree.get("method", "GET")),
            headers=tuple((str(name).lower(), str(value).encode("utf-8").decode("latin-1")) for name, value in pairs),
            query=str(tree.get("query", "")),
            entry_point=str(tree.get("entry_point", "")),
            tls=bool(tree.get("tls", False)),
            sni=tree["host"] if tree.get("tls") else "",
            client=str(tree.get("client", "127.0.0.1")),
            bindings={str(name): str(value) for name, value in dict(tree.get("bindings", {})).items()},
        )
    except (TypeError, ValueError):
        raise UsageError('--request: "headers" is an object, or a list of pairs; "bindings" is an object') from None
    states = [word for flag in ("down", "draining") for each in tree.get(flag, []) for word in (f"--{flag}", str(each))]
    line = _curl.parse(" ".join(["curl http://x/", *(f"'{word}'" for word in states)]))
    return _curl.Asked(request, None, line.states)
