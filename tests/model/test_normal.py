"""The quick ways to the one form of a condition, beside the plain ones that they replace."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.document import Document
from pinfeather.model.match import (
    AllOf,
    AnyOf,
    Cookie,
    Header,
    Host,
    HostRegex,
    Match,
    Not,
    PathIs,
    PathMatch,
    alternatives,
    both,
    conjuncts,
    either,
)
from pinfeather.model.normal import Lifted, conditions, flat, lift, lifted, normal
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route

EVERY = PathMatch(prefix="/")
HOSTS = st.sampled_from(["a.io", "b.io", "*.a.io", Template("{{ h }}")])
PATHS = st.sampled_from([{"prefix": "/"}, {"prefix": "/a"}, {"exact": "/a"}, {"regex": "a"}]).map(PathMatch.model_validate)
LEAVES = st.one_of(
    HOSTS.map(lambda name: Host(host=name)),
    PATHS.map(lambda path: PathIs(path=path)),
    st.sampled_from(
        [
            HostRegex(host_regex="a"),
            Header.model_validate({"header": {"name": "A", "value": "1"}}),
            Cookie.model_validate({"cookie": {"name": "A", "value": "1"}}),
        ]
    ),
)
MATCHES: st.SearchStrategy[Match] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: AllOf(all=tuple(parts))),
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: AnyOf(any=tuple(parts))),
        inner.map(lambda match: Not.model_construct(none=match)),
    ),
    max_leaves=12,
)
ROUTES = st.builds(
    lambda hosts, path, match: Route(name="r", hosts=tuple(hosts), path=path, match=match, to="s"),
    st.lists(HOSTS, max_size=3),
    st.none() | PATHS,
    st.none() | MATCHES,
)


def plain_conjuncts(match: Match | None) -> tuple[Match, ...]:
    if match is None:
        return ()
    return tuple(inner for part in match.all for inner in plain_conjuncts(part)) if isinstance(match, AllOf) else (match,)


def plain_alternatives(match: Match) -> tuple[Match, ...]:
    return tuple(inner for part in match.any for inner in plain_alternatives(part)) if isinstance(match, AnyOf) else (match,)


def plain_flat(match: Match) -> Match:
    if isinstance(match, AllOf):
        made = both(tuple(dict.fromkeys(inner for part in match.all for inner in plain_conjuncts(plain_flat(part)))))
        assert made is not None
        return made
    if isinstance(match, AnyOf):
        return either(tuple(dict.fromkeys(inner for part in match.any for inner in plain_alternatives(plain_flat(part)))))
    if isinstance(match, Not):
        inner = plain_flat(match.none)
        return inner.none if isinstance(inner, Not) else Not.model_construct(none=inner)
    return match


def plain_lift(match: Match | None) -> Lifted:
    hosts: tuple[str, ...] = ()
    path: PathMatch | None = None
    rest: list[Match] = []
    for part in plain_conjuncts(plain_flat(match)) if match is not None else ():
        choice = plain_alternatives(part)
        if not hosts and all(isinstance(one, Host) for one in choice):
            hosts = tuple(one.host for one in choice if isinstance(one, Host))
        elif isinstance(part, PathIs) and path in (None, EVERY):
            path = part.path
        elif isinstance(part, PathIs) and part.path == EVERY:
            continue
        elif part not in rest:
            rest.append(part)
    return Lifted(hosts, path, both(tuple(rest)))


@settings(max_examples=400, deadline=None)
@given(MATCHES)
def test_a_condition_in_its_one_form(match: Match) -> None:
    assert conjuncts(match) == plain_conjuncts(match)
    assert alternatives(match) == plain_alternatives(match)
    once = flat(match)
    assert once == plain_flat(match)
    assert flat(once) is once
    assert lift(match) == plain_lift(match)


@settings(max_examples=400, deadline=None)
@given(ROUTES)
def test_a_route_in_its_one_form(route: Route) -> None:
    """`lifted` builds no tree of hosts, path and match; it is as if it did."""
    form = plain_lift(both(conditions(route)))
    made = lifted(route)
    assert (made.hosts, made.path, made.match) == form
    assert lifted(made) is made
    assert made == route.model_copy(update={"hosts": form.hosts, "path": form.path, "match": form.match})


def test_a_path_that_every_request_has_keeps_no_other_one_from_its_place() -> None:
    """Found by the laws of `voyager`: it reads a canary by path under a route for `/` as a route for that path."""
    tester = {"cookie": {"name": "canary", "value": "v2"}}
    tree = {
        "pinfeather": "v1",
        "entry_points": {"web": 80},
        "routes": [
            {
                "name": "r",
                "path": {"prefix": "/"},
                "match": tester,
                "canaries": [{"when": {"path": {"prefix": "/a"}}, "to": "s", "binds": False}],
                "to": "s",
            }
        ],
        "services": {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}},
    }
    canary, route = normal(Document.model_validate(tree)).routes
    assert (canary.path, canary.match) == (PathMatch(prefix="/a"), Cookie.model_validate(tester))
    assert (route.path, route.match) == (None, Cookie.model_validate(tester))


@settings(max_examples=400, deadline=None)
@given(ROUTES)
def test_the_path_of_every_request_is_said_nowhere(route: Route) -> None:
    every = PathIs(path=EVERY)
    document = Document.model_construct(pinfeather="v1", routes=(route,), services={})
    more = route.model_copy(update={"match": both((every, *conjuncts(route.match)))})
    (bare,) = normal(document).routes
    assert normal(document.model_copy(update={"routes": (more,)})).routes == (bare,)
    assert every not in conjuncts(bare.match)
    assert bare.path != every.path
    assert normal(document.model_copy(update={"routes": (bare,)})).routes == (bare,)
