"""What a change may not do to traffic: the policy of a stack, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pinfeather._explain_render import shown
from pinfeather._render import plain
from pinfeather.deploy.contract import Value

if TYPE_CHECKING:
    from pinfeather.deploy.traffic import Traffic

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%", re.ASCII)


def _written(value: object) -> object:
    """The engine hands `25` over as a number, which means per cent too."""
    return f"{value:g}%" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _share(text: str) -> str:
    if _SHARE.fullmatch(text) is None or fraction(text) > 1:
        raise ValueError(f"{text!r} is not a share: write 25%")
    return text


def fraction(text: str) -> Fraction:
    """`25%` as 1/4."""
    return Fraction(text.rstrip(" %")) / 100


class Policy(Value):
    """Absent: no limit. The policy of the new program is in force, not that of what is deployed."""

    max_moved_share: Annotated[str, BeforeValidator(_written), AfterValidator(_share)] | None = None
    """`25%`: of the new clients of any one class of requests so many may go elsewhere, and of its pinned clients. A number is per cent."""
    no_new_losses: bool = False
    """Nothing is lost that was not lost before."""
    keep_pins: bool = False
    """No pinned client is moved, drawn anew or refused."""
    never_wider: bool = False
    """No request passes with a guard less, or with another one: users, forward auth, address lists, client certificates, a middleware
    that is not known here. TCP connections likewise.

    A request that no route took before, and that comes to a service unguarded now, is new traffic, and allowed only if no route of the
    document before names a host that its route takes: a route for a new host is no wider, one more path of a known host is. A service
    that had no server and has one now is repaired, not wider.
    """
    max_deletions: Annotated[int, Field(ge=0)] | None = None
    """So many objects and files may go in one run."""


_OF_USERS = ("max_moved_share", "keep_pins", "never_wider")


def refusals(policy: Policy, change: Traffic) -> Iterator[str]:
    """What the policy forbids of a change: a sentence each, on one line, with how to allow it for once.

    What cannot be compared is not refused; `unchecked` names the rules that were not held against it.
    """
    yield from map(plain, _refusals(policy, change))


def _refusals(policy: Policy, change: Traffic) -> Iterator[str]:
    limit = None if policy.max_moved_share is None else fraction(policy.max_moved_share)
    most = max(change.moved, change.pins_lost)
    if limit is not None and most > limit:
        who = "new clients" if change.moved >= change.pins_lost else "pinned clients"
        said = f"{shown(most)} of the {who} of one class of requests go elsewhere, and {policy.max_moved_share} may"
        yield said + _once("max_moved_share", f"{_up(most)}%")
    if policy.no_new_losses and change.new_losses:
        yield f"there is a new loss: {_and_more(change.new_losses)}" + _once("no_new_losses", "false")
    if policy.keep_pins and not change.pins_kept:
        yield f"{_unpinned(change)} do not stay where they are" + _once("keep_pins", "false")
    if policy.never_wider and (wider := change.wider):
        yield f"more is let in than before: {_and_more(wider)}" + _once("never_wider", "false")
    count = len(change.deleted)
    if policy.max_deletions is not None and count > policy.max_deletions:
        said = f"{count} objects would be deleted, and {policy.max_deletions} may: {', '.join(change.deleted[:5])}"
        yield said + _once("max_deletions", str(count))


def unchecked(policy: Policy, change: Traffic) -> tuple[str, ...]:
    """The rules in force that could not be held against the whole change, by name."""
    whole = change.found is not None and not change.found.cut
    return () if whole else tuple(name for name in _OF_USERS if getattr(policy, name))


def _unpinned(change: Traffic) -> str:
    if change.pins_lost:
        return f"{shown(change.pins_lost)} of the pinned clients of one class of requests"
    return f"those whom the cookie {change.pools[0].cookie} pins to {', '.join(change.pools[0].lost[:5])}"


def _and_more(rows: Sequence[str]) -> str:
    return rows[0] + (f" (and {len(rows) - 1} more)" if len(rows) > 1 else "")


def _up(share: Fraction) -> int:
    """Per cent, rounded up."""
    return -(-share.numerator * 100 // share.denominator)


def _once(key: str, value: str) -> str:
    return f"; if it is meant: pulumi config set --path pinfeather:policy.{key} {value}"
