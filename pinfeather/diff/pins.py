"""What becomes of clients that are pinned already: the cookies that one side gave them, in the hands of the other.

A client keeps a cookie by its name and its value. Where the values of both targets are known, a value of the old one is held against
those of the new one. Where they are not (a document of ours says nothing of its target), a cookie of the same name that stands for the
same server, or for a variant that does the same or is called the same, is taken for the same value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from pinfeather.diff.sides import STATE, Side
from pinfeather.model.decide import Decision, Request, outcomes


class Fate(StrEnum):
    """Of a pinned client that comes again."""

    KEPT = "kept"
    MOVED = "moved"
    """Sent to another server without a draw: a rung or a binding says so."""
    REDRAWN = "drawn anew"
    REFUSED = "refused"


Pins = tuple[tuple[str, str], ...]
"""Pool and what the client is bound to in it."""


def fates(before: Side, after: Side, request: Request, bound: Mapping[str, str]) -> tuple[tuple[Fate, Fraction], ...]:
    """Of all clients that came to this request before, and were given cookies: how many fare how. Empty: nobody was given any.

    The second request of each is asked of both sides: of the old one, so that a server stands for the client; of the new one with
    those cookies that still say something there.
    """
    found: dict[Fate, Fraction] = {}
    given = Fraction(0)
    for low, high, decision in outcomes(before.table, _with(request, bound), STATE).parts:
        if not decision.set_cookies or decision.server_key is None:
            continue
        given += high - low
        pins = {**bound, **{each.cookie.name: each.value for each in decision.set_cookies}}
        for fate, share in _again(before, after, request, pins):
            found[fate] = found.get(fate, Fraction(0)) + (high - low) * share
    return tuple((fate, found[fate] / given) for fate in Fate if fate in found)


def _again(before: Side, after: Side, request: Request, pins: Mapping[str, str]) -> Iterator[tuple[Fate, Fraction]]:
    held = dict(pins)
    carried: dict[str, str] = {}
    for pool, binding in held.items():
        carried |= dict(carry(before, after, pool, binding))
    was = _servers(outcomes(before.table, _with(request, held), STATE).parts)
    parts = outcomes(after.table, _with(request, carried), STATE).parts
    now = _servers(parts)
    for low, high, decision in parts:
        yield _fate(decision, was, now), high - low


def _servers(parts: Sequence[tuple[Fraction, Fraction, Decision]]) -> dict[str | None, Fraction]:
    """How often the same client comes to each server."""
    found: dict[str | None, Fraction] = {}
    for low, high, decision in parts:
        found[decision.server_key] = found.get(decision.server_key, Fraction(0)) + high - low
    return found


def _fate(decision: Decision, was: Mapping[str | None, Fraction], now: Mapping[str | None, Fraction]) -> Fate:
    if decision.server_key is None:
        return Fate.REFUSED
    if was == now:
        return Fate.KEPT
    if len(was) > 1 and not decision.set_cookies:  # it was never bound to one server, and all that it was bound to holds
        return Fate.KEPT
    if decision.set_cookies or len(now) > 1:  # a draw decides, now or at each request, and may by luck hit the same server
        return Fate.REDRAWN
    return Fate.MOVED


def _with(request: Request, bindings: Mapping[str, str]) -> Request:
    return request._replace(bindings=bindings)


@lru_cache(maxsize=65536)
def carry(before: Side, after: Side, pool: str, binding: str) -> tuple[tuple[str, str], ...]:
    """What a cookie of one side binds its client to on the other: pools, and what in them."""
    cookie, _ = before.pools[pool]
    value = before.value(pool, binding)
    found = {place: where for place, where in _alike(before, after, pool, binding) if after.pools[where[0]][0].hash == cookie.hash}
    if value is not None:
        found = {place: where for place, where in found.items() if after.value(*where) is None}
        found |= _places(after).by_value.get((cookie.name, value), {})
    first: dict[str, tuple[str, str]] = {}
    for place in sorted(found):
        first.setdefault(found[place][0], found[place])
    return tuple(first.values())


Place = tuple[int, int]
"""Of a pool among all, and of what it binds to in the pool."""
Places = dict[Place, tuple[str, str]]


class _Index(NamedTuple):
    """All that cookies of one side can say. Thousands of pools may call their cookies alike, so nothing is looked for one by one."""

    by_value: Mapping[tuple[str, str], Places]
    """Name and value of a cookie."""
    by_meaning: Mapping[tuple[str, object], Places]
    """Name of a cookie, and what its value stands for: by its name, and by what that does."""


@lru_cache(maxsize=4)
def _places(side: Side) -> _Index:
    by_value: dict[tuple[str, str], Places] = {}
    by_meaning: dict[tuple[str, object], Places] = {}
    for number, (pool, (cookie, bindings)) in enumerate(side.pools.items()):
        for place, binding in enumerate(bindings):
            if (value := side.value(pool, binding)) is not None:
                by_value.setdefault((cookie.name, value), {})[number, place] = pool, binding
            for meaning in _meanings(side, binding):
                by_meaning.setdefault((cookie.name, meaning), {})[number, place] = pool, binding
    return _Index(by_value, by_meaning)


def _alike(before: Side, after: Side, pool: str, binding: str) -> Iterator[tuple[Place, tuple[str, str]]]:
    """What a cookie of this name stands for on the other side that is called the same, or does the same."""
    cookie, _ = before.pools[pool]
    for meaning in _meanings(before, binding):
        yield from _places(after).by_meaning.get((cookie.name, meaning), {}).items()


@lru_cache(maxsize=65536)
def _meanings(side: Side, binding: str) -> tuple[object, ...]:
    node = side.table.nodes.get(binding)
    return (binding,) if node is None else (binding, ("does", side.node(node)))


class Pool(NamedTuple):
    """A sticky cookie of the old side, and what becomes of what it can say."""

    name: str
    cookie: str
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    why: str


def lost_pools(before: Side, after: Side) -> Iterator[Pool]:
    """Every sticky cookie of which some value says nothing, or something else, on the other side."""
    reached = before.reached
    for pool, (cookie, bindings) in before.pools.items():
        if pool not in reached:  # nobody was ever given it
            continue
        kept = tuple(one for one in bindings if carry(before, after, pool, one))
        lost = tuple(one for one in bindings if one not in kept)
        if lost:
            yield Pool(pool, cookie.name, kept, lost, _why(before, after, pool, lost))


def _why(before: Side, after: Side, pool: str, lost: tuple[str, ...]) -> str:
    cookie, _ = before.pools[pool]
    others = after.by_cookie.get(cookie.name, ())
    if not others:
        return f"no cookie is called {cookie.name!r} any more"
    known = any(before.value(pool, one) is not None for one in lost) and any(
        after.value(other, two) is not None for other in others for two in after.pools[other][1][:1]
    )
    there = any(True for one in lost for _ in _alike(before, after, pool, one))
    if there and known:
        return "the value of the cookie changes"
    return "what it stands for is not there any more"
