"""Middlewares as steps that a request takes, in the order of its route.

What cannot be executed here raises `Closed` while the document is made ready: its route answers 503 and is never open.
Status codes and texts are Traefik's (3.7, pkg/middlewares/{redirect,auth,ipallowlist,stripprefix,replacepath}).
"""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pinfeather.model.document import Document
from pinfeather.model.middlewares import (
    AddPrefix,
    BasicAuth,
    Chain,
    Compress,
    ForwardAuth,
    Headers,
    IPAllowList,
    RateLimit,
    RedirectRegex,
    RedirectScheme,
    ReplacePath,
    ReplacePathRegex,
    Retry,
    StripPrefix,
)
from pinfeather.model.noun import Noun, Template, seconds
from pinfeather.proxy.basic_auth import basic_auth
from pinfeather.proxy.compress import compress
from pinfeather.proxy.forward_auth import forward_auth
from pinfeather.proxy.passage import DEFAULT_PORTS, FRAMING_FIELDS, REASONS, Answer, Passage, visible
from pinfeather.proxy.rate_limit import Unshareable, retry_fields
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.step import Outcome, Step, Unfit

_GROUP = re.compile(r"\$(?:(\$)|([0-9A-Za-z_]+)|\{([0-9A-Za-z_]+)\})")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Closed(Exception):  # noqa: N818 - says what a route is
    """A middleware cannot be executed, so that no request may pass."""

    def __init__(self, middleware: str, why: str) -> None:
        super().__init__(f"middleware {middleware!r}: {why}")
        self.middleware = middleware
        self.why = why


def steps(document: Document, names: Sequence[str], resources: Resources) -> tuple[Step, ...]:
    """What these middlewares do, in order, chains opened. Raises Closed for the first that cannot be executed."""
    return tuple(step for name in names for step in _named(document, name, (), resources))


def _named(document: Document, name: str, above: tuple[str, ...], resources: Resources) -> tuple[Step, ...]:
    if name in above:
        raise Closed(name, "the chain contains itself")
    middleware = document.middlewares.get(name)
    if middleware is None:
        raise Closed(name, "it belongs to another provider" if "@" in name else "it is not in the document")
    config = middleware.config
    if isinstance(config, Chain):
        return tuple(step for part in config.middlewares for step in _named(document, part, (*above, name), resources))
    if _templated(config):
        raise Closed(name, "it contains a template")
    try:
        step = _built(name, config, resources)
    except Unfit as unfit:
        raise Closed(name, str(unfit)) from unfit
    return () if step is None else (step,)


def _built(name: str, config: Noun, resources: Resources) -> Step | None:
    """What the noun does; None where it does nothing to any request. Raises Unfit."""
    match config:
        case BasicAuth():
            return basic_auth(config, resources)
        case RateLimit():
            return _rate_limit(name, config, resources)
        case ForwardAuth():
            return forward_auth(config, resources)
        case _ if (build := _BUILDERS.get(type(config))) is not None:
            return build(config)
        case _:
            raise Unfit("its kind is not executed by this proxy")


def _templated(config: Noun) -> bool:
    values: list[object] = [getattr(config, name) for name in type(config).model_fields]
    while values:
        value = values.pop()
        if isinstance(value, Template):
            return True
        if isinstance(value, tuple):
            values.extend(value)
        elif isinstance(value, dict):
            values.extend(value.values())
    return False


def _moved(method: str, location: str, permanent: bool | None) -> Answer:
    status = (301 if permanent else 302) if method == "GET" else (308 if permanent else 307)
    return Answer(status, REASONS[status].encode(), (("Location", visible(location)),))


def _redirect_scheme(config: RedirectScheme) -> Step:
    """Whoever is at the new place already is not sent there; a middleware before may have said how the client came.

    Traefik 3.7, pkg/middlewares/redirect/redirect_scheme.go: X-Forwarded-Proto counts, a usual port is none.
    """
    port = config.port
    suffix = "" if port is None or DEFAULT_PORTS.get(config.scheme) == port else f":{port}"

    def step(passage: Passage) -> Answer | None:
        name, colon, now = passage.host.rpartition(":")
        if not colon or "]" in now:
            name, now = passage.host, ""
        scheme = _SAID.get(passage.said_scheme.lower(), passage.scheme)
        if scheme == config.scheme and suffix == (f":{now}" if now and now != DEFAULT_PORTS[scheme] else ""):
            return None
        return _moved(passage.method, f"{config.scheme}://{name}{suffix}{passage.target}", config.permanent)

    return step


_SAID = {"http": "http", "ws": "http", "https": "https", "wss": "https"}  # what X-Forwarded-Proto says of a client


def _replacer(regex: str, replacement: str) -> Callable[[str], str | None]:
    """Go's ReplaceAllString over RE2: every match replaced, `$1` and `${name}` expanded; None without a match."""
    import re2

    options = re2.Options()
    options.log_errors = False
    pattern = re2.compile(regex, options=options)
    parts: list[tuple[str, str | int]] = []  # literal text, then the group that follows it
    end = 0
    for found in _GROUP.finditer(replacement):
        literal = replacement[end : found.start()]
        end = found.end()
        if found[1]:
            parts.append((literal + "$", ""))
            continue
        group = found[2] or found[3]
        known: str | int = int(group) if group.isdigit() else group
        exists = known <= pattern.groups if isinstance(known, int) else known in pattern.groupindex
        parts.append((literal, known if exists else ""))  # an unknown group expands to nothing, as in Go
    rest = replacement[end:]

    def replace(text: str) -> str | None:
        written, last, matched = [], 0, False
        for match in pattern.finditer(text):
            matched = True
            written.append(text[last : match.start()])
            for literal, group in parts:
                written.append(literal)
                if group != "":
                    written.append(match.group(group) or "")
            written.append(rest)
            last = match.end()
        return "".join((*written, text[last:])) if matched else None

    return replace


def _redirect_regex(config: RedirectRegex) -> Step:
    replace = _replacer(config.regex, config.replacement)

    def step(passage: Passage) -> Answer | None:
        url = passage.url
        location = replace(url)
        return None if location is None or location == url else _moved(passage.method, location, config.permanent)

    return step


def _strip_prefix(config: StripPrefix) -> Step:
    prefixes = [(prefix.encode().decode("latin-1"), visible(prefix)) for prefix in config.prefixes]

    def step(passage: Passage) -> Answer | None:
        for prefix, sent in prefixes:  # Traefik holds them against the decoded path
            if passage.path.startswith(sent):
                rest = passage.path[len(sent) :]
                passage.move(rest)
                if passage.path != "/" + rest.removeprefix("/"):
                    return Answer.error(400)  # `/api../x`: what is left climbs or has empty segments; Traefik 3.7.15 refuses too
                passage.put("X-Forwarded-Prefix", prefix)
                break
        return None

    return step


def _add_prefix(config: AddPrefix) -> Step:
    def step(passage: Passage) -> Answer | None:
        passage.move(config.prefix + passage.path)
        return None

    return step


def _replaced(passage: Passage, path: str) -> None:
    passage.put("X-Replaced-Path", passage.path)
    passage.move(path)


def _replace_path(config: ReplacePath) -> Step:
    def step(passage: Passage) -> Answer | None:
        _replaced(passage, config.path)
        return None

    return step


def _replace_path_regex(config: ReplacePathRegex) -> Step:
    replace = _replacer(config.regex, config.replacement)

    def step(passage: Passage) -> Answer | None:
        path = replace(passage.path)
        if path is not None:
            _replaced(passage, path)
        return None

    return step


def _headers(config: Headers) -> Step:
    for name, value in (*config.request.items(), *config.response.items()):
        if name.lower() in FRAMING_FIELDS:
            raise Unfit(f"the header {name!r} belongs to the connection, not to the message")
        if _FIELD_VALUE.fullmatch(value) is None:
            raise Unfit(f"the value of {name!r} cannot stand in a header")
    request, response = dict(config.request), dict(config.response)

    def step(passage: Passage) -> Answer | None:
        for name, value in request.items():
            passage.put(name, value)
        if response:
            passage.edits.append(response)
        return None

    return step


def _ip_allow_list(config: IPAllowList) -> Step:
    if config.depth is not None:
        raise Unfit("`depth` reads X-Forwarded-For, which this proxy takes from nobody")
    status = config.reject_status or 403
    networks = [ipaddress.ip_network(text, strict=False) for text in config.source_ranges]
    refusal = Answer(status, REASONS.get(status, "").encode())

    def step(passage: Passage) -> Answer | None:
        address = ipaddress.ip_address(passage.client.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return None if any(address in network for network in networks) else refusal

    return step


def _rate_limit(name: str, config: RateLimit, resources: Resources) -> Step | None:
    try:
        buckets = resources.buckets(name, config)
    except Unshareable as unshareable:
        raise Unfit(str(unshareable)) from unshareable
    if buckets is None:
        return None
    refusal = REASONS[429].encode()

    def step(passage: Passage) -> Outcome | Awaitable[Outcome]:
        passes, wait = buckets.take(passage.client, asyncio.get_running_loop().time())
        if not passes:
            return Answer(429, refusal, retry_fields(wait))
        return asyncio.sleep(wait, None) if wait else None

    return step


def _retry(config: Retry) -> Step:
    interval = seconds(config.initial_interval) if config.initial_interval else 0.0

    def step(passage: Passage) -> Answer | None:
        passage.attempts, passage.retry_interval = config.attempts, interval
        return None

    return step


_BUILDERS: Mapping[type[Noun], Callable[[Noun], Step]] = {
    RedirectScheme: _redirect_scheme,  # type: ignore[dict-item]  # each key is the type of its builder's argument
    RedirectRegex: _redirect_regex,  # type: ignore[dict-item]
    StripPrefix: _strip_prefix,  # type: ignore[dict-item]
    AddPrefix: _add_prefix,  # type: ignore[dict-item]
    ReplacePath: _replace_path,  # type: ignore[dict-item]
    ReplacePathRegex: _replace_path_regex,  # type: ignore[dict-item]
    Headers: _headers,  # type: ignore[dict-item]
    Compress: compress,  # type: ignore[dict-item]
    Retry: _retry,  # type: ignore[dict-item]
    IPAllowList: _ip_allow_list,  # type: ignore[dict-item]
}
