"""The API of a running Traefik: what it holds, which version it is, where it listens (Traefik 3.7, pkg/api/handler.go)."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from pinfeather._sources import UsageError

_TIMEOUT = 10.0
"""Seconds without a byte after which nobody answers."""
_LARGEST = 64 * 1024 * 1024


class Answers(NamedTuple):
    """What the API says, as JSON gives it: nothing of it is looked at yet."""

    url: str
    rawdata: object
    version: object
    """None where it does not say."""
    entry_points: object


def ask(url: str, headers: Iterable[str] = ()) -> Answers:
    """Asks a Traefik; `headers` are `Name: value`, for whatever guards its API. Raises OSError where none answers (`filename` is the
    URL), UsageError where what answers is none.
    """
    parts = _parts(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    fields = {"Accept": "application/json", **_user(parts)}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip() or not header.isprintable():
            raise UsageError(f"--traefik-header {header}: write it as 'NAME: VALUE'")
        fields[name.strip()] = value.strip()
    return Answers(
        urlunsplit(bare).rstrip("/"),
        _json(_page(bare, "/api/rawdata"), fields),
        _optional(_page(bare, "/api/version"), fields),
        _optional(_page(bare, "/api/entrypoints"), fields),
    )


def _parts(url: str) -> SplitResult:
    wrong = f"--traefik {url}: write the address of Traefik's API, such as http://127.0.0.1:8080"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise UsageError(wrong) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not url.isprintable() or " " in url:
        raise UsageError(wrong)
    return parts


def _page(bare: SplitResult, path: str) -> str:
    return urlunsplit(bare._replace(path=bare.path.rstrip("/") + path))


def _user(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(user.encode()).decode("ascii")}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: credentials go nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


def _json(page: str, fields: dict[str, str]) -> object:
    request = urllib.request.Request(page, headers=fields)  # noqa: S310 - http or https, looked at by `ask`
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            data = answer.read(_LARGEST + 1)
    except urllib.error.HTTPError as problem:
        raise UsageError(f"{page} answers {problem.code}: {_hint(problem.code)}") from None
    except urllib.error.URLError as problem:
        raise OSError(0, f"no Traefik answers: {problem.reason}", page) from None
    except (OSError, http.client.HTTPException) as problem:
        raise OSError(0, f"no Traefik answers: {str(problem) or type(problem).__name__}", page) from None
    if len(data) > _LARGEST:
        raise UsageError(f"{page}: its answer is larger than {_LARGEST // 2**20} MiB")
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        raise UsageError(f"{page} does not answer with JSON: this is no Traefik's API") from None
    return found


def _hint(status: int) -> str:
    if status in (401, 403):
        return "say user:password@ in its address, or --traefik-header"
    if 300 <= status < 400:
        return "it sends us elsewhere; name the address that it sends us to, if you trust it"
    return "name the entry point that serves its API, and start it with --api=true"


def _optional(page: str, fields: dict[str, str]) -> object:
    """What not every way to the API lets through."""
    try:
        return _json(page, fields)
    except (UsageError, OSError):
        return None
