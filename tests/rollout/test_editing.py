"""Nothing but the scalars of weights is edited, however the document is written; and what cannot be edited is refused."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather._sources import UsageError
from pinfeather.rollout.arguments import parser
from pinfeather.rollout.editing import Subject, edited, find, read, restored, spelt
from pinfeather.rollout.running import shown
from pinfeather.rollout.weights import LARGEST, UnsayableError, percent, share_of, weights_at

ROUTE, SPLIT = Subject("route", "shop"), Subject("split", "variants")
SERVICES = ("v1", "v2", "v3", "v4")
TAIL = "services: {{{}}}\n".format(", ".join(f'{name}: {{servers: [{{url: "http://10.0.0.1:80"}}]}}' for name in SERVICES))


def _block(weights: Sequence[str], comment: str, space: str) -> str:
    entries = "".join(
        f"      # {comment} 10 {{weight: 90}}\n      - to: {name} {space}#{comment}\n        weight: {space}{weight} # weight: 90{comment}\n\n"
        for name, weight in zip(SERVICES, weights, strict=False)
    )
    return f"pinfeather: v1\n# {comment}\nroutes:\n  - name: shop\n    split:\n{entries}    priority: 90\n{TAIL}"


def _flow(weights: Sequence[str], comment: str, space: str) -> str:
    entries = ",".join(f"{space}{{weight: {weight}{space}, 'to': \"{name}\"}}" for name, weight in zip(SERVICES, weights, strict=False))
    return f"pinfeather: v1 # {comment}\nroutes: [{{name: 'shop', hosts: [90.example], split: [{entries}]}}]\n{TAIL}"


def _lines(weights: Sequence[str], comment: str, space: str) -> str:
    entries = "".join(
        f"      {{ to: {name}, # {comment}\n        weight:\n        {space}{weight} }},\n"
        for name, weight in zip(SERVICES, weights, strict=False)
    )
    return f"%YAML 1.2\n---\npinfeather: v1\nroutes:\n- split: [\n{entries}      ]\n  name: shop\n{TAIL}...\n# {comment}\n"


def _json(weights: Sequence[str], comment: str, space: str) -> str:
    entries = ",\n".join(f'{space}{{"to":"{name}","weight":{space}{weight}}}' for name, weight in zip(SERVICES, weights, strict=False))
    held = ",".join(f'"{name}":{{"servers":[{{"url":"http://10.0.0.1:80"}}]}}' for name in SERVICES)
    return f'{{"pinfeather": "v1",\n"routes": [{{"name": "shop", "split": [{entries}]}}], "services": {{{held}}}}}'


def _named(weights: Sequence[str], comment: str, space: str) -> str:
    entries = "".join(f"      - {{to: {name}, weight: {weight}}} # {comment}\n" for name, weight in zip(SERVICES, weights, strict=False))
    return f"pinfeather: v1\nroutes: [{{name: shop, to: variants}}]\n{TAIL.rstrip().replace('services: {', 'services: {variants: VARIANTS, ')}\n".replace(
        "VARIANTS", f"{{split: [{', '.join(line.strip().removeprefix('- ').partition(' #')[0] for line in entries.splitlines())}]}}"
    )


STYLES = {"block": _block, "flow": _flow, "lines": _lines, "json": _json, "named": _named}
SPELLINGS = ("{}", "+{}", "00{}", "0x{:X}", "0o{:o}")
COMMENTS = st.text(st.sampled_from("a 9é語\t💡:'\"{}[]#&*"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), style=st.sampled_from(sorted(STYLES)), end=st.sampled_from(["\n", "\r\n", "\r"]), bom=st.booleans())
def test_only_weights_are_others(data: st.DataObject, style: str, end: str, bom: bool) -> None:
    """The same text with other numbers in its holes is what is expected: to the byte."""
    weights = data.draw(st.lists(st.integers(0, 500), min_size=2, max_size=4).filter(any))
    raised = data.draw(st.integers(0, len(weights) - 1))
    spellings = ["{}"] if style == "json" else SPELLINGS
    spelling = [data.draw(st.sampled_from(spellings)).format(weight) for weight in weights]
    comment, space = data.draw(COMMENTS), data.draw(st.sampled_from(["", " ", "   "]))

    def written(numbers: Sequence[str]) -> bytes:
        text = STYLES[style](numbers, comment, space).replace("\n", end)
        if end == "\r":
            text = text.removeprefix("%YAML 1.2\r---\r")  # the reader takes a directive to go on to the next \n
        return (("\ufeff" if bom else "") + text).encode()

    text = read("shop.yaml", written(spelling))
    subject = SPLIT if style == "named" else ROUTE
    target = find(text, subject, SERVICES[raised])
    assert target.weights == tuple(weights)
    share = Fraction(data.draw(st.integers(1, 100)), 100)
    if sum(weights) == weights[raised]:
        share = Fraction(1)
    wanted = weights_at(target.weights, raised, share)
    numbers = [word if old == new else str(new) for word, old, new in zip(spelling, weights, wanted, strict=True)]
    made = edited(text, target, wanted)
    assert made == written(numbers)
    after = read("shop.yaml", made)
    assert restored(after, find(after, subject, SERVICES[raised]), spelt(text, target)) == text.data


@given(weights=st.lists(st.integers(0, 300), min_size=2, max_size=5), raised=st.integers(0, 4), share=st.integers(1, 1000))
def test_the_others_share_the_rest_as_they_did(weights: list[int], raised: int, share: int) -> None:
    raised %= len(weights)
    wanted = Fraction(share, 1000)
    others = [weight for index, weight in enumerate(weights) if index != raised]
    if not any(others):
        if share != 1000:
            with pytest.raises(UnsayableError, match="the others have no weight"):
                weights_at(weights, raised, wanted)
        return
    found = weights_at(weights, raised, wanted)
    assert share_of(found, raised) == wanted
    rest = [weight for index, weight in enumerate(found) if index != raised]
    if share < 1000:
        assert [Fraction(each, sum(rest)) for each in rest] == [Fraction(each, sum(others)) for each in others]
    else:
        assert not any(rest)


@pytest.mark.parametrize(
    ("weights", "share", "found"),
    [
        ((90, 10), "30", (70, 30)),
        ((9, 1), "30", (7, 3)),
        ((9, 1), "12.5", (7, 1)),
        ((9, 1), "1", (99, 1)),  # of 100, where the sum that they had does not say it
        ((990, 10), "60", (400, 600)),
        ((90, 10), "100", (0, 100)),
        ((1, 1, 0), "0.5", (995, 1000, 5)),
    ],
)
def test_the_smallest_sum_that_says_it(weights: tuple[int, ...], share: str, found: tuple[int, ...]) -> None:
    raised = 2 if len(weights) == 3 else 1
    made = weights_at(weights, raised, Fraction(share) / 100)
    assert share_of(made, raised) == Fraction(share) / 100
    if raised == 1:
        assert made == found
    else:
        assert made == (199, 199, 2)


def test_weights_that_no_document_holds_are_refused() -> None:
    with pytest.raises(UnsayableError, match=f"at 0.1 % that would take the weights .*, and {LARGEST} is the largest"):
        weights_at((5, 15_485_863, 32_452_843), 0, Fraction(1, 1000))


def test_shares_are_said_as_people_say_them() -> None:
    assert [percent(Fraction(*pair)) for pair in ((1, 8), (1, 3), (1, 1))] == ["12.5 %", "33.3333 %", "100 %"]


HEAD = "pinfeather: v1\nroutes:\n  - name: shop\n    split:\n"
AFTER = "pinfeather: v1\nroutes:\n  - name: shop\n    priority: &p 90\n    split:\n"
REFUSED = {
    "an anchor": (HEAD, "      - {to: v1, weight: &w 90}\n      - {to: v2, weight: *w}\n", "5:26: the weight of 'v1' has an anchor"),
    "an alias": (
        AFTER,
        "      - {to: v2, weight: 10}\n      - {to: v1, weight: *p}\n",
        "7:26: the weight of 'v1' stands elsewhere (it is an alias)",
    ),
    "no weight": (
        HEAD,
        "      - {to: v1, weight: 9}\n      - {to: v2}\n",
        "6:9: 'v2' has no weight that could be edited; write `weight: 1` there",
    ),
    "a tag": (HEAD, "      - {to: v1, weight: !!int 90}\n      - {to: v2, weight: 10}\n", "5:26: the weight of 'v1' has a tag"),
    "a template": (
        HEAD,
        "      - {to: v1, weight: {template: '{{ .w }}'}}\n      - {to: v2, weight: 10}\n",
        "5:26: the weight of 'v1' is a template ({{ .w }})",
    ),
    "an entry that is shared": (
        HEAD,
        "      - &e {to: v1, weight: 90}\n      - {to: v2, weight: 10}\n  - {name: other, split: [*e]}\n",
        "an alias names what is edited here",
    ),
    "a split that is shared": (
        HEAD,
        "      &s\n      - {to: v1, weight: 90}\n      - {to: v2, weight: 10}\n  - {name: other, split: *s}\n",
        "an alias names what is edited here",
    ),
}


def _with_seventy_percent(text: str) -> bytes:
    document = read("shop.yaml", text.encode())
    target = find(document, ROUTE, "v2")
    return edited(document, target, weights_at(target.weights, target.raised, Fraction(7, 10)))


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_scalar_of_its_own_is_refused_at_its_place(case: str) -> None:
    head, entries, said = REFUSED[case]
    with pytest.raises(UsageError) as refused:
        _with_seventy_percent(head + entries + TAIL)
    assert said in str(refused.value)


PLAIN = HEAD + "      - {to: v1, weight: 90}\n      - {to: v2, weight: 10}\n  - {name: other, to: variants}\n  - {name: last, to: v1}\n"
PLAIN += "tcp_routes: [{name: tcp, to: t}]\ntcp_services: {t: {servers: [{address: '10.0.0.1:80'}]}}\n"
PLAIN += TAIL.replace("services: {", "services: {variants: {split: [{to: v3, weight: 1}, {to: v4, weight: 1}]}, ")


@pytest.mark.parametrize(
    ("subject", "to", "said"),
    [
        (Subject("route", "shp"), "v2", "shop.yaml: there is no route 'shp'; did you mean 'shop'?"),
        (Subject("route", "zzz"), "v2", "shop.yaml: there is no route 'zzz'; it has shop, other, last"),
        (Subject("route", "tcp"), "t", "shop.yaml: 'tcp' is a TCP route, and verify cannot ask a running proxy for TCP"),
        (
            Subject("route", "other"),
            "v2",
            "shop.yaml:7:23: the route 'other' has no split; the service 'variants' is one: --split variants",
        ),
        (Subject("route", "last"), "v2", "shop.yaml:8:22: the route 'last' has no split; write a `split` for its `to`"),
        (Subject("route", "shop"), "v22", "shop.yaml:5:7: 'v22' is no entry of this split; did you mean 'v2'?"),
        (Subject("route", "shop"), "x", "shop.yaml:5:7: 'x' is no entry of this split; it has v1, v2"),
        (Subject("split", "variant"), "v3", "shop.yaml: there is no split 'variant'; did you mean 'variants'?"),
        (Subject("split", "v1"), "v3", "shop.yaml:11:79: the service 'v1' is no split"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(subject: Subject, to: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        find(read("shop.yaml", PLAIN.encode()), subject, to)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN.replace("to: v1", "to: v9", 1), "shop.yaml has errors, so nothing was done:\nshop.yaml:5:14: error input.reference"),
        ("http: {routers: {}}\n", "shop.yaml: it is no canonical document"),
        (PLAIN + "---\npinfeather: v1\n", "a canonical file holds one document"),
    ],
)
def test_a_document_with_errors_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read("shop.yaml", text.encode())
    assert said in str(refused.value)


def test_steps_go_up_and_are_percentages(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shop.yaml", "--route", "shop", "--to", "v2"]
    assert parser().parse_args([*words, "--steps", "0.5, 10,100"]).steps == (Fraction(1, 200), Fraction(1, 10), Fraction(1))
    for wrong, said in (
        ("10,10", "does not go up"),
        ("30,10", "does not go up"),
        ("0", "is no percentage"),
        ("101", "is no percentage"),
        ("1e1", "is no percentage"),
        ("", "is no percentage"),
        ("١", "is no percentage"),
    ):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([*words, "--steps", wrong])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["verify", "x", "--url", "p:web=http://me:SECRET@127.0.0.1:1"], "verify x --url p:web=http://***@127.0.0.1:1"),
        (["env", "TOKEN=SECRET", "pulumi", "up"], "env TOKEN=*** pulumi up"),
        (["curl", "-u", "me:SECRET", "-H", "Authorization: SECRET"], "curl -u *** -H ***"),
        (["verify", "--user=me:SECRET", "--user", "SECRET"], "verify --user=*** --user ***"),
        (["pulumi", "up", "--stack=prod", "--yes"], "pulumi up --stack=prod --yes"),
    ],
)
def test_a_command_is_shown_without_what_opens_a_door(words: list[str], told: str) -> None:
    assert " ".join(shown(words)) == told
