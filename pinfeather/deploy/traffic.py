"""What a change of a document does to users, in their words: what the preview of a stack says, and what a pull request is told. Pure.

It is what `pinfeather diff` finds between the two documents, with the cookie values of the format that is deployed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from pinfeather import _connection, _curl
from pinfeather._explain_render import shown
from pinfeather._render import plain
from pinfeather.deploy.settings import RefusalError
from pinfeather.deploy.translation import writer_of
from pinfeather.diff import render
from pinfeather.diff.changes import Kind
from pinfeather.diff.pins import Fate, Pool
from pinfeather.diff.report import Class, Difference, difference
from pinfeather.diff.rungs import Step, steps
from pinfeather.diff.sides import GUARDS, Side, content, terms
from pinfeather.diff.tcp import Ends, TcpFound
from pinfeather.model.document import Document
from pinfeather.model.match import Host, HostRegex
from pinfeather.model.noun import compile_regex
from pinfeather.model.project import project
from pinfeather.model.request import undotted
from pinfeather.model.services import LoadBalancer
from pinfeather.model.table import UndecidedError
from pinfeather.translators.contract import Identity

NAMES = "what is deployed", "the new document"
MOST = 5
"""Hosts or deletions that are named; the rest is counted."""
SCREEN = 9
"""Lines below the sentence; the rest is counted in one more."""
COMMENT = 50
"""Rows of one kind in a pull request's comment, which a forge cuts at some 65,000 characters."""
SERVED = 200
NONE = Fraction(0)
ALL = Fraction(1)


@dataclass(frozen=True)
class Target:
    """A document and the format that it is deployed in. Without a document: it is there, and this version cannot read it."""

    document: Document | None
    format: str = ""
    options: Mapping[str, str | bool] | None = None
    losses: Sequence[str] = ()
    objects: Sequence[str] = ()

    @property
    def recorded(self) -> bool:
        """Whether anybody wrote down what was made of it, and lost: states of earlier versions hold the document alone."""
        return bool(self.losses or self.objects)

    def side(self, document: Document) -> Side:
        """Raises UndecidedError for a document with templates."""
        return Side(document, identity=self._identity(document))

    def _identity(self, document: Document) -> Identity | None:
        if not self.format:
            return None
        try:
            writer, options = writer_of(self.format, self.options or {})
        except RefusalError:  # a format of a plugin that is gone, or an option that it had
            return None
        try:  # a format knows no values of what it cannot say; to look for that costs as much as all the rest
            kept = project(document, writer.supports(options)).kept if self.losses else document
            found = writer.identity(kept, options)
        except Exception:  # noqa: BLE001 - these are functions of the format's own
            return None
        return found if found.variants or found.servers else None


@dataclass(frozen=True)
class Traffic:
    """What changes from one deployment to the next."""

    found: Difference | None
    """None where the documents cannot be compared; `why` says why not."""
    new_losses: tuple[str, ...] = ()
    lost_losses: tuple[str, ...] = ()
    """What could not be said before, and can now."""
    deleted: tuple[str, ...] = ()
    """Objects and files that go."""
    why: str = ""

    @property
    def classes(self) -> tuple[Class, ...]:
        return self.found.classes if self.found is not None else ()

    @property
    def tcp(self) -> tuple[TcpFound, ...]:
        return self.found.tcp if self.found is not None else ()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Sticky cookies of which some value says nothing any more, or something else."""
        return self.found.pools if self.found is not None else ()

    @property
    def moved(self) -> Fraction:
        """The largest share of new clients of one class of requests, or of one kind of TCP connections, that were served before and go
        elsewhere now."""
        requests = (each.change.moved for each in self.classes if _served(each) and not each.found.region.bound)
        return max((*requests, *map(_tcp_moved, self.tcp)), default=NONE)

    @property
    def pins_lost(self) -> Fraction:
        """The largest share of pinned clients of one class, or of one sticky cookie, that do not stay where they are."""
        lost = [sum((share for fate, share in each.pinned if fate is not Fate.KEPT), NONE) for each in self.classes]
        lost += [each.change.moved for each in self.classes if each.found.region.bound and _served(each)]
        return max((*lost, *map(self._share_of, self.pools)), default=NONE)

    @property
    def pins_kept(self) -> bool:
        """Whether every pinned client stays, also those of a variant that gets no new ones."""
        return not self.pins_lost and not self.pools

    @property
    def wider(self) -> tuple[str, ...]:
        """What lets in more than before: see `Policy.never_wider`."""
        requests = (f"{render.headline(each.found)}: {_where(each)}" for each in self.classes if self._widens(each))
        return (*requests, *(f"TCP: {_connection.line(each.connection)}" for each in self.tcp if self._widens_tcp(each)))

    @property
    def grave(self) -> bool:
        """Whether somebody is let in unasked, or no longer let in."""
        kinds = {each.change.kind for each in self.classes} & {Kind.UNGUARDED, Kind.OTHERWISE_GUARDED, Kind.REFUSED}
        pins = any(fate is Fate.REFUSED for each in self.classes for fate, _ in each.pinned)
        return bool(kinds or pins or any(self._widens_tcp(each) or _refused(each) for each in self.tcp))

    # In words ----------------------------------------------------------------------------------------------------------

    def sentence(self) -> str:
        """All of it in one sentence."""
        found = self.found
        if found is None:
            return f"What changes for users cannot be said: {self.why}."
        if found.equal:
            return "No request that was tried goes elsewhere." if found.unproved else "No request goes elsewhere."
        if len(found.classes) == 1 and not found.tcp:
            (only,) = found.classes
            return f"{_capital(render.headline(only.found))}: {_where(only)}; {self._pins(only)}."
        parts = [f"{len(found.classes)} classes of requests change"] if found.classes else []
        parts += [f"at most {shown(self.moved)} of the new clients of one go elsewhere"] if found.classes and self.moved else []
        parts += ["some TCP connections change"] if found.tcp else []
        parts += [] if parts else ["no difference for new clients was found"]
        parts += ["pinned clients stay where they are" if self.pins_kept else "some pinned clients do not stay where they are"]
        return f"{_capital('; '.join(parts))}."

    def _pins(self, each: Class) -> str:
        if each.pinned:
            said = render.fates(each)
            return "pinned clients stay where they are" if said == "all stay" else f"pinned clients: {said}"
        return "clients that are pinned elsewhere are drawn anew" if self.pools else "nobody is pinned there"

    def lines(self) -> Iterator[str]:
        """The sentence, and at most ten lines of what there is to say beyond it; each fit for a terminal."""
        yield plain(self.sentence())
        sections = [(what, rows) for what, rows in self._sections() if rows]
        room = SCREEN - len(sections)
        hidden = []
        for what, rows in sections:
            shown_ = 1 + min(len(rows) - 1, max(room, 0))
            room -= shown_ - 1
            yield from (f"  {plain(row)}" for row in rows[:shown_])
            hidden += [f"{len(rows) - shown_} {what}"] if len(rows) > shown_ else []
        if hidden:
            yield f"  and more: {', '.join(hidden)}; `pinfeather plan --report json` says all"

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        many = len(self.classes) > 1 or self.tcp
        yield "classes of requests", [self._class(each) for each in self.classes] if many else []
        yield "kinds of TCP connections", [_tcp(each) for each in self.tcp]
        yield "sticky cookies", [_pool(each) for each in self.pools]
        yield "new losses", [f"new loss: {each}" for each in self.new_losses]
        yield "losses that are gone", [f"no longer lost: {each}" for each in self.lost_losses]
        rest = f" and {len(self.deleted) - MOST} more" if len(self.deleted) > MOST else ""
        yield "deletions", [f"deleted: {', '.join(self.deleted[:MOST])}{rest}"] if self.deleted else []
        yield "limits", list(self._limits())

    def _class(self, each: Class) -> str:
        return f"{render.headline(each.found)}: {_where(each)}" + (f"; {self._pins(each)}" if each.pinned else "")

    def _limits(self) -> Iterator[str]:
        if self.found is not None and self.found.cut:
            yield "not everything was looked at: the conditions of one host and path can be combined in too many ways"
        if self.found is not None and self.found.unproved:
            yield f"tried by examples only, which proves nothing of the rest: {', '.join(self.found.unproved)}"

    def json(self) -> str:
        """For programs: `sentence`, `moved` and `pins_lost` as fractions in text, and in `diff` what `pinfeather diff --report json` says
        (null, with the reason in `why`, where the documents cannot be compared)."""
        tree = {
            "sentence": plain(self.sentence()),
            "moved": str(self.moved),
            "pins_lost": str(self.pins_lost),
            "pins_kept": self.pins_kept,
            "wider": list(self.wider),
            "new_losses": list(self.new_losses),
            "lost_losses": list(self.lost_losses),
            "deleted": list(self.deleted),
            "why": self.why,
            "diff": None if self.found is None else json.loads(render.as_json(self.found, NAMES)),
        }
        return json.dumps(tree, indent=2) + "\n"

    def markdown(self) -> str:
        """For a pull request's comment."""
        lines = [f"**{render.escaped(self.sentence())}**"]
        lines += ["", render.markdown(self.found, NAMES).rstrip()] if self.found is not None else []
        for title, rows in (("New losses", self.new_losses), ("No longer lost", self.lost_losses), ("Deleted", self.deleted)):
            if rows:
                lines += ["", f"{title}:", "", *(f"- {render.escaped(row)}" for row in rows[:COMMENT])]
                lines += [f"- and {len(rows) - COMMENT} more"] if len(rows) > COMMENT else []
        return "\n".join(lines) + "\n"

    # What a policy asks --------------------------------------------------------------------------------------------------

    def _share_of(self, pool: Pool) -> Fraction:
        """How many of those whom a sticky cookie pins are lost, by the weights that gave them their cookies."""
        assert self.found is not None
        document = self.found.before.document
        kind, _, name = pool.name.partition(":")
        lost = set(pool.lost)
        if kind == "route":
            route = next(each for each in document.routes if each.name == name)
            if lost & {each.to for each in route.canaries}:
                return ALL
            rows = [(each.to, int(each.weight)) for each in route.split]
        else:
            service = document.services[name]
            if isinstance(service, LoadBalancer):
                rows = [(each.key, 1 if each.weight is None else int(each.weight)) for each in service.servers]
            else:
                rows = [(each.to, int(each.weight)) for each in service.split]
        return Fraction(sum(weight for one, weight in rows if one in lost), sum(weight for _, weight in rows) or 1)

    def _widens(self, each: Class) -> bool:
        assert self.found is not None
        one, other, change = each.found.before, each.found.after, each.change
        if change.kind in (Kind.UNGUARDED, Kind.OTHERWISE_GUARDED):
            return True
        if change.kind is not Kind.ADMITTED or other is None:
            return False
        admitted = [landing.guards for landing, _ in change.after if landing.status == SERVED]
        if one is not None:  # a route took it, and nobody was there to answer
            asked = frozenset[str].intersection(*(landing.guards for landing, _ in change.before))
            return any(not asked <= guards for guards in admitted)
        return any(not guards for guards in admitted) and not _is_new(other, self.found.before)

    def _widens_tcp(self, each: TcpFound) -> bool:
        assert self.found is not None
        before, after = self.found.before.document, self.found.after.document
        one, (other, now) = each.before[0], each.after
        if other is None or not _answered(now):
            return False
        guards = _tcp_guards(after, other)
        if one is not None:
            return not _tcp_guards(before, one) <= guards
        new = next(route for route in after.tcp_routes if route.name == other)
        names = _Named(frozenset(undotted(name) for route in before.tcp_routes for name in route.sni), (), bool(before.tcp_routes))
        points = {point for route in before.tcp_routes for point in route.entry_points}
        everywhere = any(not route.entry_points for route in before.tcp_routes)
        named = bool(new.sni) and not any(map(names.meets, new.sni))
        apart = bool(new.entry_points) and not everywhere and not points & set(new.entry_points)
        return not guards and bool(before.tcp_routes) and not named and not apart


def traffic(before: Target, after: Target) -> Traffic:
    """Compare two deployments. Where their documents cannot be, `found` is None, and losses and objects are compared all the same."""
    found, why = None, "what is deployed was written by another version of Pinfeather"
    if before.document is not None and after.document is not None:
        try:
            found, why = difference(before.side(before.document), after.side(after.document)), ""
        except UndecidedError as problem:
            why = str(problem)
    known = before.recorded
    return Traffic(
        found,
        tuple(sorted(set(after.losses) - set(before.losses))) if known else (),
        tuple(sorted(set(before.losses) - set(after.losses))),
        tuple(sorted(set(before.objects) - set(after.objects))),
        why,
    )


def first(target: Target) -> str:
    """What a deployment that was not there before serves."""
    document = target.document
    if document is None:
        return "What is served cannot be said: the document cannot be read."
    names = (*(host for route in document.routes for host in route.hosts), *(name for route in document.tcp_routes for name in route.sni))
    hosts = list(dict.fromkeys(names))
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


def _pool(pool: Pool) -> str:
    return f"the cookie {pool.cookie} of the {pool.name.replace(':', ' ', 1)}: its clients are drawn anew, as {pool.why}"


class _Named(NamedTuple):
    """The hosts that the routes of one side name, and whether there is any route."""

    names: frozenset[str]
    regexes: tuple[Callable[[str], object], ...]
    routes: bool

    def meets(self, host: str) -> bool:
        """Whether a name, perhaps a wildcard of one label, takes a host that these take; of a wildcard beside a regex it is feared."""
        host = undotted(host)
        if "*" in self.names or host in self.names or host == "*":
            return True
        parent = host.partition(".")[2]
        if host.startswith("*."):
            return bool(self.regexes) or any(name.partition(".")[2] == parent for name in self.names)
        return f"*.{parent}" in self.names or any(regex(host) for regex in self.regexes)


@lru_cache(maxsize=2)
def _named(side: Side) -> _Named:
    known = steps(side)
    leaves = [leaf for each in known for leaf in each.leaves]
    names = (*(name for each in known for name in each.hosts), *(leaf.host for leaf in leaves if isinstance(leaf, Host)))
    regexes = dict.fromkeys(leaf.host_regex for leaf in leaves if isinstance(leaf, HostRegex))
    return _Named(frozenset(map(undotted, names)), tuple(map(compile_regex, regexes)), bool(known))


def _is_new(step: Step, before: Side) -> bool:
    """Whether no route of the other side names a host that this rung takes. One that takes every host is new beside no route alone."""
    known = _named(before)
    return not known.routes or (bool(step.hosts) and not any(map(known.meets, step.hosts)))


# TCP --------------------------------------------------------------------------------------------------------------------------


def _answered(ends: Ends) -> bool:
    return any(end != "nobody" for end, _ in ends)


def _refused(each: TcpFound) -> bool:
    return _answered(each.before[1]) and not _answered(each.after[1])


def _servers(ends: Ends) -> dict[str, Fraction]:
    """Server -> its share; how it is come to, which stands behind a comma, is left out."""
    found: dict[str, Fraction] = {}
    for end, share in ends:
        found[end.partition(", ")[0]] = found.get(end.partition(", ")[0], NONE) + share
    return found


def _tcp_moved(each: TcpFound) -> Fraction:
    before, after = _servers(each.before[1]), _servers(each.after[1])
    return sum((max(share - after.get(one, NONE), NONE) for one, share in before.items() if one != "nobody"), NONE)


def _tcp_guards(document: Document, name: str) -> frozenset[str]:
    """What a TCP route asks of those whom it lets in."""
    route = next(each for each in document.tcp_routes if each.name == name)
    held = (document.tcp_middlewares.get(each) for each in route.middlewares)
    said = (*(content(each) if each is not None else "other" for each in held), *terms(document, route.tls))
    return frozenset(text for text in said if text.partition(" ")[0] in GUARDS)


def _tcp(each: TcpFound) -> str:
    before, after = (
        ", ".join(end if share == 1 else f"{shown(share)} {end}" for end, share in ends) for _, ends in (each.before, each.after)
    )
    return f"TCP {_connection.line(each.connection)}: {after}, and no longer {before}"
