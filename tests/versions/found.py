"""What was found, as `found.json` keeps it: a column for each version that was asked, and nothing where it takes what the newest takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pinfeather.translators._traefik.options import Version
from tests.versions.asking import NEWEST, Found, asked, differs
from tests.versions.keys import KEYS, label_of

PAGE = Path(__file__).with_name("found.json")
TAKES = "takes it"
NO_WORD = "no word for it"
Column = dict[str, str]


def read() -> dict[str, dict[str, Column]]:
    """`asks` and `keys`, by version; empty where nothing was found yet."""
    found: dict[str, dict[str, Column]] = json.loads(PAGE.read_text("utf-8")) if PAGE.exists() else {"asks": {}, "keys": {}}
    return found


def write(found: Mapping[str, Mapping[str, Column]]) -> None:
    PAGE.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def column(version: Version, found: Found, newest: Found) -> Column:
    """What the version makes of each ask that the newest takes, where it is something else."""
    trees, said = asked(version), {}
    for name in asked(NEWEST):
        verdict = NO_WORD if name not in trees else _verdict(version, name, found, newest)
        if verdict != TAKES:
            said[name] = verdict
    return said


def _verdict(version: Version, name: str, found: Found, newest: Found) -> str:
    if name in found.refused:
        return f"refuses the file: {found.refused[name]}"
    shown, wanted = found.shown[name], newest.shown[name]
    if wrong := [each for each in shown.wrong if each not in wanted.wrong]:
        return f"disables it: {wrong[0]}"
    if other := list(differs(asked(version)[name], wanted, shown, rules=version != "2.11")):
        return other[0]
    if shown.answers != wanted.answers:
        at = next(at for at, pair in enumerate(zip(shown.answers, wanted.answers, strict=True)) if pair[0] != pair[1])
        return f"answers {shown.answers[at]!r}, not {wanted.answers[at]!r}"
    return TAKES


def keys(found: Found) -> Column:
    """The keys that the version does not know."""
    return {key: "unknown" for key in KEYS if label_of(key) in found.unknown}
