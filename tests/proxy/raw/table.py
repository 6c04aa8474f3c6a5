"""Tables of raw requests: text that people read, and the bytes that it stands for.

A file has a title and rows. A row is a heading, perhaps a remark, blocks, and what each proxy makes of them:

- ```` ```http ````: what the client sends. Each further block of this kind is sent after one more answer has come.
- ```` ```answer ````: what the server answers to its first request, instead of a plain 200; `answer then close` ends the
  connection after it, `answer early` does not wait for the request's body.

In a block, each line ends with CRLF, unless it ends with a backslash: then only with what is written. `\\r \\n \\t \\0 \\xNN \\\\`
are as in Python, `{a*100}` is 100 times `a`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROXIES = ("ours", "Traefik 3.7.15", "HAProxy 2.6")
HEADING = ("| proxy | client sees | server sees |", "|---|---|---|")
LONG = 160
"""Characters of a text that are shown of it."""

_REPEAT = re.compile(r"\{([^{}]+)\*(\d+)\}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([rnt0\\]))")
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_RUN = re.compile(r"([^{}])\1{31,}")


class TableError(Exception):
    """A table that is not written as above; the message begins with file and line."""


@dataclass(frozen=True, eq=False)
class Row:
    """One conversation, and what was seen of it at both ends, by proxy."""

    name: str
    line: int
    """Of the heading, from 1."""
    sent: tuple[bytes, ...]
    answer: bytes | None
    then_close: bool
    early: bool
    seen: Mapping[str, str]
    """The two cells of each proxy, as they are written."""


def load(folder: Path) -> dict[str, tuple[Row, ...]]:
    """The tables of a folder by the name of their file. Raises TableError."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.md")) if path.stem != "README"}


def read(path: Path) -> tuple[Row, ...]:
    """The rows of one table. Raises TableError."""
    lines = path.read_text("utf-8").split("\n")
    starts = [number for number, line in enumerate(lines) if line.startswith("## ")]
    found = tuple(_row(path, lines, start, end) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True))
    names = [row.name for row in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TableError(f"{path}: {twice[0]!r} is there twice")
    return found


def _row(path: Path, lines: list[str], start: int, end: int) -> Row:
    sent: list[bytes] = []
    answer: bytes | None = None
    words: list[str] = []
    block: list[str] | None = None
    seen: dict[str, str] = {}
    for number in range(start + 1, end):
        line = lines[number]
        if block is not None and line != "```":
            block.append(line)
        elif block is not None:
            raw = encoded(block)
            if words[0] == "http":
                sent.append(raw)
            else:
                answer = raw
            block = None
        elif line.startswith("```"):
            kind = line.removeprefix("```").split()
            if kind[:1] not in (["http"], ["answer"]):
                raise TableError(f"{path}:{number + 1}: a block is `http` or `answer`")
            words = kind if kind[0] == "answer" else [*kind, *words[1:]]
            block = []
        elif line.startswith("| ") and line not in HEADING:
            proxy, _, cells = line.removeprefix("| ").partition(" | ")
            seen[proxy] = cells.removesuffix(" |")
    if block is not None or not sent or set(seen) - set(PROXIES):
        raise TableError(f"{path}:{start + 1}: a row has a block of `http`, which is closed, and a table of {', '.join(PROXIES)}")
    return Row(lines[start].removeprefix("## "), start + 1, tuple(sent), answer, "close" in words, "early" in words, seen)


def written(path: Path, seen: Mapping[str, Mapping[str, str]]) -> str:
    """The text of a table with other cells: row's name -> proxy -> cells. A row without its table is given one."""
    lines = path.read_text("utf-8").rstrip("\n").split("\n")
    out: list[str] = []
    for row in (parts := list(_sections(lines))):
        name = row[0].removeprefix("## ")
        if not row[0].startswith("## "):
            out += row
            continue
        kept = [line for line in row if not line.startswith("| ") and line != HEADING[1]]
        while kept[-1] == "":
            kept.pop()
        cells = {**next(each.seen for each in read(path) if each.name == name), **seen.get(name, {})}
        out += [*kept, "", *HEADING, *(f"| {proxy} | {cells[proxy]} |" for proxy in PROXIES if proxy in cells)]
        out += [""] if row is not parts[-1] else []
    return "\n".join(out) + "\n"


def _sections(lines: list[str]) -> Iterator[list[str]]:
    section: list[str] = []
    for line in lines:
        if line.startswith("## "):
            yield section
            section = []
        section.append(line)
    yield section


def encoded(lines: list[str]) -> bytes:
    """The bytes of a block."""
    text = "".join(line[:-1] if _open(line) else f"{line}\\r\\n" for line in lines)
    text = _REPEAT.sub(lambda found: found[1] * int(found[2]), text)
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _PLAIN[found[2]], text).encode("latin-1")


def _open(line: str) -> bool:
    """Whether a line ends with a single backslash: with an odd number of them."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def shown(raw: bytes) -> str:
    """Bytes as they may stand in a cell: one line, printable ASCII, no `|` and no backtick."""
    names = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\0": "\\0", "\\": "\\\\"}
    text = _RUN.sub(lambda run: f"{{{run[1]}*{len(run[0])}}}", raw.decode("latin-1"))
    plain = "".join(names.get(each) or (each if " " <= each <= "~" and each not in "|`" else f"\\x{ord(each):02x}") for each in text)
    return plain if len(plain) <= LONG else f"{plain[:LONG]}… ({len(raw)} bytes)"
