"""Who answered: what an answer says of its server, and which server or service of the document that is.

Where the servers are known by name, every answer names one of them. Where they are not, it is learnt: a name belongs to what every
question that it answered may lead to. One name that answers for two services which have nothing in common is a contradiction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pinfeather.verify.asking import Answer, Unfit

WHOAMI = "^Hostname: (.+)$"
"""How `traefik/whoami`, and a demo server, names itself."""


class Identify(Protocol):
    """Takes a name out of an answer; an empty one: it says none."""

    @property
    def said(self) -> str:
        """How, in the words of `--identify`."""

    def name(self, answer: Answer) -> str: ...


@dataclass(frozen=True, slots=True)
class ByHeader:
    field: str

    @property
    def said(self) -> str:
        return f"header:{self.field}"

    def name(self, answer: Answer) -> str:
        return ", ".join(answer.values(self.field)).strip()


class ByBody:
    """By a regex (RE2, `^` and `$` hold at lines): its first group, or all of what it finds."""

    def __init__(self, pattern: str) -> None:
        """Raises Unfit for what is no regex."""
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            self._pattern = re2.compile(f"(?m){pattern}", options=options)
        except re2.error as problem:
            raise Unfit(f"--identify body:{pattern}: it is no regex ({problem})") from None
        self.said = f"body:{pattern}"

    def name(self, answer: Answer) -> str:
        found = self._pattern.search(answer.body)
        return "" if found is None else str(found[1 if self._pattern.groups else 0] or "").strip()


@dataclass(frozen=True, slots=True)
class ByCookie:
    """By the value of a sticky cookie, which the answer sets; `values`: cookie name and value -> server key."""

    values: Mapping[tuple[str, str], str]
    said: str = "cookie"

    def name(self, answer: Answer) -> str:
        pairs = (line.partition(";")[0].partition("=") for line in answer.values("set-cookie"))
        return next((self.values[name, value] for name, _, value in pairs if (name, value) in self.values), "")

    def sent(self, cookies: Mapping[str, str]) -> str:
        """Whom the client is with, where the answer gave it no new cookie."""
        return next((self.values[pair] for pair in cookies.items() if pair in self.values), "")


def identify(text: str) -> ByHeader | ByBody | None:
    """`header:X`, `body:REGEX`, or `cookie` (None: it is the column that knows its values). Raises Unfit."""
    kind, colon, rest = text.partition(":")
    if kind == "header" and colon and rest:
        return ByHeader(rest)
    if kind == "body" and colon and rest:
        return ByBody(rest)
    if text == "cookie":
        return None
    raise Unfit(f"--identify {text}: write header:NAME, body:REGEX or cookie")


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
    """Nothing is known at first. `given`: name -> service, as the user says."""

    given: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    _services: dict[str, frozenset[str]] = field(default_factory=dict)
    _first: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)

    def learn(self, name: str, services: frozenset[str], question: str) -> None:
        if name in self.given or not services:
            return
        before = self._services.get(name)
        both = services if before is None else before & services
        if both:
            if before is None or both != before:
                self._services[name] = both
                self._first[name] = question, both
            return
        where, which = self._first[name]
        self._faults.setdefault(
            name, f"{name} answered for {_or(which)} ({where}) and for {_or(services)} ({question}): one name on two services"
        )

    def may(self, name: str, service: str, server: str) -> bool:  # noqa: ARG002 - every naming has the same shape
        if name in self.given:
            return self.given[name] == service
        found = self._services.get(name)
        return found is None or service in found

    def faults(self) -> list[str]:
        return list(self._faults.values())

    def names(self) -> Mapping[str, frozenset[str]]:
        """What was learnt."""
        return {**self._services, **{name: frozenset((service,)) for name, service in self.given.items()}}


def _or(services: frozenset[str]) -> str:
    return " or ".join(sorted(services))
