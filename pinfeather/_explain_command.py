"""`pinfeather explain` on files and standard streams: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from pinfeather import _curl, _explain_render, _render
from pinfeather._explain import explain
from pinfeather._reading import Loaded, load
from pinfeather._sources import UsageError, file
from pinfeather.model.decide import Request, normal_path
from pinfeather.model.diagnostics import Report, Severity
from pinfeather.model.document import Document
from pinfeather.model.table import UndecidedError
from pinfeather.translators.contract import Identity

_FIELDS = frozenset({"method", "host", "path", "query", "headers", "entry_point", "tls", "client", "bindings", "down", "draining"})


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 the question is answered (404 and 503 are answers), 2 input that cannot be read. Raises FileError and UsageError."""
    files, asked = _asked(given)
    loaded = load(files, given)
    document = loaded.parsed.document
    report = Report.of(loaded.parsed.diagnostics)
    errors = [finding for finding in report.diagnostics if finding.severity is Severity.ERROR]
    if document is None or given.all:
        sys.stderr.write(_render.text(report, most=len(report.diagnostics) if given.all else _render.SCREEN))
    elif errors:
        sys.stderr.write(_render.text(Report.of(errors)))
    if document is None:
        return 2
    try:
        state = _curl.state_of(document, asked.states)
        request = replace(asked.request, entry_point=_curl.entry_point(asked, document))
        found = explain(document, request, state, spans=loaded.parsed.spans, identity=_identity(document, loaded))
    except _curl.LineError as problem:
        raise UsageError(str(problem)) from None
    except UndecidedError as problem:
        raise UsageError(f"{problem}, or say it with --bind") from None
    sys.stdout.write(_explain_render.as_json(found) if given.report == "json" else _explain_render.text(found, every=given.all))
    return 0


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
    if len(files) < 2:
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
        data = file(Path(text)).text
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
