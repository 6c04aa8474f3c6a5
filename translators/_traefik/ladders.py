"""Routers that are other ones with further conditions, as the canaries of these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pinfeather.model.match import AllOf, AnyOf, Host, HostRegex, Match, Not, PathIs, both, conjuncts, leaves
from pinfeather.model.normal import lift
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree


class Router(NamedTuple):
    """One router as it was read. `tree` has the fields of a route that a canary shares with it; spans count from the router."""

    name: str
    match: Match
    to: str
    priority: int
    assumed: bool
    tree: dict[str, Tree]
    node: Taking
    spans: Spans
    origin: str = ""
    """Where it stands, if only what stands in the same place may be its canary."""


Ladder = tuple[Router, list[tuple[Router, Match]]]
"""A router, and those that are it with further conditions, which are its canaries."""


class _Parts(NamedTuple):
    """The parts of a router's condition, each as something that is compared and hashed at once; and which of them are places."""

    router: Router
    parts: tuple[Match, ...]
    keys: tuple[object, ...]
    places: frozenset[object]

    @classmethod
    def of(cls, router: Router) -> _Parts:
        keys: list[object] = []
        places: list[object] = []
        parts = conjuncts(router.match)
        for part in parts:
            key = same_key(part)
            keys.append(key)
            if _is_place(part):
                places.append(key)
        return cls(router, parts, tuple(keys), frozenset(places))


def same_key(part: Match) -> object:
    """The same for conditions that are the same, and for no others."""
    if isinstance(part, _GROUPS):
        return part
    (value,) = part.__dict__.values()
    return (type(part), value) if isinstance(value, str) else (type(part), *value.__dict__.values())


def lift_canaries(routers: Sequence[Router]) -> list[Ladder]:
    """Routers that are another one with further conditions, a higher priority and all else alike, as its canaries.

    Hosts and paths are never the further condition: another path is another route, not another version of one. Lifted
    only where the canary, taken out again, is the very router that was read, so that no decision changes.
    """
    groups: dict[tuple[str, frozenset[object]], list[_Parts]] = {}
    for router in routers if len(routers) > 1 else ():
        parts = _Parts.of(router)
        groups.setdefault((router.origin, parts.places), []).append(parts)
    under: dict[str, tuple[str, Match]] = {}
    for group in groups.values():
        for among in _alike(group) if len(group) > 1 else ():
            under |= _lifts(among)
    made: dict[str, Ladder] = {r.name: (r, []) for r in routers if r.name not in under}
    for router in sorted(routers, key=lambda each: -each.priority) if under else ():
        if router.name in under:
            base, when = under[router.name]
            made[base][1].append((router, when))
    return list(made.values())


def _alike(group: Sequence[_Parts]) -> Iterable[Sequence[_Parts]]:
    """Those that have all else alike: the fields that a canary shares with its route."""
    tree = group[0].router.tree
    if all(parts.router.tree == tree for parts in group):
        return [group]
    found: dict[str, list[_Parts]] = {}
    for parts in group:
        found.setdefault(_in_one_order(parts.router.tree), []).append(parts)
    return found.values()


_in_one_order = json.JSONEncoder(sort_keys=True).encode


def _lifts(group: Sequence[_Parts]) -> dict[str, tuple[str, Match]]:
    """What of a group is the canary of which, and by what condition."""
    under: dict[str, tuple[str, Match]] = {}
    roots: list[tuple[_Parts, frozenset[object]]] = []
    for parts in sorted(group, key=lambda each: each.router.priority):
        router, own = parts.router, frozenset(parts.keys)
        bases = (base for base, keys in reversed(roots) if keys < own and base.router.priority < router.priority)
        lifts = ((base.router.name, when) for base in bases if (when := _further(parts.parts, base.parts)) is not None)
        if (found := next(lifts, None)) is not None:
            under[router.name] = found
        else:
            roots.append((parts, own))
    return under


def is_canary_of(match: Match, base: Match) -> bool:
    """Whether a rule is another one with a further condition, so that `lift_canaries` lifts it if it comes first and is alike else."""
    parts, own = frozenset(conjuncts(base)), frozenset(conjuncts(match))
    places = (frozenset(part for part in each if _is_place(part)) for each in (parts, own))
    return parts < own and len(set(places)) == 1 and further(match, base) is not None


_PLACES, _GROUPS = (Host, HostRegex, PathIs), (AllOf, AnyOf, Not)


def _is_place(part: Match) -> bool:
    if isinstance(part, _GROUPS):
        return any(isinstance(leaf, _PLACES) for leaf in leaves(part))
    return isinstance(part, _PLACES)


def further(match: Match, base: Match) -> Match | None:
    """The further condition of a rule, if it can be the canary of the base without any change."""
    return _further(conjuncts(match), conjuncts(base))


def _further(parts: tuple[Match, ...], own: tuple[Match, ...]) -> Match | None:
    in_order = parts[: len(own)] == own
    rest = list(parts[len(own) :] if in_order else parts)
    for part in () if in_order else own:
        if part not in rest:
            return None
        rest.remove(part)
    when = both(tuple(rest))
    if when is None or any(map(_is_place, rest)):
        return None
    if in_order:  # behind the base's own conditions it stands where it stood
        return when
    return when if lift(both((*own, when))) == lift(both(parts)) else None
