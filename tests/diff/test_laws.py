"""Whatever two documents are compared: what differs for any probe is found, and what is said to differ does."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.diff.changes import compare
from pinfeather.diff.report import difference
from pinfeather.diff.rungs import steps
from pinfeather.diff.sides import STATE, Side
from pinfeather.diff.walk import Walk
from pinfeather.model.document import Document
from pinfeather.model.request import Asked
from pinfeather.testing.probes import probes
from pinfeather.testing.strategies import documents

PROBES = 120
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def edited(draw: st.DrawFn) -> tuple[Document, Document]:
    """A document and one that came of it by a few edits; sometimes one that has nothing to do with it."""
    document = draw(documents())
    if draw(st.integers(0, 4)) == 0:
        return document, draw(documents())
    routes = list(document.routes)
    for _ in range(draw(st.integers(0, 2))):
        if not routes:
            break
        at = draw(st.integers(0, len(routes) - 1))
        route = routes[at]
        what = draw(st.sampled_from(("drop", "priority", "middlewares", "hosts", "canaries", "swap", "order", "match", "sticky", "path")))
        if what == "drop":
            routes.pop(at)
        elif what == "swap":
            other = draw(st.integers(0, len(routes) - 1))
            routes[at], routes[other] = routes[other], routes[at]
        elif what == "order":
            routes[at] = route.model_copy(update={"order": "binding_first" if route.order == "rules_first" else "rules_first"})
        elif what == "priority":
            routes[at] = route.model_copy(update={"priority": draw(st.integers(-2, 40))})
        elif what == "hosts":
            routes[at] = route.model_copy(update={"hosts": route.hosts[1:]})
        elif what == "sticky":
            routes[at] = route.model_copy(
                update={"sticky": None, "canaries": tuple(each.model_copy(update={"binds": False}) for each in route.canaries)}
            )
        elif what in ("match", "path"):
            routes[at] = route.model_copy(update={what: None})
        else:
            routes[at] = route.model_copy(update={what: getattr(route, what)[1:]})
    return document, document.model_copy(update={"routes": tuple(routes)})


@SETTINGS
@given(edited())
def test_what_differs_for_a_probe_is_found(pair: tuple[Document, Document]) -> None:
    before, after = (Side(document) for document in pair)
    found = difference(before, after)
    asked = [request._replace(bindings={}) for document in pair for request, state in probes(document, PROBES) if not state.servers]
    different = [request for request in asked if compare(before, after, request) is not None]
    if different and not found.classes:
        assert found.cut or found.unproved, different[0]
    if not different and not found.classes:
        assert found.equal or found.tcp or found.pools or found.cut


@SETTINGS
@given(edited())
def test_the_walk_and_the_tables_agree_on_who_takes_a_request(pair: tuple[Document, Document]) -> None:
    before, after = (Side(document) for document in pair)
    for leaf in Walk(steps(before), steps(after), ()):
        for side, step in ((before, leaf.before), (after, leaf.after)):
            request = leaf.region.request._replace(bindings=side.bound(leaf.region.bound))
            way = side.table.first(Asked(request, STATE))
            assert (way.rung if way is not None else None) == (step.rung if step is not None else None), request


@SETTINGS
@given(documents())
def test_a_document_is_equal_to_itself(document: Document) -> None:
    found = difference(Side(document), Side(document))
    assert found.equal
    assert not found.unproved
