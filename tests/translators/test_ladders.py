"""Which router is the canary of which: the quick answers are those of the definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinfeather.model.match import AllOf, AnyOf, Header, HeaderMatch, Host, Match, Method, Not, PathIs, PathMatch, both, conjuncts, leaves
from pinfeather.model.normal import lift
from pinfeather.translators._traefik.ladders import further, same_key

_LEAVES = st.sampled_from(
    [
        Host(host="a.io"),
        Host(host="b.io"),
        PathIs(path=PathMatch(prefix="/a")),
        PathIs(path=PathMatch(exact="/a")),
        Method(method="GET"),
        Header(header=HeaderMatch(name="X", value="1")),
        Header(header=HeaderMatch(name="X", regex="1")),
    ]
)
_PARTS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(all=tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(any=tuple(parts))),
        inner.map(lambda part: Not.model_validate({"not": part})),
    ),
    max_leaves=4,
)


def _by_definition(match: Match, base: Match) -> Match | None:
    rest = list(conjuncts(match))
    for part in conjuncts(base):
        if part not in rest:
            return None
        rest.remove(part)
    when = both(tuple(rest))
    if when is None or any(isinstance(leaf, Host | PathIs) for part in rest for leaf in leaves(part)):
        return None
    return when if lift(both((*conjuncts(base), when))) == lift(match) else None


@given(st.lists(_PARTS, min_size=1, max_size=4), st.lists(_PARTS, max_size=3), st.randoms(use_true_random=False))
def test_a_further_condition_is_one_by_definition(own: list[Match], more: list[Match], chance: object) -> None:
    base, parts = both(tuple(own)), [*own, *more]
    assert base is not None
    shuffled = list(parts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for each in (parts, shuffled):
        match = both(tuple(each))
        assert match is not None
        assert further(match, base) == _by_definition(match, base)


@given(_PARTS, _PARTS)
def test_keys_are_the_same_where_conditions_are(one: Match, other: Match) -> None:
    assert (same_key(one) == same_key(other)) is (one == other)
    assert same_key(one) == same_key(one.model_copy(deep=True))
    assert hash(same_key(one)) == hash(same_key(one.model_copy(deep=True)))
