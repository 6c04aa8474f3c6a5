"""The routes that stand as raw rules in a frontend: one fixed grammar, written and parsed back.

Each route is a block: a comment that names it, its conditions as ACLs with a reserved prefix, and what is done with them.

    # pinfeather route 2 shop at 1
    acl pinfeather.2.1 req.hdr(host),host_only,lower -m str -- shop.example.com
    acl pinfeather.2.bound.1 req.cook(variant) -m str -- v1
    use_backend v1 if pinfeather.2.1 pinfeather.2.bound.1
    acl pinfeather.2.draw.1 rand(100) lt 90
    use_backend pinfeather:v1:2 if pinfeather.2.1 pinfeather.2.draw.1

The number is the route's place among all of them, `at` the place of this port among its entry points. A block is read only
if writing it again gives the same lines. Without such a comment, `acl` and `use_backend` lines of people are read one by one
where every condition is known here (`loose`); anything else is opaque.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from pinfeather.model.match import Cookie, Leaf
from pinfeather.translators._haproxy.rules import WORD, Asked, put_leaf, take_leaves, words

HEAD = "# pinfeather "
KEPT = ("option httplog", "option forwardfor")
"""Voyager leaves these out of a frontend as soon as it has a rule of its own (http-frontend.cfg)."""
_ROUTE = re.compile(r"# pinfeather route (\d{1,6}) ([A-Za-z0-9_.:-]+)(?: at (\d{1,3}))?( keeps)?")
_BINDING = re.compile(r"pinfeather:([A-Za-z0-9_.:-]+):(\d{1,6})")
_DRAW = re.compile(r"acl pinfeather\.\d+\.draw\.\d+ rand\((\d{1,10})\) lt (\d{1,10})")
_ACL = "pinfeather"
_GENERATED = "acl_"
"""The prefix of Voyager's own ACLs: a line of that name is added to the generated one."""


class Draw(NamedTuple):
    """A split: services, weights, and whether who is drawn there is given the cookie."""

    entries: tuple[tuple[str, int, bool], ...]
    cookie: str | None
    keeps: bool


class Block(NamedTuple):
    """One route of a frontend."""

    number: int | None
    name: str | None
    place: int | None
    """Which of the route's entry points this frontend is, from 1; None: the route names none."""
    asked: tuple[Asked, ...]
    to: str | Draw


def binding(service: str, index: int) -> str:
    """The backend of a service that also sets the variant cookie of the route `index`."""
    return f"{_ACL}:{service}:{index}"


def bound_service(backend: str) -> str | None:
    """The service that such a backend is a use of."""
    found = _BINDING.fullmatch(backend)
    return found[1] if found else None


# Writing ---------------------------------------------------------------------------------------------------------------


def put_block(block: Block) -> list[str]:
    prefix = f"{_ACL}.{block.number}"
    keeps = " keeps" if isinstance(block.to, Draw) and block.to.keeps else ""
    at = "" if block.place is None else f" at {block.place}"
    lines = [f"{HEAD}route {block.number} {block.name}{at}{keeps}"]
    conditions: list[str] = []
    for number, asked in enumerate(block.asked, 1):
        lines += [f"acl {prefix}.{number} {put_leaf(leaf)}" for leaf in asked.leaves]
        conditions.append(f"{'!' if asked.negated else ''}{prefix}.{number}")
    if isinstance(block.to, str):
        return [*lines, _use(block.to, conditions)]
    return [*lines, *_put_draw(block.to, prefix, conditions, block.number or 0)]


def _use(backend: str, conditions: Sequence[str]) -> str:
    return f"use_backend {backend}{' if ' if conditions else ''}{' '.join(conditions)}"


def _put_draw(draw: Draw, prefix: str, conditions: list[str], index: int) -> Iterator[str]:
    if draw.cookie is not None:
        for number, (service, weight, _) in enumerate(draw.entries, 1):
            if weight or draw.keeps:
                acl = f"{prefix}.bound.{number}"
                yield f"acl {acl} req.cook({draw.cookie}) -m str -- {service}"
                yield _use(service, [*conditions, acl])
    rest = sum(weight for _, weight, _ in draw.entries)
    for number, (service, weight, binds) in enumerate(draw.entries, 1):
        acl = f"{prefix}.draw.{number}"
        yield f"acl {acl} rand({rest or 1}) lt {weight}"
        yield _use(binding(service, index) if draw.cookie is not None and binds else service, [*conditions, acl])
        rest -= weight


# Reading ---------------------------------------------------------------------------------------------------------------


def blocks_of(lines: Sequence[str]) -> tuple[list[tuple[int, Block]], list[int]]:
    """The routes of a frontend, each with the number of its first line; and the numbers of the lines that are opaque."""
    heads = [number for number, line in enumerate(lines) if _ROUTE.fullmatch(line)]
    first = heads[0] if heads else len(lines)
    found, opaque = _loose(lines[:first])
    for begin, end in pairwise((*heads, len(lines))):
        block = _take_block(lines[begin:end])
        if block is None:
            opaque.append(begin)
        else:
            found.append((begin, block))
    return found, opaque


def _take_block(lines: Sequence[str]) -> Block | None:
    head = _ROUTE.fullmatch(lines[0])
    assert head is not None
    prefix = f"acl {_ACL}.{int(head[1])}."
    named: dict[str, list[Leaf]] = {}
    cookie: str | None = None
    targets: list[str] = []
    weights: list[int] = []
    for line in lines[1:]:
        parts = words(line) or []
        drawn = _DRAW.fullmatch(line)
        if drawn is not None:
            weights.append(int(drawn[2]))
        elif line.startswith(prefix) and (leaves := take_leaves(parts[2:])) is not None:
            if ".bound." not in parts[1]:
                named.setdefault(parts[1], []).extend(leaves)
            elif isinstance(leaves[0], Cookie):
                cookie = leaves[0].cookie.name
        elif len(parts) > 1 and parts[0] == "use_backend":
            targets.append(parts[1])
    negated = {word[1:] for word in (words(lines[-1]) or []) if word.startswith("!")}
    asked = tuple(Asked(name in negated, tuple(leaves)) for name, leaves in named.items())
    to: str | Draw
    if weights:
        chosen = zip(targets[-len(weights) :], weights, strict=False)
        entries = [(bound_service(each) or each, weight, bound_service(each) is not None) for each, weight in chosen]
        if cookie is None and not any(binds for _, _, binds in entries):
            entries = [(service, weight, True) for service, weight, _ in entries]
        to = Draw(tuple(entries), cookie, head[4] is not None)
    elif targets:
        to = targets[0]
    else:
        return None
    block = Block(int(head[1]), head[2], int(head[3]) if head[3] else None, asked, to)
    return block if put_block(block) == list(lines) else None


def _loose(lines: Sequence[str]) -> tuple[list[tuple[int, Block]], list[int]]:
    """Lines that people wrote: ACLs, and backends that are used where some of them hold. What else there is, is opaque."""
    named: dict[str, list[Leaf]] = {}
    used: set[str] = set()
    found: list[tuple[int, Block]] = []
    opaque: list[int] = []
    for number, line in enumerate(lines):
        parts = words(line)
        if parts == []:
            continue
        if parts and parts[0] == "acl" and len(parts) > 2 and _free(parts[1], used):
            leaves = take_leaves(parts[2:])
            if leaves is not None:
                named.setdefault(parts[1], []).extend(leaves)
                continue
        elif parts and parts[0] == "use_backend" and (block := _take_use(parts, named)) is not None:
            used |= {word.lstrip("!") for word in parts[3:]}
            found.append((number, block))
            continue
        opaque.append(number)
    return found, opaque


def _free(name: str, used: set[str]) -> bool:
    """Whether a line of this ACL changes nothing that was said before, and nothing that Voyager makes."""
    return WORD.fullmatch(name) is not None and name not in used and not name.startswith(_GENERATED)


def _take_use(parts: Sequence[str], named: dict[str, list[Leaf]]) -> Block | None:
    """`use_backend NAME`, alone or with `if` and a conjunction of known ACLs."""
    conditions = parts[3:]
    if len(parts) < 2 or (len(parts) > 2 and (parts[2] != "if" or not conditions)):
        return None
    if any(word.lstrip("!") not in named for word in conditions):
        return None
    asked = tuple(Asked(word.startswith("!"), tuple(dict.fromkeys(named[word.lstrip("!")]))) for word in conditions)
    return Block(None, None, None, asked, parts[1])
