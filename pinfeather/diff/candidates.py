"""Which values of each attribute are worth asking: one for every class that the conditions of both sides can tell apart.

For names, exact values, prefixes and networks the classes are all there are. Of a regex there are some members and some near misses
(`regexes.py`), so a difference between two regexes may be missed: `doubtful` says where. A name that a request carries several times is
asked with two of its values, with all of them and with all but one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from urllib.parse import quote

from pinfeather.diff.regexes import members, near_misses
from pinfeather.diff.rungs import CLIENT, COOKIES, ENTRY_POINT, METHOD, TLS, Attribute, Step, Values
from pinfeather.model.match import ClientIP, Cookie, Header, Host, HostRegex, Leaf, Method, PathIs, PathMatch, Query, ValueMatch
from pinfeather.model.noun import compile_regex
from pinfeather.model.request import matched_path, normal_path, undotted
from pinfeather.model.request import searched as searched_path

NOWHERE = "nowhere.invalid"
OTHER = "other"
MOST_IN_PAIRS = 24
"""Values of one header, cookie or query that are also sent two at a time; where there are more, one at a time and all at once."""
_FRESH = "x"
_SAFE = "/:@!$&'()*+,;=~"
_LOCAL = "127.0.0.1"


def hosts(steps: Sequence[Step]) -> list[str]:
    """Every name, one more under each wildcard, some of each regex, and one that nobody names."""
    named = dict.fromkeys(undotted(name) for step in steps for name in _hosts(step))
    regexes = [leaf.host_regex for step in steps for leaf in step.leaves if isinstance(leaf, HostRegex)]

    def free(texts: Iterable[str]) -> Iterator[str]:
        yield from _free(texts, lambda text: text in named, regexes, searched=lambda text: text)

    found: dict[str, None] = {NOWHERE: None}
    found |= dict.fromkeys(free(f"{label}.invalid" for label in _labels("nowhere")))
    for name in named:
        if name.startswith("*."):
            found |= dict.fromkeys((*free(label + name[1:] for label in _labels("any")), f"any.any{name[1:]}"))
        elif name != "*":
            found[name] = None
    for regex in regexes:
        found |= dict.fromkeys(name for name in (*members(regex), *near_misses(regex)) if _is_host(name))
    return list(found)


def _hosts(step: Step) -> Iterator[str]:
    yield from (*step.hosts, *(leaf.host for leaf in step.leaves if isinstance(leaf, Host)))


def _labels(first: str) -> Iterator[str]:
    """The plain one first, then ever less likely to be somebody's."""
    yield first
    letters = "x0zq7k"
    yield from letters
    yield from (f"{first}{one}{other}" for one in letters for other in letters)


def _free(texts: Iterable[str], taken: Callable[[str], bool], regexes: Sequence[str], searched: Callable[[str], str]) -> Iterator[str]:
    """The first of the texts that nobody names, and the first that no regex takes either, where there is one."""
    named = False
    for text in texts:
        if taken(text):
            continue
        matched = any(compile_regex(regex)(searched(text)) for regex in regexes)
        if not matched or not named:
            yield text
            named = True
        if not matched:
            return


def _is_host(text: str) -> bool:
    return bool(text) and text == text.lower() and all(character.isalnum() or character in "-._" for character in text) and text.isascii()


def paths(steps: Iterable[Step]) -> list[str]:
    """Every exact path and prefix, one more under each prefix, some of each regex, and one that nobody names; as they are sent."""
    found: dict[str, None] = {"/": None}
    conditions = list(dict.fromkeys(_paths(steps)))
    exact = {path.exact for path in conditions if path.exact is not None}
    prefixes = dict.fromkeys(path.prefix for path in conditions if path.prefix is not None)
    regexes = [path.regex for path in conditions if path.regex is not None]

    def under(prefix: str, first: str) -> Iterator[str]:
        longer = [other for other in prefixes if other != prefix and other.startswith(prefix)]
        texts = (prefix + label for label in _labels(first))
        return _free(texts, lambda text: text in exact or any(text.startswith(other) for other in longer), regexes, searched_path)

    found |= dict.fromkeys((*(path for path in exact), *prefixes))
    for prefix in prefixes:
        found |= dict.fromkeys(under(prefix, _FRESH))
    for regex in regexes:
        found |= dict.fromkeys(f"/{text.removeprefix('/')}" for text in (*members(regex), *near_misses(regex)))
    if conditions:
        found |= dict.fromkeys(under("/", OTHER))
    return list(dict.fromkeys(sent for text in found if (sent := _sent(text)) is not None))


def _paths(steps: Iterable[Step]) -> Iterator[PathMatch]:
    for step in steps:
        if step.path is not None:
            yield step.path
        yield from (leaf.path for leaf in step.leaves if isinstance(leaf, PathIs))


def _sent(text: str) -> str | None:
    """A path as it is sent which conditions see as this text; None where there is none, so that no request can meet it."""
    for path in (text, quote(text, safe=_SAFE, errors="surrogateescape"), quote(text, safe=f"{_SAFE}%", errors="surrogateescape")):
        if normal_path(path) == path and matched_path(path) == text:
            return path
    return None


class Candidates:
    """The values of the other attributes, for the rungs that may hold for one host and path."""

    def __init__(self, steps: Sequence[Step], entry_points: Iterable[str]) -> None:
        self._steps = steps
        self._leaves: tuple[Leaf, ...] = tuple(dict.fromkeys(leaf for step in steps for leaf in step.leaves))
        self._points = tuple(entry_points)
        self._made: dict[Attribute, tuple[Values, ...]] = {}

    @property
    def cookies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(leaf.cookie.name for leaf in self._leaves if isinstance(leaf, Cookie)))

    @property
    def whole_header(self) -> bool:
        """Whether some condition looks at the Cookie header as a whole."""
        return any(isinstance(leaf, Header) and leaf.header.name.lower() == "cookie" for leaf in self._leaves)

    def of(self, attribute: Attribute) -> tuple[Values, ...]:
        """The plainest first."""
        if attribute not in self._made:
            self._made[attribute] = tuple(dict.fromkeys(self._values(attribute)))
        return self._made[attribute]

    def _values(self, attribute: Attribute) -> Iterator[Values]:
        if attribute == ENTRY_POINT:
            named = dict.fromkeys(point for step in self._steps for point in step.entry_points)
            yield from ((point,) for point in dict.fromkeys((*named, *self._points, OTHER)))
        elif attribute == TLS:
            yield from ((), ("yes",))
        elif attribute == METHOD:
            named = dict.fromkeys(leaf.method for leaf in self._leaves if isinstance(leaf, Method))
            fresh = next(name for name in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "X-OTHER") if name not in named)
            yield from ((name,) for name in (fresh, *named))
        elif attribute == CLIENT:
            yield from ((address,) for address in addresses(leaf.client_ip for leaf in self._leaves if isinstance(leaf, ClientIP)))
        elif attribute == COOKIES:
            yield ()
            conditions = [leaf.header for leaf in self._leaves if isinstance(leaf, Header) and leaf.header.name.lower() == "cookie"]
            for (text,) in (row for row in _of(conditions) if len(row) == 1):
                if "=" in text and text.isprintable():
                    yield from ((text,), (f"not{text}2",))
                elif text.isprintable() and text.strip():
                    yield (text,)
        elif attribute.kind == "bound":
            yield from self._variants(attribute.name)
        else:
            yield from _of([found for leaf in self._leaves if (found := _condition(leaf, attribute)) is not None])

    def _variants(self, cookie: str) -> Iterator[Values]:
        yield ()
        for step in self._steps:
            split = step.unbound
            if split is not None and split.cookie is not None and step.side.pools[split.cookie.name][0].name == cookie:
                yield from ((name,) for name in split.names)


def _condition(leaf: Leaf, attribute: Attribute) -> ValueMatch | None:
    if isinstance(leaf, Header) and attribute.kind == "header" and leaf.header.name.lower() == attribute.name:
        return leaf.header
    if isinstance(leaf, Cookie) and attribute.kind == "cookie" and leaf.cookie.name == attribute.name:
        return leaf.cookie
    if isinstance(leaf, Query) and attribute.kind == "query" and leaf.query.name == attribute.name:
        return leaf.query
    return None


def _of(conditions: Iterable[ValueMatch]) -> Iterator[Values]:
    """Absent; each value; several at once, since any may be the one; one more; and some of each regex."""
    conditions = list(conditions)
    exact = list(dict.fromkeys(each.value for each in conditions if each.regex is None and each.value is not None))
    regexes = list(dict.fromkeys(each.regex for each in conditions if each.regex is not None))
    yield ()
    yield from ((value,) for value in exact)
    made = dict.fromkeys(text for regex in regexes for text in members(regex))
    yield from ((text,) for text in made)
    together = (*exact, *(members(regex)[0] for regex in regexes if members(regex)))
    yield from _several(together)
    yield from ((text,) for regex in regexes for text in near_misses(regex))
    fresh = f"{exact[0]}2" if exact else OTHER
    while fresh in exact:
        fresh += "2"
    yield (fresh,)


def _several(values: Sequence[str]) -> Iterator[Values]:
    """All at once, two, all but one: of up to four values these are all there are, and only a condition on three at once asks for more."""
    if len(values) > 1:
        yield tuple(values)
    if len(values) <= MOST_IN_PAIRS:
        for size in sorted({2, len(values) - 1} - {len(values), 1, 0, -1}):
            yield from combinations(values, size)


def addresses(networks: Iterable[str]) -> Iterator[str]:
    """One in each network that is in no smaller one, and one outside of all."""
    found = [ipaddress.ip_network(text) for text in dict.fromkeys(networks)]
    yield _LOCAL
    for net in sorted(found, key=lambda each: -each.prefixlen):
        inside = [other for other in found if other != net and other.version == net.version and other.prefixlen > net.prefixlen]
        for address in _spread(net):
            if not any(address in other for other in inside):
                yield str(address)
                break
    outside = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8", "2001:db8::1", "1.1.1.1")
    yield from (text for text in outside if not any(ipaddress.ip_address(text) in net for net in found))


def _spread(net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses of a network, far apart: the first, the last, and at each half, quarter and so on."""
    yield net[0]
    yield net[-1]
    for bits in range(1, min(net.max_prefixlen - net.prefixlen, 9)):
        for sub in net.subnets(prefixlen_diff=bits):
            yield sub[0]


def doubtful(before: Sequence[Step], after: Sequence[Step]) -> tuple[str, ...]:
    """Regexes of which examples are all that was asked: those that one side alone has, and those of what one side alone does."""
    mine, other = ({regex for step in steps for regex in _regexes(step)} for steps in (before, after))
    same = {step.signature for step in before} & {step.signature for step in after}
    changed = {regex for step in (*before, *after) if step.signature not in same for regex in _regexes(step)}
    return tuple(sorted((mine ^ other) | changed))


def _regexes(step: Step) -> Iterator[str]:
    if step.path is not None and step.path.regex is not None:
        yield step.path.regex
    for leaf in step.leaves:
        if isinstance(leaf, HostRegex):
            yield leaf.host_regex
        elif isinstance(leaf, PathIs) and leaf.path.regex is not None:
            yield leaf.path.regex
        elif isinstance(leaf, Header | Cookie | Query):
            condition: ValueMatch = next(iter(leaf.__dict__.values()))
            if condition.regex is not None:
                yield condition.regex
