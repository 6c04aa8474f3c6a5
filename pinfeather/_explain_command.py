"""`pinfeather explain` on files and standard streams: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pinfeather import _connection, _curl, _explain_render, _render, _request_json
from pinfeather._explain import explain
from pinfeather._explain_tcp import explain_tcp
from pinfeather._explanation import Explanation
from pinfeather._reading import Loaded, load
from pinfeather._shell import LineError, shell, wire
from pinfeather._sources import UsageError, file
from pinfeather.model.decide import State
from pinfeather.model.diagnostics import Path, Report, Severity, Span
from pinfeather.model.document import Document
from pinfeather.model.features import walk
from pinfeather.model.match import Header
from pinfeather.model.request import affinity
from pinfeather.model.table import UndecidedError
from pinfeather.translators.contract import Identity, Parsed

Asked = _curl.Asked | _connection.AskedConnection


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 the question is answered (404 and 503 are answers), 2 input that cannot be read. Raises FileError and UsageError."""
    try:
        files, asked = _asked(given)
        loaded = load(files, given) if files else None
        if loaded is not None and not _told(loaded.parsed, given):
            return 2
        if given.traefik is not None:
            return _live(given, loaded, asked)
        if loaded is None:
            raise UsageError("name a file to explain it by, or a running Traefik with --traefik")
        assert loaded.parsed.document is not None
        document = loaded.parsed.document
        _print(_explained(document, asked, spans=loaded.parsed.spans, identity=_identity(document, loaded)), given)
    except LineError as problem:
        raise UsageError(str(problem)) from None
    except UndecidedError as problem:
        raise UsageError(f"{problem}, or say it with --bind") from None
    return 0


def _live(given: argparse.Namespace, loaded: Loaded | None, asked: Asked) -> int:
    """The same of a running Traefik; the files beside it say where its routers came from. OSError where none answers."""
    from pinfeather import _live, _live_origins, _traefik_api

    live = _live.live(_traefik_api.ask(given.traefik, given.traefik_header))
    document = live.parsed.document
    if not _told(live.parsed, given) or document is None:
        return 2
    from_files: _live_origins.Origins | None = None
    if loaded is not None and loaded.parsed.document is not None:
        from_files = _live_origins.origins(live, document, loaded.parsed.document, loaded.parsed.spans)
    state = live.tcp_state if isinstance(asked, _connection.AskedConnection) else live.state
    found = _explained(document, asked, state, spans=from_files.spans if from_files is not None else {})
    notes = [f"{name} {fault}" for name, fault in live.faults]
    if tied := _live_origins.ties(document, found.asked, state):
        notes.append(f"{' and '.join(map(live.theirs, tied))} have one priority: which of them takes it is chance")
    for name, by in _live_origins.shadowed(document):
        notes.append(f"{live.theirs(name)} is never reached: {live.theirs(by)} takes whatever it would take")
    if from_files is not None:
        notes += [f"{name} stands in none of the files" for name in from_files.nowhere]
        notes += [f"{name} asks for something else than at {span.file}:{span.line}" for name, span in from_files.changed]
    _print(found.renamed(live.theirs, live.in_their_names()).noted(*notes), given)
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
    document: Document, asked: Asked, state: State | None = None, *, spans: Mapping[Path, Span], identity: Identity | None = None
) -> Explanation:
    """Raises LineError and UndecidedError."""
    tcp = isinstance(asked, _connection.AskedConnection)
    said = _curl.state_of(document, asked.states, tcp=tcp)
    known = State({**(state.servers if state is not None else {}), **said.servers})
    if isinstance(asked, _connection.AskedConnection):
        connection = replace(asked.connection, entry_point=_connection.entry_point(asked, document))
        return replace(explain_tcp(document, connection, known, spans=spans), states=asked.states)
    request = asked.request._replace(entry_point=_curl.entry_point(asked, document))
    found = replace(explain(document, request, known, spans=spans, identity=identity), states=asked.states)
    return found.noted(*(f"not looked at: {each}" for each in asked.ignored), *_unsaid(document, asked))


_OF_CURL = ("user-agent", "accept")


def _unsaid(document: Document, asked: _curl.Asked) -> Iterator[str]:
    """Routes that ask for a header which curl sends by itself."""
    said = {name for name, _ in asked.request.headers}
    wanted = {noun.header.name.lower() for _, noun in walk(document) if isinstance(noun, Header)}
    for name in _OF_CURL:
        if name in wanted - said:
            yield f"curl sends a header {name} of its own, and a route asks for one: it is taken as absent. Say it with -H"


def _print(found: Explanation, given: argparse.Namespace) -> None:
    sys.stdout.write(_explain_render.as_json(found) if given.report == "json" else _explain_render.text(found, every=given.all))


def _identity(document: Document, loaded: Loaded) -> Identity | None:
    """The cookie values of the target, where one format alone was read. Those of variants are made of the names that are written, those of
    servers of the addresses that `--servers` says.
    """
    if len(loaded.formats) != 1 or loaded.written is None:
        return None
    (translator, options) = loaded.formats[0]
    return Identity(translator.identity(loaded.written, options).variants, translator.identity(document, options).servers)


def _asked(given: argparse.Namespace) -> tuple[list[str], Asked]:
    """The files, and the request: --request, --tcp, or the last argument. Raises LineError and UsageError."""
    files = list(given.files)
    if given.request is not None and given.tcp is not None:
        raise UsageError("--request and --tcp both say what to ask: leave one out")
    if given.request is not None:
        return files, _with(_request_json.read(_text(given.request)), given)
    more = _words(given)
    if given.tcp is not None:
        return files, _connection.parse(f"{shell([wire(_connection.named(given.tcp))])} {more}")
    if len(files) < (1 if given.traefik is not None else 2):
        raise UsageError("say what to ask: pinfeather explain FILE 'curl https://shop.example/', or --request with JSON, or --tcp")
    line = f"{files.pop()} {more}"
    return files, _connection.parse(line) if _connection.is_one(line) else _curl.parse(line)


def _words(given: argparse.Namespace) -> str:
    """The options that a line has too, as its words."""
    words = [word for flag in ("bound", "down", "draining") for value in getattr(given, flag) for word in (f"--{flag}", value)]
    for flag, value in (("--from", given.client), ("--entry-point", given.entry_point)):
        if value is not None:
            words += (flag, value)
    return shell(map(wire, words))


def _with(asked: Asked, given: argparse.Namespace) -> Asked:
    """A request of JSON, and what the options say over it."""
    said = _curl.read(f"http://- {_words(given)}")
    states = (*asked.states, *said.states)
    if isinstance(asked, _connection.AskedConnection):
        connection = asked.connection
        bindings = {**connection.bindings, **{affinity(name): what for name, what in said.bindings.items()}}
        client, point = given.client or connection.client, given.entry_point or connection.entry_point
        return asked._replace(connection=replace(connection, bindings=bindings, client=client, entry_point=point), states=states)
    request = asked.request
    bindings = {**request.bindings, **said.bindings}
    client, point = given.client or request.client, given.entry_point or request.entry_point
    return asked._replace(request=request._replace(bindings=bindings, client=client, entry_point=point), states=states)


def _text(argument: str) -> str:
    """What `--request` says: JSON itself, a file of it, or `-`."""
    if argument.lstrip().startswith("{"):
        return argument
    if argument == "-":
        return sys.stdin.read()
    data = file(pathlib.Path(argument)).text
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data
