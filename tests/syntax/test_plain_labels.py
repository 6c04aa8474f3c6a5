"""The short way to read labels gives what the long one gives, or leaves them to it; and places come out the same either way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.diagnostics import Span
from pinfeather.translators import docker_labels
from pinfeather.translators._docker.config import _configured, _whole, configuration, reading_of
from pinfeather.translators._docker.container import Instance
from pinfeather.translators._docker.containers import Container, Yard
from pinfeather.translators._syntax.labels import Label, shaped
from pinfeather.translators._syntax.plain_labels import _plain, tree_of
from pinfeather.translators._syntax.variables import Variables
from pinfeather.translators._traefik.schema import EXTRA, ROOT, Anything, Dropped, Listed, Named, Shape, Struct
from pinfeather.translators.contract import File, Source


def _keys(shape: Shape | None, path: str) -> list[str]:
    """Every kind of key, with two names that are one to Traefik."""
    found = [path]
    if isinstance(shape, Struct):
        found += [key for name, below in shape.fields.items() for key in _keys(below, f"{path}.{name}")]
    elif isinstance(shape, Named):
        found += [key for name in ("a", "A", "b-2") for key in _keys(shape.shape, f"{path}.{name}")]
    elif isinstance(shape, Listed):
        found += [key for index in ("[0]", "[10]") for key in _keys(shape.shape, f"{path}{index}")]
    elif isinstance(shape, Dropped):
        found += _keys(shape.shape, path)
    elif isinstance(shape, Anything):
        found += [f"{path}.x", f"{path}.x.Y"]
    return found


_ALL = _keys(ROOT, "traefik") + _keys(EXTRA["docker"], "traefik")
_USUAL = [key for key in _ALL if key.endswith((".rule", ".service", ".entryPoints", ".priority", ".server.port", ".cookie.secure", ".tls"))]
_ODD = ["", "traefik", "traefik.", "traefik..http", "Traefik.http.routers.a.rule", "traefik.http.routers..rule", "traefik.http.routers.aΣ.rule",
        "traefik.http.routers.[0].rule", "traefik.http.routers.a.rule.x", "traefik.http.routers.a.", "traefik.http.routers.a]b[.rule", "x.y"]  # fmt: skip
_TEXTS = ["", "x", "true", "false", "1", "5s", "a, b", "\ufdd00\ufdd1", "web,\ufdd00\ufdd1"]
_LABELS = st.lists(
    st.tuples(
        st.sampled_from(_USUAL) | st.sampled_from(_ALL) | st.sampled_from(_ODD),
        st.sampled_from([str, str.lower, str.upper]),
        st.sampled_from(_TEXTS),
    ).map(lambda drawn: Label(drawn[0] if drawn[1] is str.upper else drawn[1](drawn[0]), drawn[2])),
    max_size=6,
)


def _default(text: str) -> str:
    return text.replace("\ufdd00\ufdd1", "1")


@settings(max_examples=600)
@given(_LABELS, st.sampled_from([(2, 11), (3, 0), (3, 7)]))
def test_the_short_way_finds_the_same(labels: list[Label], version: tuple[int, int]) -> None:
    for shape in (ROOT, EXTRA["docker"]):
        short = tree_of(labels, "traefik", shape, version, _default)
        assert short == shaped(labels, "traefik", shape, version, _default)
        assert repr(short) == repr(shaped(labels, "traefik", shape, version, _default))  # the order of keys too


def test_each_label_alone_and_beside_another_spelling() -> None:
    """Every key with every kind of text, whole, cut, with a part too many, and with the same in other letters beside it."""
    for shape in (ROOT, EXTRA["docker"]):
        for key in (*_ALL, *_ODD):
            for text in _TEXTS:
                alone = [Label(key, text)]
                assert tree_of(alone, "traefik", shape, (3, 7), _default) == shaped(alone, "traefik", shape, (3, 7), _default), alone
            for other in (key.lower(), key.upper(), f"{key}.", f"{key}.x", key.replace(".", "..", 3), f"{key}.entryPoints"):
                both = [Label(key, "1"), Label(other, "1,\ufdd00\ufdd1")]
                for labels in (both, both[1:]):
                    assert tree_of(labels, "traefik", shape, (3, 7), _default) == shaped(labels, "traefik", shape, (3, 7), _default), labels


def test_usual_labels_take_the_short_way() -> None:
    texts = {
        "traefik.http.routers.Shop.entrypoints": "web,websecure",
        "traefik.http.routers.shop.rule": "Host(`a`)",
        "traefik.http.routers.shop.priority": "3",
        "traefik.http.services.s.loadbalancer.sticky.cookie.secure": "true",
        "traefik.http.services.s.loadbalancer.healthcheck.headers.X-A": "1",
    }
    labels = sorted(Label(key, text) for key, text in texts.items())
    assert _plain(labels, "traefik", ROOT, (3, 7), str) is not None
    for bad in ("traefik.http.routers.shop.rules", "traefik.http.routers.shop", "traefik.http.routers.shop.rule.x"):
        assert _plain(sorted([*labels, Label(bad, "1")]), "traefik", ROOT, (3, 7), str) is None


@settings(max_examples=200)
@given(st.lists(_LABELS, min_size=1, max_size=3))
def test_the_tree_is_the_same_with_places(given_labels: list[list[Label]]) -> None:
    """Places are made by reading again, when somebody asks: what stands there must be what was found without them."""
    yard = Yard(Variables({}), files=["x"])
    for number, labels in enumerate(given_labels):
        placed = tuple(label._replace(spot=Span("x", 10 * number + line, 1, 10 * number + line, 2)) for line, label in enumerate(labels, 1))
        yard.containers.append(Container(f"c{number}", f"c{number}", placed, (80,), Span("x", 10 * number + 9, 1, 10 * number + 9, 2)))
    instance = Instance((3, 7))
    reading = reading_of(configuration(yard, instance), yard, "x")
    assert repr(reading.value) == repr(_whole(_configured(yard, instance, placed=True), yard).tree)

    def fits(value: object, inner: object) -> bool:
        assert isinstance(inner, tuple)
        below = list(inner[4])
        if isinstance(value, dict) and value:
            return len(below) == 2 * len(value) and all(map(fits, value.values(), below[1::2]))
        return not isinstance(value, list) or (len(below) == len(value) and all(map(fits, value, below)))

    assert fits(reading.value, reading.mark)


def test_places_are_those_of_the_labels() -> None:
    text = (
        "services:\n  web:\n    labels:\n      - traefik.http.routers.a.rule=Host(`a`)\n      - traefik.http.routers.a.priority=7\n"
        "      - traefik.http.services.a.loadbalancer.server.port=80\n"
    )
    parsed = docker_labels.parse(Source((File("compose.yml", text),)), docker_labels.DockerLabels())
    assert parsed.diagnostics == ()
    assert parsed.spans["routes", 0].line == 5  # Traefik sorts labels: the first is the priority
    assert parsed.spans["routes", 0, "match"].line == 4
    assert parsed.spans["routes", 0, "priority"].line == 5
    assert parsed.spans["services", "a", "servers", 0, "container", "port"].line == 6
