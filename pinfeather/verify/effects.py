"""What the middlewares of a decision make a client see: an answer of their own, and header fields on what passes them.

Worked out here and not by the reference proxy's code, so that the proxy is judged and not asked.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.decide import Request
from pinfeather.model.document import Document
from pinfeather.model.middlewares import IPAllowList, Middleware, RedirectRegex, RedirectScheme

_PORTS = {"http": "80", "https": "443"}
_SAID = {"http": "http", "ws": "http", "https": "https", "wss": "https"}  # what X-Forwarded-Proto says of a client


class Effect(NamedTuple):
    """`status`: what a middleware answers by itself; None: the request passes. `unknown`: why nobody can foretell it."""

    status: int | None = None
    location: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case, in order; a value of nothing: the field is taken off."""
    unknown: str = ""


def effect(document: Document, request: Request, names: Sequence[str], user: str | None) -> Effect:
    """What happens to a request on its way through these middlewares. `user`: `name:password`, where the client gives one."""
    headers: dict[str, str] = {}
    said = ""  # how the client came, if a middleware has said so
    for name in opened(document, names):
        middleware = document.middlewares.get(name)
        if middleware is None:
            return Effect(unknown=f"{name} is another provider's")
        found = _one(name, middleware, request, user, said)
        if found is not None:
            return found._replace(headers=tuple(sorted(headers.items())))
        if middleware.headers is not None:
            # The middleware passed first sees the answer last: what it sets stands.
            headers = {**{key.lower(): value for key, value in middleware.headers.response.items()}, **headers}
            said = {key.lower(): value for key, value in middleware.headers.request.items()}.get("x-forwarded-proto", said)
    return Effect(headers=tuple(sorted(headers.items())))


def opened(document: Document, names: Sequence[str], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The middlewares with their chains opened."""
    for name in names:
        middleware = document.middlewares.get(name)
        if middleware is None or middleware.chain is None:
            yield name
        elif name not in above:
            yield from opened(document, middleware.chain.middlewares, (*above, name))


def watched(document: Document) -> frozenset[str]:
    """The header fields of answers that some middleware sets."""
    found = (each.headers.response for each in document.middlewares.values() if each.headers is not None)
    return frozenset(name.lower() for response in found for name in response)


def guarded(document: Document) -> bool:
    """Whether a password opens anything."""
    return any(each.basic_auth is not None for each in document.middlewares.values())


def basic(user: str) -> str:
    """The value of Authorization."""
    return "Basic " + base64.b64encode(user.encode()).decode("ascii")


def _one(name: str, middleware: Middleware, request: Request, user: str | None, said: str) -> Effect | None:
    """What one of them does, if it does not let the request pass as it is, or may not."""
    if middleware.basic_auth is not None:
        return Effect(401) if user is None else None
    if middleware.forward_auth is not None:
        return Effect(unknown=f"{name} asks {middleware.forward_auth.address}")
    if middleware.other is not None:
        return Effect(unknown=f"what {middleware.other.kind!r} does is not known here ({name})")
    if middleware.ip_allow_list is not None:
        return _listed(name, middleware.ip_allow_list, request.client)
    if middleware.redirect_scheme is not None:
        return _scheme(middleware.redirect_scheme, request, said)
    if middleware.redirect_regex is not None:
        return _regex(middleware.redirect_regex, request)
    return None


def _listed(name: str, config: IPAllowList, client: str) -> Effect | None:
    if config.depth is not None:
        return Effect(unknown=f"{name} looks at X-Forwarded-For")
    if not client:
        return Effect(unknown=f"{name} asks for the client's address, which is not known here")
    address = ipaddress.ip_address(client)
    if any(address in ipaddress.ip_network(text, strict=False) for text in config.source_ranges):
        return None
    return Effect(config.reject_status or 403)


def _moved(request: Request, location: str, permanent: bool | None) -> Effect:
    """Traefik 3.7, pkg/middlewares/redirect/redirect.go: another status for what is no GET."""
    plain = request.method == "GET"
    return Effect((301 if plain else 308) if permanent else (302 if plain else 307), location)


def _target(request: Request) -> str:
    return request.path + (f"?{request.query}" if request.query else "")


def _scheme(config: RedirectScheme, request: Request, said: str) -> Effect | None:
    now = _SAID.get(said.lower(), "https" if request.tls else "http")
    host, colon, port = request.host.rpartition(":")
    if not colon or not port.isdigit():
        host, port = request.host, ""
    suffix = "" if config.port is None or _PORTS.get(config.scheme) == config.port else f":{config.port}"
    if now == config.scheme and suffix == (f":{port}" if port and port != _PORTS[now] else ""):
        return None
    return _moved(request, f"{config.scheme}://{host}{suffix}{_target(request)}", config.permanent)


def _regex(config: RedirectRegex, request: Request) -> Effect | None:
    import re2

    url = f"{'https' if request.tls else 'http'}://{request.host}{_target(request)}"
    options = re2.Options()
    options.log_errors = False
    found = re2.compile(config.regex, options=options).search(url)
    if found is None:
        return None
    if "$" in config.replacement:
        return Effect(unknown=f"where {config.regex!r} leads is worked out of the URL")
    location = url[: found.start()] + str(config.replacement) + url[found.end() :]
    return None if location == url else _moved(request, location, config.permanent)


def slowest(document: Document) -> Mapping[str, tuple[int, str]]:
    """Each rate limit: its average, and its period as it is written."""
    return {
        name: (each.rate_limit.average, str(each.rate_limit.period or "1s"))
        for name, each in document.middlewares.items()
        if each.rate_limit is not None and each.rate_limit.average > 0
    }
