"""The laws over every format that is registered, and the laws themselves over formats that break them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather._plugins import every
from pinfeather.model.build import build
from pinfeather.model.decide import Table, outcomes
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, NONE, Feature
from pinfeather.model.features import NAMES as FEATURE_NAMES
from pinfeather.testing import laws, probes, strategies, traffic
from pinfeather.translators import builtin, canonical
from pinfeather.translators.contract import AnyTranslator, Emitted, Parsed, Source, TextFile

settings.register_profile("laws", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
LAW = settings.get_profile("laws")
NAMES = tuple(every().translators)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[AnyTranslator, Any, Document], None], name: str) -> None:
    translator = every().translators[name]

    @settings(LAW, max_examples=25 if law is laws.purity else 100)
    @given(strategies.documents() | traffic.documents())
    def holds(document: Document) -> None:
        law(translator, translator.options(), document)

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_hostile_texts_stay_texts(name: str) -> None:
    translator = every().translators[name]
    laws.hostile_strings(translator, translator.options(), strategies.HOSTILE)


def test_probes_arrive() -> None:
    """A law over requests that all end at 404 would prove nothing."""
    seen: Counter[str] = Counter()

    @settings(LAW, max_examples=50, derandomize=True)
    @given(traffic.documents())
    def look(document: Document) -> None:
        table = Table.of(document)
        for request, state in probes.probes(document):
            parts = outcomes(table, request, state).parts
            seen["asked"] += 1
            seen["arrived"] += any(part.decision.status == 200 for part in parts)
            seen["canary"] += any(part.decision.canary is not None for part in parts)
            seen["drawn"] += len(parts) > 1
            seen["nowhere"] += any(part.decision.status == 404 for part in parts)
            seen["down"] += any(part.decision.status == 503 for part in parts)
            seen["through"] += any(part.decision.status == 200 and part.decision.middlewares for part in parts)

    look()
    assert seen["arrived"] > seen["asked"] / 2
    assert all(seen[what] > seen["asked"] / 50 for what in ("canary", "drawn", "nowhere", "down", "through")), seen


@pytest.mark.parametrize("law", [laws.honest_loss, laws.never_wider], ids=lambda law: law.__name__)
def test_formats_that_can_say_less(law: Callable[[AnyTranslator, Any, Document], None]) -> None:
    """What `project` takes out, over formats that lack up to three features, whichever they are."""

    @settings(LAW, max_examples=100)
    @given(
        traffic.documents() | strategies.documents(), st.sets(st.sampled_from(sorted(set(Feature) - FEATURE_NAMES)), min_size=1, max_size=3)
    )
    def holds(document: Document, missing: set[Feature]) -> None:
        table = {**dict.fromkeys(Feature, FULL), **dict.fromkeys(missing, NONE)}
        law(replace(GOOD, name="lacking", supports=lambda _options: table), OPTIONS, document)

    holds()


# Formats that break a law, each in one way -------------------------------------------------------------------------------

SHOP = build(
    {
        "pinfeather": "v1",
        "routes": [
            {
                "name": "shop",
                "hosts": ["shop.example.com"],
                "middlewares": ["door"],
                "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2"}],
                "split": [{"to": "v1", "weight": 9}, {"to": "v2", "weight": 1}],
                "sticky": {"cookie": {"name": "variant"}},
            },
            {"name": "open", "path": {"prefix": "/open"}, "to": "v1"},
        ],
        "services": {
            "v1": {"servers": [{"url": "http://10.0.0.1:80"}, {"url": "http://10.0.0.2:80"}], "sticky": {"cookie": {"name": "srv"}}},
            "v2": {"servers": [{"url": "http://10.0.0.3:80"}]},
        },
        "middlewares": {"door": {"basic_auth": {"users": ["a:b"]}}},
    }
)[0]
assert SHOP is not None
GOOD = builtin.load("pinfeather")
OPTIONS = canonical.CanonicalOptions()


def _emitting(change: Callable[[Document], Document]) -> AnyTranslator:
    return replace(GOOD, name="broken", emit=lambda document, options: canonical.emit(change(document), options))


def _reading(change: Callable[[Document], Document]) -> AnyTranslator:
    def parse(source: Source, options: canonical.CanonicalOptions) -> Parsed:
        parsed = canonical.parse(source, options)
        return parsed._replace(document=change(parsed.document) if parsed.document is not None else None)

    return replace(GOOD, name="broken", parse=parse)


def _without_cookie(document: Document) -> Document:
    return document.model_copy(update={"routes": tuple(route.model_copy(update={"sticky": None}) for route in document.routes)})


def _without_door(document: Document) -> Document:
    return document.model_copy(update={"routes": tuple(route.model_copy(update={"middlewares": ()}) for route in document.routes)})


def _without_hosts(document: Document) -> Document:
    return document.model_copy(update={"routes": tuple(route.model_copy(update={"hosts": ()}) for route in document.routes)})


def _unspanned(source: Source, options: canonical.CanonicalOptions) -> Parsed:
    """Reads past every key that it does not know."""
    text = str(source.files[0].text)
    known = "".join(line for line in text.splitlines(keepends=True) if laws.STRAY not in line)
    return canonical.parse(Source((source.files[0]._replace(text=known),)), options)


def _numbered() -> AnyTranslator:
    seen: list[None] = []

    def emit(document: Document, options: canonical.CanonicalOptions) -> Emitted:
        seen.append(None)
        return Emitted((TextFile("x.yaml", f"# {len(seen)}\n{canonical.emit(document, options).files()[0].text}"),))

    return replace(GOOD, name="broken", emit=emit)


def _impure(touch: Callable[[], object]) -> AnyTranslator:
    def emit(document: Document, options: canonical.CanonicalOptions) -> Emitted:
        touch()
        return canonical.emit(document, options)

    return replace(GOOD, name="broken", emit=emit)


def _bare(document: Document, options: canonical.CanonicalOptions) -> Emitted:
    return Emitted((TextFile("x.yaml", canonical.emit(document, options).files()[0].text.replace('"', "")),))


BROKEN = {
    "reads less": (laws.read_back, _reading(_without_cookie), r"does not read back .*routes\.[01]\.sticky is .*variant"),
    "writes less": (laws.read_back, _emitting(_without_cookie), "does not read back"),
    "counts": (laws.second_pass, _numbered(), "in two ways"),
    "drops a cookie": (laws.decisions_kept, _reading(_without_cookie), "does not keep a decision"),
    "opens a door": (laws.never_wider, _reading(_without_door), "lets a request past .*basic_auth"),
    "takes every host": (laws.never_wider, _reading(_without_hosts), "matched no route"),
    "reads past keys": (laws.stray_key, replace(GOOD, name="broken", parse=_unspanned), r"reads past the key 'zz-stray'"),
    "lists a folder": (laws.purity, _impure(lambda: list(Path(os.sep).iterdir())), r"not pure: it used os\.(listdir|scandir)"),
    "opens a file": (laws.purity, _impure(lambda: open(os.devnull).close()), "not pure: it used open"),
    "looks at the clock": (laws.purity, _impure(lambda: time.time()), r"not pure: it used time\.time"),
    "looks at the environment": (laws.purity, _impure(lambda: os.environ.get("HOME")), r"not pure: it used os\.environ"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_format_that_breaks_a_law_is_caught(case: str) -> None:
    law, translator, message = BROKEN[case]
    assert SHOP is not None
    law(GOOD, OPTIONS, SHOP)
    with pytest.raises(AssertionError, match=message):
        law(translator, OPTIONS, SHOP)


def test_a_loss_that_cannot_all_be_taken_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a place were left out of the table of features: the format says it cannot, and nothing is reported."""
    from pinfeather.model import project

    translator = replace(GOOD, name="broken", supports=lambda _options: {**dict.fromkeys(Feature, FULL), Feature.STICKY_VARIANT: NONE})
    assert SHOP is not None
    laws.honest_loss(translator, OPTIONS, SHOP)
    monkeypatch.setattr(project, "_without", lambda document, _cut: document)
    with pytest.raises(AssertionError, match=r"broken reports loss\.sticky\.variant@routes\.0\.sticky; what changed: nothing"):
        laws.honest_loss(translator, OPTIONS, SHOP)


def test_texts_that_change_their_kind_are_caught() -> None:
    with pytest.raises(AssertionError, match=r"cannot read what it wrote|becomes something else|does not read back"):
        laws.hostile_strings(replace(GOOD, name="broken", emit=_bare), OPTIONS, ["true"])
