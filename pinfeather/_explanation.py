"""What is said of one request or connection: nouns only. `_explain.py` and `_explain_tcp.py` make them, `_explain_render.py` shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from pinfeather._curl import States
from pinfeather.model.decide import Decision, Outcomes, Request, Step
from pinfeather.model.decide_tcp import Connection
from pinfeather.model.diagnostics import Path, Span, dotted, span_at
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import external


@dataclass(frozen=True, slots=True)
class Place:
    """A thing of the document: its path, and where it was read from."""

    path: Path
    span: Span | None

    @classmethod
    def of(cls, path: Path, spans: Mapping[Path, Span]) -> Place:
        return cls(path, span_at(spans, path))

    @property
    def text(self) -> str:
        return dotted(self.path)


@dataclass(frozen=True, slots=True)
class Told:
    """One step of the decision, from the rung that holds on."""

    kind: str
    holds: bool
    said: str
    share: Fraction | None
    place: Place


@dataclass(frozen=True, slots=True)
class Lost:
    """A route or canary that did not take the request: a condition of it does not hold, or another one comes before it."""

    name: str
    why: str
    would_hold: bool
    """It would have taken it, had nobody come before."""
    part: str
    """The kind of condition that failed (`hosts`, `path`, `header`, ...), or the criterion by which the winner came first."""
    numbers: tuple[int | str, int | str] | None
    """By that criterion: what the winner has, and what this one has."""
    place: Place


@dataclass(frozen=True, slots=True)
class Passed:
    """A middleware on the way; `inside`: the chain that names it."""

    name: str
    kind: str
    inside: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Given:
    """A cookie that an answer sets."""

    name: str
    to: str
    """The variant, or the key of the server."""
    text: str
    """As Set-Cookie has it; the value in angle brackets where it is not known."""
    why: str


@dataclass(frozen=True, slots=True)
class Leads:
    """Where so many of all draws lead."""

    share: Fraction
    decision: Decision
    cookies: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say of one request or connection."""

    asked: Request | Connection
    won: str | None
    """The path of the route or canary that takes it, as text."""
    leads: tuple[Leads, ...]
    middlewares: tuple[Passed, ...]
    steps: tuple[Told, ...]
    lost: tuple[Lost, ...]
    notes: tuple[str, ...]
    """Sentences without their full stop."""
    states: States = ()
    """Servers that were said to be down or draining."""

    def noted(self, *notes: str) -> Explanation:
        """The same with more notes behind."""
        return replace(self, notes=(*self.notes, *notes))

    def renamed(self, names: Callable[[str], str], texts: Callable[[str], str]) -> Explanation:
        """The same where things have other names; `texts` puts them into what is said."""

        def placed(place: Place) -> Place:
            return replace(place, path=tuple(names(part) if isinstance(part, str) else part for part in place.path))

        return replace(
            self,
            leads=tuple(_renamed(lead, names) for lead in self.leads),
            middlewares=tuple(
                replace(each, name=names(each.name), inside=None if each.inside is None else names(each.inside), place=placed(each.place))
                for each in self.middlewares
            ),
            steps=tuple(replace(each, said=texts(each.said), place=placed(each.place)) for each in self.steps),
            lost=tuple(replace(each, name=texts(each.name), why=texts(each.why), place=placed(each.place)) for each in self.lost),
            notes=tuple(map(texts, self.notes)),
        )


def _renamed(lead: Leads, names: Callable[[str], str]) -> Leads:
    decision = lead.decision
    return replace(
        lead,
        decision=decision._replace(
            route=None if decision.route is None else names(decision.route),
            service=None if decision.service is None else names(decision.service),
            middlewares=tuple(map(names, decision.middlewares)),
        ),
    )


# What both kinds of routes have -----------------------------------------------------------------------------------------------


def told(step: Step, spans: Mapping[Path, Span]) -> Told:
    """A step with its place."""
    return Told(step.kind.value, step.holds, step.said, step.share, Place.of(step.path, spans))


def merged(found: Outcomes) -> Iterator[tuple[Decision, Fraction]]:
    """Every decision with its share of all draws, the largest first."""
    shares: dict[Decision, Fraction] = {}
    for low, high, decision in found.parts:
        shares[decision] = shares.get(decision, Fraction(0)) + high - low
    yield from sorted(shares.items(), key=lambda each: -each[1])


def passed(found: Outcomes, middlewares: Mapping[str, Middleware], section: str, spans: Mapping[Path, Span]) -> Iterator[Passed]:
    """The middlewares on every way, in order; behind each chain what it opens."""
    seen: dict[str, None] = {}
    for part in found.parts:
        seen.update(dict.fromkeys(part.decision.middlewares))

    def opened(name: str, inside: str | None, above: tuple[str, ...]) -> Iterator[Passed]:
        middleware = middlewares.get(name)
        if middleware is None:
            kind = "another provider's" if external(name) else "not there"
        else:
            kind = middleware.kind if middleware.other is None else middleware.other.kind
        yield Passed(name, kind, inside, Place.of((section, name), spans))
        if middleware is not None and middleware.chain is not None and name not in above:
            for part in middleware.chain.middlewares:
                yield from opened(part, name, (*above, name))

    for name in seen:
        yield from opened(name, None, ())
