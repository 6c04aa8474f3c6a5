"""Further raw rules, both ways: headers of the answer in a frontend, and health checks in a backend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pinfeather.model.middlewares import Headers, Middleware
from pinfeather.model.noun import Template, nanoseconds
from pinfeather.model.services import HealthCheck
from pinfeather.translators._haproxy.frontend import HEAD
from pinfeather.translators._haproxy.rules import NAME, SAFE
from pinfeather.translators._syntax.tree import Tree

_HEADERS = f"{HEAD}headers "
_SET = re.compile(r"http-response set-header ([A-Za-z0-9_.-]+) (\S+)")
_DELETE = re.compile(r"http-response del-header ([A-Za-z0-9_.-]+)")
_CHECK = re.compile(r"option httpchk GET (\S+)")
_TIMES = {"interval": re.compile(r"default-server inter ([1-9]\d{0,9})ms"), "timeout": re.compile(r"timeout check ([1-9]\d{0,9})ms")}
_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
_LONGEST = 2**31 - 1


# Headers ---------------------------------------------------------------------------------------------------------------


def headers_say(middleware: Middleware) -> bool:
    """Whether rules of a frontend hold it: of the answer only, since those of the request would be set before routes are asked."""
    headers = middleware.headers
    if headers is None or headers.request:
        return False
    return all(_plain(name, value) for name, value in headers.response.items())


def _plain(name: str, value: str) -> bool:
    if isinstance(name, Template) or isinstance(value, Template) or not NAME.fullmatch(name):
        return False
    return value == "" or (SAFE.fullmatch(value) is not None and "%" not in value)


def put_headers(name: str, headers: Headers) -> Iterator[str]:
    yield f"{_HEADERS}{name}"
    for header, value in headers.response.items():
        yield f"http-response set-header {header} {value}" if value else f"http-response del-header {header}"


def take_headers(lines: Sequence[str]) -> tuple[dict[str, Tree], list[int]]:
    """Each middleware of headers by its name, and the numbers of the lines that say them."""
    found: dict[str, Tree] = {}
    taken: list[int] = []
    current: dict[str, Tree] | None = None
    for number, line in enumerate(lines):
        if line.startswith(_HEADERS):
            current = {}
            found[line.removeprefix(_HEADERS)] = {"headers": {"response": current}}
        elif current is not None and (setting := _SET.fullmatch(line)) is not None:
            current[setting[1]] = setting[2]
        elif current is not None and (deleting := _DELETE.fullmatch(line)) is not None:
            current[deleting[1]] = ""
        else:
            current = None
            continue
        taken.append(number)
    return found, taken


# Health checks ---------------------------------------------------------------------------------------------------------


def check_says(check: HealthCheck) -> bool:
    if isinstance(check.path, Template) or not _PATH.fullmatch(check.path):
        return False
    times = [length for length in (check.interval, check.timeout) if length is not None]
    return all(not isinstance(length, Template) and _milliseconds(length) is not None for length in times)


def _milliseconds(length: str) -> int | None:
    whole, rest = divmod(nanoseconds(length), 10**6)
    return whole if not rest and 0 < whole <= _LONGEST else None


def put_check(check: HealthCheck) -> Iterator[str]:
    yield f"option httpchk GET {check.path}"
    if check.interval is not None:
        yield f"default-server inter {_milliseconds(check.interval)}ms"
    if check.timeout is not None:
        yield f"timeout check {_milliseconds(check.timeout)}ms"


def take_check(lines: Sequence[str]) -> tuple[dict[str, Tree] | None, list[int]]:
    """The health check that the rules of a backend say, and the numbers of their lines."""
    found: dict[str, Tree] | None = None
    taken: list[int] = []
    for number, line in enumerate(lines):
        if (asked := _CHECK.fullmatch(line)) is not None:
            found = {"path": asked[1]}
            taken.append(number)
        for name, pattern in _TIMES.items():
            if found is not None and (length := pattern.fullmatch(line)) is not None:
                found[name] = f"{length[1]}ms"
                taken.append(number)
    return found, taken
