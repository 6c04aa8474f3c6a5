"""What a change of a document does to users, in their words: what the preview of a stack says, and what a pull request is told. Pure.

It is what `pinfeather diff` finds between the two documents, with the cookie values of the format that is deployed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pinfeather import _curl
from pinfeather._explain_render import shown
from pinfeather._render import plain
from pinfeather.deploy.settings import RefusalError
from pinfeather.deploy.translation import writer_of
from pinfeather.diff import render
from pinfeather.diff.changes import Kind
from pinfeather.diff.pins import Fate
from pinfeather.diff.report import Class, Difference, difference
from pinfeather.diff.sides import Side
from pinfeather.model.document import Document
from pinfeather.translators.contract import Identity

NAMES = "what is deployed", "the new document"
MOST = 5
"""Classes, losses or deletions that are named; the rest is counted."""
SERVED = 200


@dataclass(frozen=True)
class Target:
    """A document and the format that it is deployed in."""

    document: Document
    format: str = ""
    options: Mapping[str, str | bool] | None = None
    losses: Sequence[str] = ()
    objects: Sequence[str] = ()

    def side(self) -> Side:
        """Raises UndecidedError for a document with templates."""
        return Side(self.document, identity=self._identity())

    def _identity(self) -> Identity | None:
        if not self.format:
            return None
        try:
            writer, options = writer_of(self.format, self.options or {})
        except RefusalError:  # a format of a plugin that is gone, or an option that it had
            return None
        found = writer.identity(self.document, options)
        return found if found.variants or found.servers else None


@dataclass(frozen=True)
class Traffic:
    """What changes from one deployment to the next."""

    found: Difference
    new_losses: tuple[str, ...]
    lost_losses: tuple[str, ...]
    """What could not be said before, and can now."""
    deleted: tuple[str, ...]
    """Objects and files that go."""

    @property
    def moved(self) -> Fraction:
        """The largest share of new clients of one class of requests that were served before and go elsewhere now."""
        return max((each.change.moved for each in self.found.classes if _served(each)), default=Fraction(0))

    @property
    def pins_lost(self) -> Fraction:
        """The largest share of pinned clients of one class that do not stay where they are."""
        lost = (sum((share for fate, share in each.pinned if fate is not Fate.KEPT), Fraction(0)) for each in self.found.classes)
        return max(lost, default=Fraction(0)) if not self.found.pools else max(*lost, Fraction(0), Fraction(1))

    @property
    def wider(self) -> tuple[str, ...]:
        """What lets in more than before: a guard less, or a route of the same name that takes what it did not take."""
        return tuple(f"{render.headline(each.found)}: {_where(each)}" for each in self.found.classes if self._widens(each))

    def _widens(self, each: Class) -> bool:
        if each.change.kind in (Kind.UNGUARDED, Kind.OTHERWISE_GUARDED):
            return True
        if each.change.kind is not Kind.ADMITTED or each.found.after is None:
            return False
        before, after = self.found.before.document, self.found.after.document
        return after.routes[each.found.after.rung.route].name in {route.name for route in before.routes}

    @property
    def grave(self) -> bool:
        """Whether somebody is let in unasked, or no longer let in."""
        return any(each.change.kind in (Kind.UNGUARDED, Kind.OTHERWISE_GUARDED, Kind.REFUSED) for each in self.found.classes)

    def sentence(self) -> str:
        """All of it in one sentence."""
        found = self.found
        if found.equal:
            return "No request goes elsewhere."
        if len(found.classes) == 1 and not found.tcp:
            (only,) = found.classes
            return f"{_capital(render.headline(only.found))}: {_where(only)}; {self._pins(only)}."
        parts = [f"{len(found.classes)} classes of requests change"] if found.classes else []
        parts += [f"at most {shown(self.moved)} of the new clients of one go elsewhere"] if self.moved else []
        parts += ["some TCP connections go elsewhere"] if found.tcp else []
        parts += ["some pinned clients are drawn anew" if self.pins_lost else "pinned clients stay where they are"]
        return f"{_capital('; '.join(parts))}."

    def _pins(self, each: Class) -> str:
        if each.pinned:
            said = render.fates(each)
            return "pinned clients stay where they are" if said == "all stay" else f"pinned clients: {said}"
        return "clients that are pinned elsewhere are drawn anew" if self.found.pools else "nobody is pinned there"

    def lines(self) -> Iterator[str]:
        """The sentence, and what there is to say beyond it; each line fit for a terminal."""
        yield plain(self.sentence())
        if len(self.found.classes) > 1:
            for each in self.found.classes[:MOST]:
                yield plain(f"  {render.headline(each.found)}: {_where(each)}" + (f"; {self._pins(each)}" if each.pinned else ""))
            yield from _more(len(self.found.classes), "classes of requests")
        for pool in self.found.pools[:MOST]:
            owner = pool.name.replace(":", " ", 1)
            yield plain(f"  the cookie {pool.cookie} of the {owner}: its clients are drawn anew, as {pool.why}")
        for sign, losses in (("new loss", self.new_losses), ("no longer lost", self.lost_losses)):
            for loss in losses[:MOST]:
                yield plain(f"  {sign}: {loss}")
            yield from _more(len(losses), f"of these ({sign})")
        if self.deleted:
            rest = f" and {len(self.deleted) - MOST} more" if len(self.deleted) > MOST else ""
            yield plain(f"  deleted: {', '.join(self.deleted[:MOST])}{rest}")

    def json(self) -> str:
        """For programs: `sentence`, `moved` and `pins_lost` as fractions in text, and what `pinfeather diff --report json` says as `diff`."""
        tree = {
            "sentence": plain(self.sentence()),
            "moved": str(self.moved),
            "pins_lost": str(self.pins_lost),
            "wider": list(self.wider),
            "new_losses": list(self.new_losses),
            "lost_losses": list(self.lost_losses),
            "deleted": list(self.deleted),
            "diff": json.loads(render.as_json(self.found, NAMES)),
        }
        return json.dumps(tree, indent=2) + "\n"

    def markdown(self) -> str:
        """For a pull request's comment."""
        lines = [f"**{render.escaped(self.sentence())}**", "", render.markdown(self.found, NAMES).rstrip()]
        for title, rows in (("New losses", self.new_losses), ("No longer lost", self.lost_losses), ("Deleted", self.deleted)):
            if rows:
                lines += ["", f"{title}:", "", *(f"- {render.escaped(row)}" for row in rows)]
        return "\n".join(lines) + "\n"


def traffic(before: Target, after: Target) -> Traffic:
    """Compare two deployments. Raises UndecidedError for a document with templates."""
    return Traffic(
        difference(before.side(), after.side()),
        tuple(sorted(set(after.losses) - set(before.losses))),
        tuple(sorted(set(before.losses) - set(after.losses))),
        tuple(sorted(set(before.objects) - set(after.objects))),
    )


def first(target: Target) -> str:
    """What a deployment that was not there before serves."""
    document = target.document
    hosts = list(dict.fromkeys(host for route in document.routes for host in route.hosts))
    said = f"{', '.join(hosts[:MOST])}{f' and {len(hosts) - MOST} more' if len(hosts) > MOST else ''}" if hosts else "every host"
    count = len(document.routes) + len(document.tcp_routes)
    return plain(f"{count} {'route' if count == 1 else 'routes'} for {said}: new here.")


def _served(each: Class) -> bool:
    return any(one.status == SERVED for one, _ in each.change.before)


def _where(each: Class) -> str:
    """The request that is shown, as people speak of it."""
    request = render.asked(each.found)
    said = _curl.line(request).removeprefix("curl ")
    return said.removesuffix(f" --entry-point {request.entry_point}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _more(count: int, what: str) -> Iterator[str]:
    if count > MOST:
        yield f"  and {count - MOST} more {what}; `pinfeather plan` says all"
