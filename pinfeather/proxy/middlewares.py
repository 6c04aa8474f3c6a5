"""Middlewares as steps that a request takes, in the order of its route.

What cannot be executed here raises `Closed` while the document is made ready: its route answers 503 and is never open.
Status codes and texts are Traefik's (3.7, pkg/middlewares/{redirect,auth,ipallowlist,stripprefix,replacepath}).
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pinfeather.model.document import Document
from pinfeather.model.middlewares import (
    AddPrefix,
    BasicAuth,
    Chain,
    Headers,
    IPAllowList,
    RedirectRegex,
    RedirectScheme,
    ReplacePath,
    ReplacePathRegex,
    StripPrefix,
)
from pinfeather.model.noun import Noun, Template
from pinfeather.proxy.passage import DEFAULT_PORTS, FRAMING_FIELDS, REASONS, Answer, Passage, visible
from pinfeather.proxy.passwords import Check, checker
from pinfeather.proxy.resources import Resources

Step = Callable[[Passage], Answer | None]
"""Changes the request, or answers it and so ends its way."""

_GROUP = re.compile(r"\$(?:(\$)|([0-9A-Za-z_]+)|\{([0-9A-Za-z_]+)\})")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_REMEMBERED = 1024  # passwords that were right once


class Closed(Exception):  # noqa: N818 - says what a route is
    """A middleware cannot be executed, so that no request may pass."""

    def __init__(self, middleware: str, why: str) -> None:
        super().__init__(f"middleware {middleware!r}: {why}")
        self.middleware = middleware
        self.why = why


class _Unfit(Exception):  # noqa: N818
    """Why one noun cannot be executed; `steps` adds the name."""


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
    build = _BUILDERS.get(type(config))
    if build is None:
        raise Closed(name, f"the kind {middleware.kind!r} is not executed by this proxy")
    if _templated(config):
        raise Closed(name, "it contains a template")
    try:
        return (build(config),)
    except _Unfit as unfit:
        raise Closed(name, str(unfit)) from unfit


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
    port = config.port
    suffix = "" if port is None or DEFAULT_PORTS.get(config.scheme) == port else f":{port}"

    def step(passage: Passage) -> Answer | None:
        name, colon, now = passage.host.rpartition(":")
        if not colon or "]" in now:
            name, now = passage.host, DEFAULT_PORTS.get(passage.scheme, "")
        if passage.scheme == config.scheme and port in (None, now):
            return None
        return _moved(passage.method, f"{config.scheme}://{name}{suffix}{passage.target}", config.permanent)

    return step


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
    def step(passage: Passage) -> Answer | None:
        for prefix in config.prefixes:
            if passage.path.startswith(prefix):
                rest = passage.path[len(prefix) :]
                passage.move(rest)
                if passage.path != "/" + rest.removeprefix("/"):
                    return Answer.error(400)  # `/api../x`: what is left climbs or has empty segments; Traefik 3.7.15 refuses too
                passage.put("X-Forwarded-Prefix", visible(prefix))
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
            raise _Unfit(f"the header {name!r} belongs to the connection, not to the message")
        if _FIELD_VALUE.fullmatch(value) is None:
            raise _Unfit(f"the value of {name!r} cannot stand in a header")
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
        raise _Unfit("`depth` reads X-Forwarded-For, which this proxy takes from nobody")
    status = config.reject_status or 403
    networks = [ipaddress.ip_network(text, strict=False) for text in config.source_ranges]
    refusal = Answer(status, REASONS.get(status, "").encode())

    def step(passage: Passage) -> Answer | None:
        address = ipaddress.ip_address(passage.client.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return None if any(address in network for network in networks) else refusal

    return step


@dataclass(frozen=True, slots=True)
class _Users:
    checks: Mapping[bytes, Check]
    right: dict[bytes, None]  # digests of credentials that were right: MD5 in Python costs a millisecond each time

    def known(self, credentials: str) -> str | None:
        """The user's name, if the `Basic` credentials are right."""
        try:
            plain = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            return None
        user, colon, password = plain.partition(b":")
        check = self.checks.get(user)
        digest = hashlib.sha256(plain).digest()
        if digest in self.right:
            return user.decode("latin-1")
        if check is None:
            next(iter(self.checks.values()))(password)  # an unknown user takes as long as a known one
            return None
        if not colon or not check(password):
            return None
        if len(self.right) >= _REMEMBERED:
            self.right.clear()
        self.right[digest] = None
        return user.decode("latin-1")


def _basic_auth(config: BasicAuth) -> Step:
    users = _Users(_checks(config), {})
    realm = (config.realm or "traefik").replace("\\", "\\\\").replace('"', '\\"')
    if _FIELD_VALUE.fullmatch(realm) is None:
        raise _Unfit("the realm cannot stand in a header")
    name_field = config.header_field
    if name_field is not None and name_field.lower() in FRAMING_FIELDS:
        raise _Unfit(f"the header {name_field!r} belongs to the connection, not to the message")
    refusal = Answer(401, b"401 Unauthorized\n", (("Content-Type", "text/plain"), ("WWW-Authenticate", f'Basic realm="{realm}"')))

    def step(passage: Passage) -> Answer | None:
        given = passage.values("authorization")
        scheme, _, credentials = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        user = users.known(credentials.strip(" ")) if scheme.lower() == "basic" else None
        if user is None:
            return refusal
        if name_field is not None:
            if _FIELD_VALUE.fullmatch(user) is None:
                return refusal
            passage.put(name_field, user)
        if config.remove_header:
            passage.put("Authorization", "")
        return None

    return step


def _checks(config: BasicAuth) -> dict[bytes, Check]:
    lines = list(config.users)
    if config.users_file is not None:
        try:
            text = Path(config.users_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _Unfit("its users file cannot be read") from error
        lines += [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    checks: dict[bytes, Check] = {}
    for line in lines:
        user, colon, hashed = line.partition(":")
        check = checker(hashed.strip()) if colon else None
        if check is None:
            raise _Unfit("a user's password hash is neither {SHA} nor MD5 ($apr1$, $1$), the two that are checked here")
        checks[user.encode("utf-8")] = check
    if not checks:
        raise _Unfit("it knows no user")
    return checks


_BUILDERS: Mapping[type[Noun], Callable[[Noun], Step]] = {
    RedirectScheme: _redirect_scheme,  # type: ignore[dict-item]  # each key is the type of its builder's argument
    RedirectRegex: _redirect_regex,  # type: ignore[dict-item]
    StripPrefix: _strip_prefix,  # type: ignore[dict-item]
    AddPrefix: _add_prefix,  # type: ignore[dict-item]
    ReplacePath: _replace_path,  # type: ignore[dict-item]
    ReplacePathRegex: _replace_path_regex,  # type: ignore[dict-item]
    Headers: _headers,  # type: ignore[dict-item]
    BasicAuth: _basic_auth,  # type: ignore[dict-item]
    IPAllowList: _ip_allow_list,  # type: ignore[dict-item]
}
