"""`docs/versions.md`: what was found, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pinfeather.translators._traefik.options import Version
from tests.versions.asking import NEWEST, asked
from tests.versions.found import Column
from tests.versions.keys import KEYS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "versions.md"
HEAD = """\
# What each version of Traefik takes

Made by a test that asks the versions themselves: each got small files with one thing in each, and a label for every key. *yes*: it
loads the file, shows in its API what was written, and answers requests as {newest} does, cookies included. What is not *yes* is a loss that
`--traefik` names, and what is written for a version was loaded by it. Versions marked with `*` were not run: theirs is after their source,
between their neighbours. 2.10 is taken for 2.11, whose rules are written in the v2 syntax.

"""
KEYS_HEAD = """
## Keys of labels

Of {count} keys, those that some version does not know: with one of them a version passes over all labels of the container. In a file it
refuses the whole folder. `url` of a server is known to all, and used since 3.4.

| key | since |
|---|---|
"""


def text(
    found: Mapping[str, Mapping[str, Column]], ran: Sequence[Version], unrun: Sequence[Version], losses: Mapping[Version, set[str]]
) -> str:
    """The page. `losses`: of the versions that were not run, what their tables say."""
    versions = sorted((*ran, *unrun), key=lambda version: tuple(map(int, version.split("."))))
    notes: list[str] = []
    lines = [f"| what | {' | '.join(version + '*' * (version in unrun) for version in versions)} |", f"|---|{'---|' * len(versions)}"]
    columns: dict[str, Column] = {**found["asks"], **{version: dict.fromkeys(losses[version], "no") for version in unrun}}
    same = 0
    for name in asked(NEWEST):
        if not any(name in columns[version] for version in versions):
            same += 1
            continue
        cells = [_cell(columns[version].get(name), notes) for version in versions]
        lines.append(f"| {_what(name)} | {' | '.join(cells)} |")
    legend = "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))
    page = HEAD.format(newest=NEWEST) + "\n".join(lines) + f"\n\nAll versions take the other {same} things that were asked.\n\n{legend}"
    return page + KEYS_HEAD.format(count=len(KEYS)) + "".join(_rows(found["keys"], ran))


def _cell(verdict: str | None, notes: list[str]) -> str:
    """`no` with the number of the note that says why."""
    if verdict is None:
        return "yes"
    if verdict == "no":
        return verdict
    if verdict not in notes:
        notes.append(verdict)
    return f"no ({notes.index(verdict) + 1})"


def _what(name: str) -> str:
    return f"`{name}`"


def _rows(unknown: Mapping[str, Column], ran: Sequence[Version]) -> list[str]:
    """Each key with the first version that knows it; keys of one age and place in one row."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for key in KEYS:
        if lacking := [version for version in ran if key in unknown[version]]:
            since = ran[ran.index(lacking[-1]) + 1] if lacking[-1] != ran[-1] else "never"
            place, _, last = key.removeprefix("traefik.").rpartition(".")
            grouped.setdefault((place, since), []).append(f"`{last}`")
    return [f"| `{place}.` {', '.join(names)} | {since} |\n" for (place, since), names in grouped.items()]
