"""Who answered: what an answer says of its server, and which server or service of the document that is.

Where the servers are known by name, every answer names one of them. Where they are not, it is learnt: a name belongs to what every
question that it answered may lead to. One name that answers for two services which have nothing in common is a contradiction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pinfeather.verify.asking import Answer, Unfit
from pinfeather.verify.demo import NAMED

WHOAMI = "^Hostname: (.+)$"
"""How `traefik/whoami`, and a demo server, names itself."""


class Identify(Protocol):
    """Takes a name out of an answer; an empty one: it says none."""

    @property
    def said(self) -> str:
        """How, in the words of `--identify`."""

    @property
    def of_head(self) -> bool:
        """Whether the answer to a HEAD says it, too."""

    def name(self, answer: Answer) -> str: ...


@dataclass(frozen=True, slots=True)
class ByHeader:
    field: str
    of_head: bool = True

    @property
    def said(self) -> str:
        return f"header:{self.field}"

    def name(self, answer: Answer) -> str:
        return ", ".join(answer.values(self.field)).strip()


class ByBody:
    """By a regex (RE2, `^` and `$` hold at lines): its first group, or all of what it finds."""

    of_head = False

    def __init__(self, pattern: str) -> None:
        """Raises Unfit for what is no regex."""
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            self._pattern = re2.compile(f"(?m){pattern}", options=options)
        except re2.error as problem:
            why = problem.args[0].decode() if problem.args and isinstance(problem.args[0], bytes) else problem
            raise Unfit(f"--identify body:{pattern}: it is no regex ({why})") from None
        self.said = f"body:{pattern}"

    def name(self, answer: Answer) -> str:
        found = self._pattern.search(answer.body)
        return "" if found is None else str(found[1 if self._pattern.groups else 0] or "").strip()


class ByDemo(ByBody):
    """As demo servers do: in the words of `traefik/whoami`, and in a header field of every answer."""

    of_head = True

    def __init__(self) -> None:
        super().__init__(WHOAMI)

    def name(self, answer: Answer) -> str:
        return ", ".join(answer.values(NAMED)) or super().name(answer)


@dataclass(frozen=True, slots=True)
class ByCookie:
    """By the value of a sticky cookie, which the answer sets; `values`: cookie name and value -> server key."""

    values: Mapping[tuple[str, str], str]
    said: str = "cookie"
    of_head: bool = True

    def name(self, answer: Answer) -> str:
        pairs = (line.partition(";")[0].partition("=") for line in answer.values("set-cookie"))
        return next((self.values[name, value] for name, _, value in pairs if (name, value) in self.values), "")

    def sent(self, cookies: Mapping[str, str]) -> str:
        """Whom the client is with, where the answer gave it no new cookie."""
        return next((self.values[pair] for pair in cookies.items() if pair in self.values), "")


def identify(text: str) -> ByHeader | ByBody | None:
    """`header:X`, `body:REGEX`, or `cookie` and `cookie:FORMAT` (None: it is the column that knows its values). Raises Unfit."""
    kind, colon, rest = text.partition(":")
    if kind == "header" and colon and rest:
        return ByHeader(rest)
    if kind == "body" and colon and rest:
        return ByBody(rest)
    if kind == "cookie" and bool(colon) == bool(rest):
        return None
    raise Unfit(f"--identify {text}: write header:NAME, body:REGEX, cookie or cookie:FORMAT")


class Naming(Protocol):
    """Which server or service a name stands for."""

    @property
    def exact(self) -> bool:
        """Whether names tell servers, or services only."""

    def learn(self, name: str, services: frozenset[str], question: str) -> None:
        """A name answered where only these services may."""

    def may(self, name: str, service: str, server: str) -> bool:
        """Whether somebody of this name may be that server of that service."""

    def faults(self) -> list[str]:
        """What is wrong with the names themselves."""


@dataclass(frozen=True, slots=True)
class Known:
    """The servers are known: key -> what it calls itself. Two keys may be one server."""

    names: Mapping[str, str]
    exact: bool = True

    def learn(self, name: str, services: frozenset[str], question: str) -> None:
        """There is nothing to learn."""

    def may(self, name: str, service: str, server: str) -> bool:  # noqa: ARG002 - every naming has the same shape
        return bool(name) and self.names.get(server) == name

    def faults(self) -> list[str]:
        return []


@dataclass(slots=True)
class Learnt:
    """Nothing is known at first. `servers`: service -> its servers' keys; two services may share some, and a name is one server's.

    `given`: name -> service, as the user says.
    """

    servers: Mapping[str, frozenset[str]]
    given: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    by_weights: dict[str, None] = field(default_factory=dict)
    """Names of which only the weights say whose they are: whether two of them are swapped nobody knows."""
    _keys: dict[str, frozenset[str]] = field(default_factory=dict)
    _first: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    _asked: dict[str, None] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)

    def learn(self, name: str, services: frozenset[str], question: str) -> None:
        self._asked.update(dict.fromkeys(sorted(services)))
        if name in self.given or not services:
            return
        keys = frozenset(key for service in services for key in self._of(service))
        before = self._keys.get(name)
        both = keys if before is None else before & keys
        if both:
            if before is None or both != before:
                self._keys[name] = both
                self._first[name] = question, services
            return
        where, which = self._first[name]
        self._faults.setdefault(
            name, f"{name} answered for {_or(which)} ({where}) and for {_or(services)} ({question}): one name on two services"
        )

    def by_words(self) -> None:
        """A name that is a service's, or begins with it as a pod's does, is of that service, where it may be several."""
        for name, services in self.names().items():
            said = [service for service in services if name == service or name.startswith((f"{service}-", f"{service}."))]
            if name in self._keys and len(services) > 1 and said:
                self._keys[name] &= self._of(max(said, key=len))

    def settle(self, name: str, keys: frozenset[str]) -> None:
        """It is one of these servers, and none of the others that it might have been: the weights say so, and nothing else."""
        self._keys[name] = keys
        self.by_weights[name] = None

    def may(self, name: str, service: str, server: str) -> bool:  # noqa: ARG002 - every naming has the same shape
        if name in self.given:
            return self.given[name] == service
        keys = self._keys.get(name)
        return keys is None or not keys.isdisjoint(self._of(service))

    def faults(self) -> list[str]:
        return list(self._faults.values())

    def names(self) -> Mapping[str, frozenset[str]]:
        """The services that each name may stand for, among those that somebody was asked for."""
        found = {name: self.whose(keys) for name, keys in self._keys.items()}
        return {**found, **{name: frozenset((service,)) for name, service in self.given.items()}}

    def whose(self, keys: frozenset[str]) -> frozenset[str]:
        """The services that have one of these servers, among those that somebody was asked for."""
        return frozenset(each for each in self._asked if not keys.isdisjoint(self._of(each)))

    def places(self, name: str) -> tuple[frozenset[str], ...]:
        """The servers that it may be, those together that the same services have: nothing but the weights tells these apart."""
        together: dict[frozenset[str], list[str]] = {}
        for key in sorted(self._keys.get(name, ())):
            together.setdefault(frozenset(each for each in self._asked if key in self._of(each)), []).append(key)
        return tuple(frozenset(keys) for keys in together.values())

    def _of(self, service: str) -> frozenset[str]:
        return self.servers.get(service) or frozenset((service,))


def _or(services: frozenset[str]) -> str:
    return " or ".join(sorted(services))
