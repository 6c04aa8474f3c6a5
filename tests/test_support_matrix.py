"""`docs/support.md`: what each format can say, found out by saying it. `make accept` writes the page again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from pinfeather._convert import write
from pinfeather._plugins import every
from pinfeather.model.features import Feature
from pinfeather.testing.examples import CHANGES, SERVERS, example, plain
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator

PAGE = Path(__file__).parent.parent / "docs" / "support.md"
FORMATS = tuple(name for name in builtin.MODULES if name != "pinfeather")
DEFINED = {Feature.SERVERS_TRANSPORT: Feature.TRANSPORT_DEFINITION, Feature.TLS_OPTIONS: Feature.TLS_OPTIONS_DEFINITION}
"""What names something that the example defines: who cannot say the definition cannot say the name."""
HEAD = """\
# What each format can say

Made by a test that says it: for each feature one small document is written in each format and read back. *yes*: it is the
same. *nearly*: it is the same, and the target behaves a little differently. *no*: the loss is named, and refused unless
allowed. A code in the place of a verdict: something else that the example needs cannot be said. What a format makes of a
feature in every place stands on its own page in [formats](formats/).

"""


@cache
def _server(name: str) -> str:
    """The kind of server that the format says without a loss."""
    translator = every().translators[name]
    for kind in SERVERS:
        found = write(plain(kind), translator, translator.options())
        if not found.report.errors and not any(each.code.startswith("near.server") for each in found.report.diagnostics):
            return kind
    raise AssertionError(f"{name} reaches no server")


def verdict(translator: AnyTranslator, feature: Feature) -> str:
    """What the format makes of the feature."""
    document = example(feature, _server(translator.name))
    found = write(document, translator, translator.options())
    codes = {str(each.code) for each in found.report.diagnostics}
    assert not any(code.startswith("bug.") for code in codes), f"{translator.name}, {feature}: {found.report.diagnostics}"
    if {f"loss.{feature}", f"carried.{feature}"} & codes:
        return "no"
    others = sorted(code for code in codes if code.startswith("loss."))
    if others:
        return f"`{others[0]}`"
    return "nearly" if f"near.{feature}" in codes else "yes"


def test_every_feature_has_an_example() -> None:
    assert set(CHANGES) == set(Feature)


def test_every_example_uses_its_feature() -> None:
    from pinfeather.model.features import NAMES, places

    for feature in Feature:
        if feature in NAMES:
            continue
        used = {place.row.feature for kind in SERVERS for place in places(example(feature, kind))}
        assert feature in used, feature


@pytest.mark.parametrize("name", FORMATS)
def test_verdicts_agree_with_the_table(name: str) -> None:
    """A feature that the table denies is lost; one that it grants without a condition is not."""
    from pinfeather.model.features import FULL, NAMES, Nothing

    translator = every().translators[name]
    supports = translator.supports(translator.options())
    for feature in Feature:
        said = supports.get(feature, FULL if feature in NAMES else Nothing())
        found = verdict(translator, feature)
        if isinstance(said, Nothing):
            assert found not in ("yes", "nearly"), feature
        elif said == FULL and (feature in NAMES or not isinstance(supports.get(DEFINED.get(feature, feature), Nothing()), Nothing)):
            assert found != "no", feature


def test_the_page_is_what_was_found(request: pytest.FixtureRequest) -> None:
    found = every().translators
    lines = [f"| feature | {' | '.join(FORMATS)} |", f"|---|{'---|' * len(FORMATS)}"]
    lines += [f"| `{feature}` | {' | '.join(verdict(found[name], feature) for name in FORMATS)} |" for feature in Feature]
    text = HEAD + "\n".join(lines) + "\n"
    if request.config.getoption("--accept-cases"):
        PAGE.write_text(text, "utf-8")
    assert PAGE.read_text("utf-8") == text, "docs/support.md is not what the formats do: run `make accept`, and read the difference"
