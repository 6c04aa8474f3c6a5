"""What `pinfeather import` prints when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pinfeather import _render
from pinfeather.deploy.translation import Translation
from pinfeather.importing.files import Wanted
from pinfeather.importing.grouping import readable
from pinfeather.importing.proof import Change, Proof
from pinfeather.importing.reading import Taken

_MOST = 10
"""Objects of one sort that are listed; the rest is counted."""
_BY_HAND = "kubectl"
"""What the field managers of people begin with: what they hold is put back by `up` (pinfeather/deploy/preflight.py)."""


class Said(NamedTuple):
    """Everything that was done, and found out."""

    found: Taken
    files: tuple[Wanted, ...]
    translation: Translation
    private: bool
    unread: int
    """How much was not read, and allowed."""
    proof: Proof


def say(what: Said, stack: str, *, every: bool) -> None:
    """Prints it; `every`: all objects."""
    sys.stdout.write("".join(f"{line}\n" for line in (*_written(what), "", *_proved(what, stack, None if every else _MOST))))


def _written(what: Said) -> Iterator[str]:
    document = what.translation.document
    routes, services = len(document.routes) + len(document.tcp_routes), len(document.services) + len(document.tcp_services)
    yield f"{_count(routes, 'route')} and {_count(services, 'service')}, written into"
    yield from (f"  {each.path}" for each in what.files)
    if what.private:
        yield "They hold users or secrets: readable by you alone, and better not committed."
    if what.unread and what.proof.unchanged:
        yield "What was not read stays in the adopted objects as it is; the document, and what is proved of it, does not have it."
    if several := sum(readable(tree) is not tree for tree in what.found.objects):
        yield f"{_count(several, 'object')} with annotations that the document cannot hold: they stay in the adopted objects alone."
    yield from (f"Not used by Traefik, and left out: {_render.plain(each)}" for each in what.found.faults)
    for name, number in sorted(what.found.masters.items()):
        yield f"{name} applies {number} of these objects too: take them out there, or it goes on writing over what `up` does."
    for name, number in sorted(what.found.managers.items()):
        # An apply of ours that has the same values shares a field; one that has another is refused as long as a program holds it.
        if not name.startswith(_BY_HAND):
            held = f"{_render.plain(name)} holds fields of {_count(number, 'object')} in the cluster"
            yield f"{held}: an edit of them is refused until it lets go, or pinfeather:takeOver is set."


def _proved(what: Said, stack: str, most: int | None) -> Iterator[str]:
    cluster, proof = what.found.cluster, what.proof
    yield f"The first `pulumi up --stack {stack}`{f', asked of {cluster.called} by a dry run' if cluster is not None else ''}:"
    yield f"  {_count(len(proof.unchanged), 'object')} adopted, unchanged"
    yield from _list("object", "changed", list(map(_changed, proof.changed)), most)
    yield from _list("object", "created", [[str(each)] for each in proof.created], most)
    yield from _list("file", "written", [[each.name] for each in what.translation.files], most)
    alone = [[f"{key}{f': {why}' if why else ''}"] for key, why in sorted(proof.alone.items())]
    yield from _list("object", "left alone, which the document does not have", alone, most)
    nothing = proof.nothing and not what.translation.files
    yield "Nothing would change." if nothing else "Something would change: look at it before you say `up`."


def _changed(change: Change) -> list[str]:
    return [str(change.key), *(f"  {each}" for each in change.fields)]


def _list(noun: str, what: str, entries: Sequence[Sequence[str]], most: int | None) -> Iterator[str]:
    if not entries:
        return
    yield f"  {_count(len(entries), noun)} {what}:"
    yield from (f"    {_render.plain(line)}" for entry in entries[:most] for line in entry)
    if most is not None and len(entries) > most:
        yield f"    ... and {len(entries) - most} more; --all shows every one"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"
