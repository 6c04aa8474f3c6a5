"""Cookies: their attributes, their names, and who shares one."""

from __future__ import annotations

from collections.abc import Iterator

from pinfeather.model.diagnostics import Code, Diagnostic, info, warning
from pinfeather.model.document import Document
from pinfeather.model.features import walk
from pinfeather.model.match import Cookie as CookieIs
from pinfeather.model.match import Header
from pinfeather.model.noun import Template, compile_regex
from pinfeather.model.reach import Sticky, jars, one_jar, sticky_services
from pinfeather.model.services import LoadBalancer
from pinfeather.model.sticky import Cookie

LONGEST = 34_560_000
"""Seconds that browsers keep a cookie at most: 400 days (draft-ietf-httpbis-rfc6265bis, 5.5)."""
APPLICATIONS = frozenset(
    (
        "jsessionid", "phpsessid", "asp.net_sessionid", "aspsessionid", ".aspnetcore.session", ".aspxauth", "connect.sid", "sessionid",
        "csrftoken", "laravel_session", "xsrf-token", "_session_id", "cfid", "cftoken", "ci_session", "symfony", "session", "sid",
        "play_session", "rack.session", "wordpress_logged_in", "jwt", "token", "auth_token",
    )
)  # fmt: skip
"""Names that frameworks give to cookies of their own, in small letters."""


def _attributes(document: Document) -> Iterator[Diagnostic]:
    for path, noun in walk(document):
        if not isinstance(noun, Cookie):
            continue
        name = noun.name
        if not noun.secure:
            yield warning(Code.COOKIE_INSECURE, f"the cookie {name!r} also travels over plain HTTP", path, instead="say `secure: true`")
        if not noun.http_only:
            yield warning(Code.COOKIE_READABLE, f"scripts can read the cookie {name!r}", path, instead="say `http_only: true`")
        if noun.same_site is None:
            said = f"the cookie {name!r} has no SameSite: browsers differ in what they assume"
            yield warning(Code.COOKIE_SAME_SITE, said, path, instead="say `same_site: lax` (or strict, or none with secure)")
        if noun.same_site == "none":
            said = f"the cookie {name!r} is sent with requests that other sites start"
            yield info(
                Code.COOKIE_CROSS_SITE, said, (*path, "same_site"), instead="say `lax` or `strict`, unless others embed the application"
            )
        if isinstance(noun.max_age, int) and noun.max_age > LONGEST:
            said = f"the cookie {name!r} asks for {noun.max_age} seconds; browsers keep a cookie 400 days at most"
            yield warning(Code.COOKIE_LIFETIME, said, (*path, "max_age"), instead=f"say `max_age: {LONGEST}` or less")


def _names(document: Document) -> Iterator[Diagnostic]:
    asked = {str(noun.cookie.name) for _, noun in walk(document) if isinstance(noun, CookieIs)}
    for path, noun in walk(document):
        if not isinstance(noun, Cookie) or isinstance(noun.name, Template):
            continue
        if noun.name.lower() in APPLICATIONS:
            said = f"{noun.name!r} is what applications call a cookie of their own: one overwrites the other"
        elif noun.name in asked:
            said = f"a route asks for the cookie {noun.name!r}, and stickiness overwrites it"
        else:
            continue
        yield warning(Code.APP_COOKIE, said, (*path, "name"), instead="give the sticky cookie a name of its own, such as `srv_id`")


def _health(document: Document) -> Iterator[Diagnostic]:
    for name, service in document.services.items():
        if not isinstance(service, LoadBalancer) or service.sticky is None or _watched(service):
            continue
        if service.health_check is None and service.passive_health_check is None:
            said = f"the service {name!r} pins clients and has no health check: a dead server keeps its clients"
            yield warning(Code.NO_HEALTH_CHECK, said, ("services", name), instead="add `health_check: {path: /healthz}`")


def _watched(service: LoadBalancer) -> bool:
    """Whether something else looks after the servers: Kubernetes takes a pod that is not ready out of the endpoints."""
    return bool(service.servers) and all(server.kubernetes is not None for server in service.servers)


def _shared(document: Document) -> Iterator[Diagnostic]:
    by_name: dict[str, list[Sticky]] = {}
    for each in sticky_services(document):
        by_name.setdefault(each.cookie.name, []).append(each)
    for members in by_name.values():
        yield from _clashes(members)


def _clashes(members: list[Sticky]) -> Iterator[Diagnostic]:
    """Of services with one cookie name: each that meets an earlier one in a browser, and names other servers."""
    by_jar: dict[str, list[Sticky]] = {}
    wide: list[Sticky] = []  # those that hold for more than the hosts they name
    for each in members:
        own = jars(each)
        special = any(not jar or jar[0] in ".*" for jar in own)
        before = [*wide, *(other for jar in own for other in by_jar.get(jar, ()))] if not special else [*wide, *_all(by_jar)]
        first = next((other for other in before if _servers(other) != _servers(each) and one_jar(other, each)), None)
        if first is not None:
            said = f"{first.name!r} and {each.name!r} share the cookie {each.cookie.name!r}: who goes there and back loses the pin"
            yield warning(Code.COOKIE_SHARED, said, (*each.path, "name"), instead="give each service a cookie name of its own")
        if special:
            wide.append(each)
        for jar in () if special else own:
            by_jar.setdefault(jar, []).append(each)


def _all(by_jar: dict[str, list[Sticky]]) -> list[Sticky]:
    return list({each.name: each for held in by_jar.values() for each in held}.values())


def _servers(one: Sticky) -> frozenset[str]:
    return frozenset(server.key for server in one.service.servers)


def _loose_regexes(document: Document) -> Iterator[Diagnostic]:
    for path, noun in walk(document):
        if not isinstance(noun, Header) or noun.header.name.lower() != "cookie" or noun.header.regex is None:
            continue
        found = loose(noun.header.regex)
        if found is not None:
            name, value, taken = found
            said = f"the regex {str(noun.header.regex)!r} also takes {taken}: it looks at the whole Cookie header"
            hint = f"say `cookie: {{name: {name}, value: {value}}}`"
            yield warning(Code.COOKIE_REGEX, said, (*path, "header", "regex"), instead=hint)


def loose(pattern: str) -> tuple[str, str, str] | None:
    """Name and value of the one cookie that a regex over the Cookie header means, and another one that it takes as well.

    None where it means more than one cookie, or takes no other.
    """
    if isinstance(pattern, Template):
        return None
    bare = pattern.removeprefix("^").removesuffix("$")
    while bare.startswith(".*"):
        bare = bare.removeprefix(".*").removeprefix("?")
    while bare.endswith((".*", ".*?")):
        bare = bare.removesuffix("?").removesuffix(".*")
    name, equals, value = bare.replace("\\.", ".").replace("\\-", "-").partition("=")
    if not equals or not all(part and part.translate(_WORD).isalnum() for part in (name, value)):
        return None
    search = compile_regex(pattern)
    for taken in (f"not{name}={value}2", f"not{name}={value}", f"{name}={value}2"):
        if search(taken):
            return name, value, taken
    return None


_WORD = str.maketrans({"-": "a", "_": "a", ".": "a"})


CHECKS = (_attributes, _names, _health, _shared, _loose_regexes)
