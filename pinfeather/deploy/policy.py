"""What a change may not do to traffic: the policy of a stack, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from pinfeather._explain_render import shown
from pinfeather.deploy.contract import Value

if TYPE_CHECKING:
    from pinfeather.deploy.traffic import Traffic

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%")


def _share(text: str) -> str:
    if _SHARE.fullmatch(text) is None or fraction(text) > 1:
        raise ValueError(f"{text!r} is not a share: write 25%")
    return text


def fraction(text: str) -> Fraction:
    """`25%` as 1/4."""
    return Fraction(text.rstrip(" %")) / 100


class Policy(Value):
    """Absent: no limit. The policy of the new program is in force, not that of what is deployed."""

    max_moved_share: Annotated[str, AfterValidator(_share)] | None = None
    """`25%`: of the new clients of any one class of requests so many may go elsewhere, and of its pinned clients."""
    no_new_losses: bool = False
    """Nothing is lost that was not lost before."""
    keep_pins: bool = False
    """No pinned client is moved, drawn anew or refused."""
    never_wider: bool = False
    """No request passes with a guard less (users, forward auth, address lists, client certificates), and no route takes what it did not
    take.

    A new route is new traffic, and allowed.
    """
    max_deletions: Annotated[int, Field(ge=0)] | None = None
    """So many objects and files may go in one run."""


def refusals(policy: Policy, change: Traffic) -> Iterator[str]:
    """What the policy forbids of a change: a sentence each, with how to allow it for once."""
    limit = None if policy.max_moved_share is None else fraction(policy.max_moved_share)
    most = max(change.moved, change.pins_lost)
    if limit is not None and most > limit:
        who = "new clients" if change.moved >= change.pins_lost else "pinned clients"
        said = f"{shown(most)} of the {who} of one class of requests go elsewhere, and {policy.max_moved_share} may"
        yield said + _once("max_moved_share", f"{_up(most)}%")
    if policy.no_new_losses and change.new_losses:
        yield f"there is a new loss: {change.new_losses[0]}" + _once("no_new_losses", "false")
    if policy.keep_pins and change.pins_lost:
        said = f"{shown(change.pins_lost)} of the pinned clients of one class of requests do not stay where they are"
        yield said + _once("keep_pins", "false")
    if policy.never_wider and change.wider:
        yield f"more is let in than before: {change.wider[0]}" + _once("never_wider", "false")
    count = len(change.deleted)
    if policy.max_deletions is not None and count > policy.max_deletions:
        said = f"{count} objects would be deleted, and {policy.max_deletions} may: {', '.join(change.deleted[:5])}"
        yield said + _once("max_deletions", str(count))


def _up(share: Fraction) -> int:
    """Per cent, rounded up."""
    return -(-share.numerator * 100 // share.denominator)


def _once(key: str, value: str) -> str:
    return f"; if it is meant: pulumi config set --path pinfeather:policy.{key} {value}"
