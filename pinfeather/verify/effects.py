"""What the middlewares of a decision do: an answer of their own, header fields on what passes them, and what a server is asked for.

Worked out here and not by the reference proxy's code, so that the proxy is judged and not asked.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.decide import Request
from pinfeather.model.document import Document
from pinfeather.model.middlewares import BasicAuth, IPAllowList, Middleware, RedirectRegex, RedirectScheme

_PORTS = {"http": "80", "https": "443"}
_SAID = {"http": "http", "ws": "http", "https": "https", "wss": "https"}  # what X-Forwarded-Proto says of a client


class Effect(NamedTuple):
    """`status`: what a middleware answers by itself; None: the request passes. `unknown`: why nobody can foretell it."""

    status: int | None = None
    location: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case, in order; a value of nothing: the field is taken off."""
    unknown: str = ""
    path: str | None = None
    """What the server is asked for; None: that is not foretold."""
    fields: tuple[tuple[str, str], ...] = ()
    """Of the request, as `headers` of the answer."""


def effect(document: Document, request: Request, names: Sequence[str], user: str | None) -> Effect:
    """What happens to a request on its way through these middlewares. `user`: `name:password`, where the client gives one."""
    headers: dict[str, str] = {}
    fields: dict[str, str] = {}
    path = request.path if _PLAIN.fullmatch(request.path) else None
    for name in opened(document, names):
        middleware = document.middlewares.get(name)
        if middleware is None:
            return Effect(unknown=f"{name} is another provider's")
        # How the client came, if a middleware has said so.
        said = fields.get("x-forwarded-proto", "")
        found = _one(name, middleware, request._replace(path=path or request.path), user, said)
        if found is not None:
            return found._replace(headers=tuple(sorted(headers.items())))
        path = _moved_to(middleware, path)
        if middleware.headers is not None:
            # The middleware passed first sees the answer last: what it sets stands.
            headers = {**{key.lower(): value for key, value in middleware.headers.response.items()}, **headers}
            fields |= {key.lower(): value for key, value in middleware.headers.request.items()}
    return Effect(headers=tuple(sorted(headers.items())), path=path, fields=tuple(sorted(fields.items())))


def opened(document: Document, names: Sequence[str], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The middlewares with their chains opened."""
    for name in names:
        middleware = document.middlewares.get(name)
        if middleware is None or middleware.chain is None:
            yield name
        elif name not in above:
            yield from opened(document, middleware.chain.middlewares, (*above, name))


_PLAIN = re.compile(r"(?:/[0-9A-Za-z_.~-]*)+")
_CLIMBS = re.compile(r"//|/\.{1,2}(?:/|$)")


def _moved_to(middleware: Middleware, path: str | None) -> str | None:
    """The path behind it: without the first prefix that fits, with a slash in front (Traefik 3.7, pkg/middlewares/stripprefix)."""
    if path is None:
        return None
    if middleware.replace_path_regex is not None:
        return None
    if middleware.strip_prefix is not None:
        prefix = next((each for each in middleware.strip_prefix.prefixes if path.startswith(each)), "")
        path = "/" + path[len(prefix) :].removeprefix("/")
    if middleware.add_prefix is not None:
        path = middleware.add_prefix.prefix.rstrip("/") + path
    if middleware.replace_path is not None:
        path = str(middleware.replace_path.path)
    return path if _PLAIN.fullmatch(path) and _CLIMBS.search(path) is None else None


def watched(document: Document) -> frozenset[str]:
    """The header fields of answers that some middleware sets."""
    found = (each.headers.response for each in document.middlewares.values() if each.headers is not None)
    return frozenset(name.lower() for response in found for name in response) - _OF_EVERY_ANSWER


def asked_for(document: Document) -> frozenset[str]:
    """The header fields of requests that some middleware sets, and nobody else does."""
    found = (each.headers.request for each in document.middlewares.values() if each.headers is not None)
    every = frozenset(name.lower() for request in found for name in request)
    return frozenset(
        name for name in every if not name.startswith(("x-forwarded-", "x-real-", "accept", "cont", "sec-")) and name not in _OF_PROXIES
    )


_OF_EVERY_ANSWER = frozenset(("connection", "content-length", "date", "server", "transfer-encoding"))
_OF_PROXIES = frozenset(("authorization", "connection", "cookie", "host", "te", "upgrade", "user-agent", "via"))


def unseen(document: Document, *, echo: bool) -> Iterator[str]:
    """Middlewares of which a client sees nothing, with their kinds. `echo`: whether servers say what they were asked for."""
    for name, middleware in document.middlewares.items():
        found = [middleware.kind] if middleware.kind in _UNSEEN or (middleware.kind in _SEEN_BEHIND and not echo) else []
        if middleware.headers is not None and not echo and middleware.headers.request:
            found = ["headers of the request"]
        yield from (f"{name} ({kind})" for kind in found)


_UNSEEN = frozenset(("compress", "rate_limit", "retry", "replace_path_regex"))
_SEEN_BEHIND = frozenset(("strip_prefix", "add_prefix", "replace_path"))


def guarded(document: Document) -> bool:
    """Whether a password opens anything."""
    return any(each.basic_auth is not None for each in document.middlewares.values())


def basic(user: str) -> str:
    """The value of Authorization."""
    return "Basic " + base64.b64encode(user.encode()).decode("ascii")


def _one(name: str, middleware: Middleware, request: Request, user: str | None, said: str) -> Effect | None:
    """What one of them does, if it does not let the request pass as it is, or may not."""
    if middleware.basic_auth is not None:
        return None if user is not None and _known(middleware.basic_auth, user) else Effect(401)
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


def _known(config: BasicAuth, user: str) -> bool:
    """Whether it may be one of its users: their names stand in the document, or in a file that is not looked at."""
    return config.users_file is not None or user.partition(":")[0] in {each.partition(":")[0] for each in config.users}


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
