"""Trees of conditions, made ready once: each becomes one function of what is asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from pinfeather.model.diagnostics import Path
from pinfeather.model.match import (
    AllOf,
    AnyOf,
    ClientIP,
    Cookie,
    Header,
    Host,
    HostRegex,
    Leaf,
    Match,
    Method,
    Not,
    PathIs,
    PathMatch,
    Query,
    ValueMatch,
)
from pinfeather.model.noun import compile_regex
from pinfeather.model.request import Address, Asked, searched, undotted

A = TypeVar("A")
HttpTest: TypeAlias = Callable[[Asked], bool]


def all_of(tests: Sequence[Callable[[A], bool]]) -> Callable[[A], bool] | None:
    """The conjunction; None where there is nothing to ask."""
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda asked: first(asked) and second(asked)
    if len(tests) == 3:
        one, two, three = tests
        return lambda asked: one(asked) and two(asked) and three(asked)
    parts = tuple(tests)

    def holds(asked: A) -> bool:
        for part in parts:  # noqa: SIM110 - twice as fast as all() over a generator
            if not part(asked):
                return False
        return True

    return holds


def compiled(match: Match, leaf: Callable[[Leaf], Callable[[A], bool]]) -> Callable[[A], bool]:
    """One function for a tree, whose leaves `leaf` makes ready."""
    if isinstance(match, AllOf):
        whole = all_of([compiled(part, leaf) for part in match.all])
        assert whole is not None  # an `all` has at least one part
        return whole
    if isinstance(match, AnyOf):
        parts = tuple(compiled(part, leaf) for part in match.any)
        return lambda asked: any(part(asked) for part in parts)
    if isinstance(match, Not):
        inner = compiled(match.none, leaf)
        return lambda asked: not inner(asked)
    return leaf(match)


def failing(match: Match, path: Path, asked: A, leaf: Callable[[Leaf], Callable[[A], bool]]) -> Path | None:
    """Where the first condition stands that does not hold; None if all do. A whole `any` or `not` fails as one."""
    if isinstance(match, AllOf):
        for index, part in enumerate(match.all):
            if (found := failing(part, (*path, "all", index), asked, leaf)) is not None:
                return found
        return None
    if compiled(match, leaf)(asked):
        return None
    if isinstance(match, AnyOf):
        return (*path, "any")
    if isinstance(match, Not):
        return (*path, "not")
    return (*path, next(iter(type(match).model_fields)))


# The leaves of HTTP -----------------------------------------------------------------------------------------------------


def http_leaf(leaf: Leaf) -> HttpTest:
    """One condition of an HTTP route, made ready."""
    match leaf:
        case Host():
            return host_is(leaf.host)
        case HostRegex():
            search = compile_regex(leaf.host_regex)
            return lambda asked: bool(search(searched(asked.host)))
        case PathIs():
            return path_is(leaf.path)
        case Method():
            method = leaf.method
            return lambda asked: asked.request.method == method
        case Header():
            return _header(leaf.header)
        case Cookie():
            name, fits = leaf.cookie.name, value_is(leaf.cookie)
            return lambda asked: any(fits(value) for key, value in asked.cookies if key == name)
        case Query():
            key, suits = leaf.query.name, value_is(leaf.query)
            return lambda asked: any(suits(value) for name, value in asked.query if name == key)
        case ClientIP():
            within = network(leaf.client_ip)
            return lambda asked: within(asked.address)
        case _:
            raise TypeError(f"{type(leaf).__name__} is a condition of TCP routes")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def host_is(wanted: str) -> Callable[[_Named], bool]:
    """A host or server name: itself, `*.` before the rest of a name (one label), or `*`."""
    if wanted == "*":
        return lambda _: True
    wanted = undotted(wanted)
    if wanted.startswith("*."):
        parent = wanted[1:]
        return lambda asked: asked.name.endswith(parent) and "." not in asked.name[: -len(parent)]
    return lambda asked: asked.name == wanted


def path_is(path: PathMatch) -> HttpTest:
    if path.exact is not None:
        exact = path.exact
        return lambda asked: asked.path == exact
    if path.prefix is not None:
        prefix = path.prefix
        return lambda asked: asked.path.startswith(prefix)
    assert path.regex is not None
    search = compile_regex(path.regex)
    return lambda asked: bool(search(searched(asked.path)))


def value_is(condition: ValueMatch) -> Callable[[str], bool]:
    if condition.regex is None:
        wanted = condition.value
        return lambda value: value == wanted
    search = compile_regex(condition.regex)
    return lambda value: bool(search(searched(value)))


def _header(condition: ValueMatch) -> HttpTest:
    name, fits = condition.name.lower(), value_is(condition)
    if name == "host":  # Go takes Host out of the headers; hosts have conditions of their own
        return lambda _: False
    return lambda asked: any(fits(value) for value in asked.values(name))


def network(text: str) -> Callable[[Address | None], bool]:
    """Whether an address lies in a network (or is the one address). An IPv4 network holds no IPv6 address."""
    net = ipaddress.ip_network(text)
    version, mask, base = net.version, int(net.netmask), int(net.network_address)
    return lambda address: address is not None and address.version == version and int(address) & mask == base
