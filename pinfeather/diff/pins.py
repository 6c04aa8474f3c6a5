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
    found = []
    for other in after.by_cookie.get(cookie.name, ()):
        for candidate in after.pools[other][1]:
            theirs = after.value(other, candidate)
            alike = cookie.hash == after.pools[other][0].hash and _stands_for_same(before, after, binding, candidate)
            same = value == theirs if value is not None and theirs is not None else alike
            if same:
                found.append((other, candidate))
                break
    return tuple(found)


def _stands_for_same(before: Side, after: Side, binding: str, candidate: str) -> bool:
    if binding == candidate:
        return True
    one, other = before.table.nodes.get(binding), after.table.nodes.get(candidate)
    return one is not None and other is not None and before.node(one) == after.node(other)


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
    known = [
        before.value(pool, one) is not None and after.value(other, two) is not None
        for one in lost
        for other in others
        for two in after.pools[other][1][:1]
    ]
    there = any(_stands_for_same(before, after, one, two) for one in lost for other in others for two in after.pools[other][1])
    if there and any(known):
        return "the value of the cookie changes"
    return "what it stands for is not there any more"
