"""What stands around routing, in the same folder: Traefik's own settings, and how many servers there are. Only the text is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from pinfeather.model.diagnostics import Code, Diagnostic, Span, info, warning
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer
from pinfeather.translators._syntax.decoding import position
from pinfeather.translators.contract import File

_FLAG = re.compile(rb"""--api\.insecure(?:=true)?(?=["'\s,\]]|\Z)""", re.IGNORECASE)
_STATIC = re.compile(rb"^(?:entryPoints|providers):", re.IGNORECASE | re.MULTILINE)
_API = re.compile(
    rb"^api:[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t][^\n]*\n|(?:#[^\n]*)?\r?\n)*?[ \t]+(insecure:[ \t]*[\"']?true)\b", re.IGNORECASE | re.MULTILINE
)
_TOML = re.compile(rb"^\[api\][ \t]*\r?\n(?:(?!\[)[^\n]*\n)*?[ \t]*(insecure[ \t]*=[ \t]*true)\b", re.IGNORECASE | re.MULTILINE)
_SCALER = re.compile(rb"^(kind:[ \t]*HorizontalPodAutoscaler)[ \t]*(?:#[^\n]*)?\r?$", re.MULTILINE)
_AUTOSCALING = re.compile(rb"^(?:autoscaling|hpa):[ \t]*\r?\n(?:[ \t][^\n]*\n)*?[ \t]+(enabled:[ \t]*true)\b", re.MULTILINE)
_ONE = re.compile(rb"^[ \t]*((?:minReplicas|replicas|replicaCount):[ \t]*1)[ \t]*(?:#[^\n]*)?\r?$", re.MULTILINE)
_CUT = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_OBJECT = re.compile(rb"^apiVersion:", re.MULTILINE)
_NAME = re.compile(rb"""\bname:[ \t]*["']?([\w.-]+)""")
_MARKS = (b"api", b"HorizontalPodAutoscaler", b"autoscaling:", b"hpa:", b"eplica")


def speaks(file: File) -> bool:
    """Whether a file may say something that matters here."""
    data = _data(file)
    return any(mark in data for mark in _MARKS) and any(_matches(data))


def pinned(document: Document) -> set[bytes]:
    """The Kubernetes Services whose clients a document pins to pods."""
    held = (service for service in document.services.values() if isinstance(service, LoadBalancer) and service.sticky is not None)
    return {str(ref.service).encode() for service in held for server in service.servers if (ref := server.kubernetes) is not None}


def findings(files: Iterable[File], services: set[bytes]) -> Iterator[Diagnostic]:
    """`services`: those of this folder whose clients are pinned."""
    for file in files:
        data = _data(file)
        if not any(mark in data for mark in _MARKS):
            continue
        for code, match in _matches(data):
            begin = match.start(match.lastindex or 0)
            if code != Code.API_INSECURE and not _concerns(data, begin, services):
                continue
            text, at = data.decode("utf-8", "replace"), len(data[:begin].decode("utf-8", "replace"))
            line, column = position(text.removeprefix("\ufeff"), at - text.startswith("\ufeff"))
            width = len(match[match.lastindex or 0].decode("utf-8", "replace").strip())
            yield _SAY[code](Span(file.name, line, column, line, column + width))


def _concerns(data: bytes, at: int, services: set[bytes]) -> bool:
    """Whether it is said of what is pinned: of an object with the name of such a Service, or in a values file with `sticky`."""
    cuts = [found.start() for found in _CUT.finditer(data)]
    begin = max((cut for cut in cuts if cut <= at), default=0)
    part = data[begin : min((cut for cut in cuts if cut > at), default=len(data))]
    if _OBJECT.search(part) is None:
        return b"sticky:" in data
    return any(name in services for name in _NAME.findall(part))


def _matches(data: bytes) -> Iterator[tuple[Code, re.Match[bytes]]]:
    if b"insecure" in data:
        yield from ((Code.API_INSECURE, match) for match in _FLAG.finditer(data))
        if _STATIC.search(data):
            yield from ((Code.API_INSECURE, match) for match in _API.finditer(data))
        yield from ((Code.API_INSECURE, match) for match in _TOML.finditer(data))
    for pattern in (_SCALER, _AUTOSCALING):
        yield from ((Code.STICKY_SCALED, match) for match in pattern.finditer(data))
    yield from ((Code.STICKY_ONE_SERVER, match) for match in _ONE.finditer(data))


_GONE = "pods come and go here: who is pinned to one that goes is drawn anew, and what it held in memory is gone"
_OPEN = "Traefik's API and dashboard answer everybody who reaches their port"
_SAY: dict[Code, Callable[[Span], Diagnostic]] = {
    Code.API_INSECURE: lambda span: warning(
        Code.API_INSECURE,
        _OPEN,
        span=span,
        instead="for local tests only; else take it out, and route `api@internal` behind authentication",
    ),
    Code.STICKY_SCALED: lambda span: info(
        Code.STICKY_SCALED, _GONE, span=span, instead="keep sessions in a shared store, if they must outlive a pod"
    ),
    Code.STICKY_ONE_SERVER: lambda span: info(
        Code.STICKY_ONE_SERVER,
        "one replica: every request goes there, pinned or not",
        span=span,
        instead="say more than 1, or leave `sticky` out",
    ),
}


def _data(file: File) -> bytes:
    return file.text if isinstance(file.text, bytes) else file.text.encode("utf-8", "replace")
