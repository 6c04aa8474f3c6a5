"""What becomes of clients that are pinned already: the cookies that one side gave them, in the hands of the other.

A client keeps a cookie by its name and its value. Where the values of both targets are known, a value of the old one is held against
those of the new one. Where they are not (a document of ours says nothing of its target), a cookie of the same name that stands for the
same server, or for a variant that does the same or is called the same, is taken for the same value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        for fate, share in _again(before, after, request, pins, decision.server_key):
            found[fate] = found.get(fate, Fraction(0)) + (high - low) * share
    return tuple((fate, found[fate] / given) for fate in Fate if fate in found)


def _again(before: Side, after: Side, request: Request, pins: Mapping[str, str], server: str) -> Iterator[tuple[Fate, Fraction]]:
    held = dict(pins)
    carried: dict[str, str] = {}
    for pool, binding in held.items():
        carried |= dict(carry(before, after, pool, binding))
    for low, high, decision in outcomes(after.table, _with(request, carried), STATE).parts:
        yield _fate(decision, server), high - low


def _fate(decision: Decision, server: str) -> Fate:
    if decision.server_key is None:
        return Fate.REFUSED
    if decision.set_cookies:  # a draw decided, and may by luck have hit the same server
        return Fate.REDRAWN
    return Fate.KEPT if decision.server_key == server else Fate.MOVED


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
            same = value == theirs if value is not None and theirs is not None else _stands_for_same(before, after, binding, candidate)
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
    for pool, (cookie, bindings) in before.pools.items():
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
