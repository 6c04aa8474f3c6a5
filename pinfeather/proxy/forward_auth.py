"""Another server decides who passes (Traefik 3.7, pkg/middlewares/auth/forward.go).

It is asked with a GET that carries the request's fields and says the rest in X-Forwarded-Method, -Proto, -Host, -Port, -Uri
and -For. An answer of 2xx lets the request pass, with the fields that the document names taken over from it; whatever the
client sent under those names, or under names that servers read as those, is taken away. Any other answer goes to the client
as it is. No answer, a broken one, one that takes over 30 s or whose body is over 1 MiB is a 500: it never lets anybody pass.
(Traefik sets no limit to the body, unless it is told one.)

`trust_forward_header` trusts what stands in the request then: what this proxy saw itself, and what middlewares before have
set. What a client says about X-Forwarded-* was dropped before.
"""

import asyncio
import base64
from collections.abc import Callable
from urllib.parse import unquote, urljoin, urlsplit

from pinfeather.model.middlewares import ForwardAuth
from pinfeather.proxy.asking import Reply
from pinfeather.proxy.backend import Origin
from pinfeather.proxy.fields import Refused, end_to_end, split_host
from pinfeather.proxy.passage import DEFAULT_PORTS, FRAMING_FIELDS, Answer, Passage, visible
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.step import Outcome, Step, Unfit
from pinfeather.proxy.wire import ResponseHead

_DEADLINE = 30.0  # seconds for the whole question
_LIMIT = 1024 * 1024  # bytes of an answer's body
_BROKEN = Answer(500)
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Uri")
_PORT = "x-forwarded-port"
# Written by us for every request; X-Forwarded-For is added last, as in Traefik.
_OURS = FRAMING_FIELDS | {"host", "x-forwarded-for"}


def forward_auth(config: ForwardAuth, resources: Resources) -> Step:
    """The step of a `forward_auth`. Raises Unfit."""
    origin, target, authorization = _address(config.address)
    questions = resources.questions(origin)
    build = _builder(config, origin, target, authorization)
    take_over = _takeover(config)

    async def ask(passage: Passage) -> Outcome:
        try:
            async with asyncio.timeout(_DEADLINE):
                reply = await questions.ask(build(passage), "GET", _LIMIT)
        except (OSError, EOFError, Refused):  # TimeoutError is an OSError
            return _BROKEN
        if not 200 <= reply.head.status < 300:
            try:
                return _refusal(reply, config.address)
            except ValueError:  # a Location that is no URL
                return _BROKEN
        take_over(passage, reply.head)
        return None

    return ask


def _address(address: str) -> tuple[Origin, str, str | None]:
    """Where the server is, what is asked of it, and as whom."""
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in DEFAULT_PORTS or not url.hostname or port == 0:
        raise Unfit("its address is not an http or https URL")
    authority = url.netloc.rpartition("@")[2]
    try:
        split_host(authority)
    except Refused as refused:
        raise Unfit("its address has no readable host") from refused
    target = visible((url.path or "/") + (f"?{url.query}" if url.query else ""))
    if "#" in target:
        raise Unfit("its address cannot be asked for")
    authorization = None
    if url.username is not None:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        authorization = "Basic " + base64.b64encode(user).decode()
    return Origin(url.hostname, port or int(DEFAULT_PORTS[url.scheme]), url.scheme == "https", authority), target, authorization


def _builder(config: ForwardAuth, origin: Origin, target: str, authorization: str | None) -> Callable[[Passage], bytes]:
    trusted = config.trust_forward_header
    wanted = {name.lower() for name in config.auth_request_headers}
    if wanted and trusted:
        wanted.update(name.lower() for name in _FORWARDED)

    def build(passage: Passage) -> bytes:
        said = {
            "x-forwarded-for": passage.client,
            "x-forwarded-host": passage.host,
            "x-forwarded-method": passage.method,
            "x-forwarded-proto": passage.scheme,
            "x-forwarded-uri": visible(passage.target),
        }
        if trusted is not None:  # where nothing is said about trust, the port goes along as any other field does
            said[_PORT] = split_host(passage.host)[1] or DEFAULT_PORTS[passage.scheme]
        if trusted:
            said = {name: (passage.values(name) or [value])[0] for name, value in said.items()}
        fields = [
            (name, value, spelled)
            for name, value, spelled in passage.fields
            if name not in said and name not in _OURS and (not wanted or name in wanted)
        ]
        fields += [(spelled.lower(), said[spelled.lower()], spelled) for spelled in _FORWARDED if spelled.lower() in said]
        if authorization is not None and not any(name == "authorization" for name, _, _ in fields):
            fields.append(("authorization", authorization, "Authorization"))
        lines = [f"GET {target} HTTP/1.1", f"Host: {origin.authority}", *(f"{spelled}: {value}" for _, value, spelled in fields)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    return build


def _takeover(config: ForwardAuth) -> Callable[[Passage, ResponseHead], None]:
    """What gives a request the fields of the answer that let it pass."""
    for name in config.auth_response_headers:
        if name.lower() in _OURS:
            raise Unfit(f"the header {name!r} is this proxy's own, and not to be taken over from an answer")
    names = {name.lower() for name in config.auth_response_headers}
    matches = _matcher(config.auth_response_headers_regex)

    def taken(name: str) -> bool:
        return name not in _OURS and (name in names or (matches is not None and matches(name)))

    def take_over(passage: Passage, head: ResponseHead) -> None:
        passage.fields = [field for field in passage.fields if not taken(field[0]) and not taken(_alias(field[0]))]
        passage.fields += [field for field in end_to_end(head.fields, head.options) if taken(field[0])]

    return take_over


def _matcher(regex: str | None) -> Callable[[str], bool] | None:
    """Whether a field's name, spelled as Go spells names, is matched."""
    if regex is None:
        return None
    import re2

    options = re2.Options()
    options.log_errors = False
    pattern = re2.compile(regex, options=options)
    return lambda name: pattern.search("-".join(part.capitalize() for part in name.split("-"))) is not None


def _alias(name: str) -> str:
    return name.replace("_", "-").replace(".", "-")


def _refusal(reply: Reply, address: str) -> Answer:
    """The answer as it is; a place that it names is one of the server that named it."""
    fields = []
    for name, value, spelled in end_to_end(reply.head.fields, reply.head.options):
        if name == "location" and value and not urlsplit(value).scheme:
            value = urljoin(address, value)
        if name != "content-length":
            fields.append((spelled, value))
    return Answer(reply.head.status, reply.body, tuple(fields))
