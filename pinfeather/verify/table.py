"""The table in print: what was asked, expected and seen; what it refers to, what was wrong, and what to try next."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pinfeather._curl import line
from pinfeather._render import plain
from pinfeather.verify.column import Client, Column
from pinfeather.verify.judging import Cell, Row
from pinfeather.verify.questions import Question

WIDTH = 140
MOST_ROWS = 25
"""Rows that hold are shown up to this; what is wrong always is."""
_MOST_FAULTS = 5  # shown of one proxy for one question
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


class Report(NamedTuple):
    """All that is printed."""

    title: str
    started: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[Row]
    clients: Sequence[tuple[Question, Client] | None]
    tester: Question | None
    left: Mapping[str, int]
    said: Sequence[str]
    """About the table as a whole."""
    running: bool
    """Whether the proxies still run, so that there is something to try."""

    @property
    def holds(self) -> bool:
        return all(row.holds for row in self.rows)


def _plain(report: Report) -> Report:
    """With all that came over the network made printable: names, cookies and header fields are whatever a server sends."""

    def cell(one: Cell) -> Cell:
        return Cell(plain(one.text), tuple(map(plain, one.faults)), one.state)

    rows = [
        Row(plain(row.question), plain(row.expected), tuple(map(cell, row.cells)), tuple(map(plain, row.notes)), plain(row.remark))
        for row in report.rows
    ]
    return report._replace(rows=rows, said=[*map(plain, report.said)])


def text(report: Report, *, colours: bool = False, every: bool = False) -> str:
    report = _plain(report)
    rows, hidden = _shown(report.rows, every)
    marks = _marks(rows)
    parts = ["\n".join((report.title, *report.started))]
    parts.append("\n".join(_grid(rows, [column.name for column in report.columns], marks, colours)))
    if hidden:
        parts.append(f"and {hidden} more that hold (--all shows them)")
    if marks:
        parts.append(
            "\n".join(
                f"({number}) {note}" if at == 0 else f"    {note}" for notes, number in marks.items() for at, note in enumerate(notes)
            )
        )
    if remarks := dict.fromkeys(f"{row.question}: {row.remark}" for row in rows if row.remark):
        parts.append("\n".join(wrapped for remark in remarks for wrapped in textwrap.wrap(remark, WIDTH, subsequent_indent="  ")))
    parts.append("\n".join(("Counts: expected (and what chance explains, by an exact binomial bound).", *report.said, *_left(report.left))))
    parts.append("\n".join(_verdict(report)))
    if report.running and (lines := list(_to_try(report))):
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def markdown(report: Report, *, every: bool = False) -> str:
    """For a pull request's comment."""
    report = _plain(report)
    rows, hidden = _shown(report.rows, every)
    marks = _marks(rows)
    names = [column.name for column in report.columns]
    lines = [f"### {report.title}", "", *(f"- {said.strip()}" for said in report.started), ""]
    lines += [_cells(["asked", "expected", *names, ""]), _cells(["---"] * (len(names) + 3))]
    for row in rows:
        cells = [f"`{row.question.strip()}`", _expected(row, marks), *(cell.text for cell in row.cells), row.verdict]
        lines.append(_cells(["↳ " + cells[0] if row.question.startswith(" ") else cells[0], *cells[1:]]))
    lines += ["", *([f"and {hidden} more that hold"] if hidden else [])]
    lines += [f"{number}. `{'; '.join(notes)}`" for notes, number in marks.items()]
    lines += ["", *dict.fromkeys(f"`{row.question}`: {row.remark}" for row in rows if row.remark)]
    lines += ["", *report.said, *_left(report.left), "", *_verdict(report)]
    return "\n".join(lines).rstrip() + "\n"


def as_json(report: Report) -> str:
    tree = {
        "title": report.title,
        "holds": report.holds,
        "proxies": [{"name": column.name, "started": list(column.started)} for column in report.columns],
        "rows": [
            {
                "question": row.question.strip(),
                "expected": row.expected,
                "notes": list(row.notes),
                "remark": row.remark,
                "holds": row.holds,
                "cells": {
                    column.name: {"seen": cell.text, "state": cell.state, "faults": list(cell.faults)}
                    for column, cell in zip(report.columns, row.cells, strict=True)
                },
            }
            for row in report.rows
        ],
        "said": list(report.said),
        "left_out": dict(report.left),
    }
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _shown(rows: Sequence[Row], every: bool) -> tuple[list[Row], int]:
    if every or len(rows) <= MOST_ROWS:
        return list(rows), 0
    kept = [row for at, row in enumerate(rows) if at < MOST_ROWS or not row.holds]
    return kept, len(rows) - len(kept)


def _marks(rows: Sequence[Row]) -> dict[tuple[str, ...], int]:
    """A number for each set of lines that rows refer to."""
    found: dict[tuple[str, ...], int] = {}
    for row in rows:
        if row.notes:
            found.setdefault(row.notes, len(found) + 1)
    return found


def _expected(row: Row, marks: Mapping[tuple[str, ...], int]) -> str:
    return row.expected + (f" ({marks[row.notes]})" if row.notes else "")


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _grid(rows: Sequence[Row], names: Sequence[str], marks: Mapping[tuple[str, ...], int], colours: bool) -> Iterator[str]:
    lines = [["", "expected", *names, ""]]
    lines += [[row.question, _expected(row, marks), *(cell.text for cell in row.cells), row.verdict] for row in rows]
    widths = _widths(lines)
    for index, cells in enumerate(lines):
        indent = "    " if index and rows[index - 1].question.startswith(" ") else "  "
        wrapped = [
            textwrap.wrap(said, width, subsequent_indent=indent if at == 0 and width > 20 else "", break_on_hyphens=False) or [""]
            for at, (said, width) in enumerate(zip(cells, widths, strict=True))
        ]
        if index and rows[index - 1].question.startswith(" "):
            wrapped[0][0] = cells[0][: len(cells[0]) - len(cells[0].lstrip())] + wrapped[0][0].lstrip()
        for number in range(max(map(len, wrapped))):
            texts = [part[number] if number < len(part) else "" for part in wrapped]
            padded = [said.ljust(width) for said, width in zip(texts, widths, strict=True)]
            if colours and texts[-1] and index:
                padded[-1] = f"{_GREEN if rows[index - 1].holds else _RED}{texts[-1]}{_PLAIN}"
            yield "  ".join(padded).rstrip()
        if index == 0:
            yield "  ".join("-" * width for width in widths)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """As wide as the texts; where that is too wide, the widest columns give way."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    return widths


def _left(left: Mapping[str, int]) -> Iterator[str]:
    for why, count in left.items():
        yield f"Not asked: {count} request{'' if count == 1 else 's'}: {why}."


def _verdict(report: Report) -> Iterator[str]:
    faults = list(_faults(report))
    if faults:
        yield "Not as written:"
        yield from faults
        return
    number = len(report.columns)
    who = "It behaves" if number == 1 else "Both proxies behave" if number == 2 else f"All {number} proxies behave"
    held = [cell for row in report.rows for cell in row.cells if cell.state in ("loss", "near")]
    but = ", but for what their formats cannot say" if held else ""
    yield f"{who} as the document says{but}."


def _faults(report: Report) -> Iterator[str]:
    for row in report.rows:
        for column, cell in zip(report.columns, row.cells, strict=True):
            counted = Counter(cell.faults).most_common()
            for fault, count in counted[:_MOST_FAULTS]:
                times = f" ({count} times)" if count > 1 else ""
                said = f"{column.name}, {row.question.strip()}: {fault}{times}"
                yield from textwrap.wrap(said, WIDTH, initial_indent="  ", subsequent_indent="    ")
            if len(counted) > _MOST_FAULTS:
                yield f"    and {len(counted) - _MOST_FAULTS} more"


def _to_try(report: Report) -> Iterator[str]:
    for name, shows, command in curl_lines(report):
        yield from (f"# {name}: {shows}", command)


def curl_lines(report: Report) -> list[tuple[str, str, str]]:
    """Commands to copy: the proxy's name, what the command shows, and the command."""
    found = []
    for column, pair in zip(report.columns, report.clients, strict=True):
        asked = [row.question for row in report.rows if row.holds and row.question.startswith("GET ")]
        if pair is None or not asked:
            continue
        question, client = pair
        found.append((column.name, "anybody", _command(column, question, {})))
        if report.tester is not None:
            found.append((column.name, "a tester", _command(column, report.tester, {})))
        if client.jar:
            found.append((column.name, f"who stays with {client.name}", _command(column, question, client.cookies)))
    return found


def _command(column: Column, question: Question, cookies: Mapping[str, str]) -> str:
    """The line of `_curl`, sent to the proxy's own address; -b passes a Secure cookie over http, too."""
    address = column.address(question.request.entry_point)
    assert address is not None
    said = line(question.request._replace(entry_point="", client="127.0.0.1")).removeprefix("curl")
    words = ["curl", "-i", *(["-k"] if address.tls else []), "--connect-to", f"::{address.host}:{address.port}"]
    jar = ["-b", "; ".join(f"{name}={value}" for name, value in cookies.items())] if cookies else []
    return f"{shlex.join((*words, *jar))}{said}"
