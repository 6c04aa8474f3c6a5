"""Case sheets: one story a Markdown file, a canonical document, what each format writes for it, and who gets where.

    # Title
    The story, in prose. Prose may stand in every section.

    ## Document              the canonical document, one `yaml` block
    ## Findings              what `lint` says of it (may be left out)
    ## traefik-file          what the format writes, one block a file (the name of each of several stands behind its language);
                             the line `Nothing is written.`; or a paragraph that begins with `Not said:`
    ### Losses               what was taken out or will differ a little
    ## Requests              a table: request | outcome
    ## Input (traefik-file)  a text that the format reads, one block; instead of `## Document`, or beside it
    ### Findings             what the reader says, by line and column
    ### Document             what it read (may be left out)

An `Options:` line in a section of a format holds pairs in backquotes: Options: `traefik=2.11`. In an input, a `Bind:` line holds
values for expressions in the same way, `EXPR=value`, and the line `It reads as the document.` claims that it is `## Document`.
Everything but prose, the document, the input and the requests is generated; `--accept-cases` writes it again.

A request is written as for curl, `GET http://shop.example/path?a=b -H 'X-Canary: yes' -b canary=v2`, and then what curl does not know:
`--bound COOKIE=WHAT` (WHAT is a service, or the URL of a server), `--down SERVICE/2` (`pinfeather/_curl.py`). Its entry point is `web`, or
`websecure` for https, where it names none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pinfeather import _curl
from pinfeather.model.decide import Request, State, Status
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer

SAME = "It reads as the document."
NOTHING = "Nothing is written."
"""Stands where a format's blocks would stand, if it has none."""


class SheetError(ValueError):
    """A sheet that cannot be read: file, line and what to do."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")


@dataclass(frozen=True, slots=True)
class Extent:
    """Lines of a sheet, counted from 0, the end exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the lines between the fences and their text, which ends in a newline unless it is empty."""

    language: str
    text: str
    extent: Extent


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of findings, one a line; `None.` stands for no finding."""

    entries: tuple[str, ...]
    extent: Extent


@dataclass(frozen=True, slots=True)
class FormatSection:
    """What a format writes of the document, or why it does not."""

    name: str
    options: Mapping[str, str]
    blocks: tuple[Block, ...]
    not_said: str
    losses: Listing | None
    line: int
    written: Extent
    """Where the blocks stand, or the line that says that there are none; without the prose around."""


@dataclass(frozen=True, slots=True)
class InputSection:
    """What a format reads."""

    name: str
    options: Mapping[str, str]
    block: Block
    findings: Listing
    document: Block | None
    bound: tuple[str, ...] = ()
    """Values for its expressions."""
    same: bool = False
    """Whether it reads as the document of the sheet."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a request, the servers' state, and the outcome as it is written."""

    text: str
    outcome: str
    request: Request
    states: tuple[tuple[Status, str, int | None], ...]
    """Status, service, and which of its servers (from 0; None: all)."""
    line: int

    def state(self, document: Document) -> State:
        """The state of every service that the request speaks of. Raises KeyError for a service without servers."""
        servers: dict[str, list[Status]] = {}
        for status, name, index in self.states:
            service = document.services[name]
            if not isinstance(service, LoadBalancer):
                raise KeyError(name)
            row = servers.setdefault(name, [Status.UP] * len(service.servers))
            for at in range(len(row)) if index is None else (index,):
                row[at] = status
        return State({name: tuple(row) for name, row in servers.items()})


@dataclass(frozen=True, slots=True)
class Sheet:
    path: Path
    title: str
    lines: tuple[str, ...]
    document: Block | None
    findings: Listing | None
    formats: tuple[FormatSection, ...]
    inputs: tuple[InputSection, ...]
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        return self.path.stem


def load(folder: Path) -> tuple[Sheet, ...]:
    """Every sheet of a folder, by name; a README is none. Raises SheetError."""
    return tuple(read(path) for path in sorted(folder.glob("*.md")) if path.stem != "README")


def read(path: Path) -> Sheet:
    """One sheet. Raises SheetError for what is not written as this module says."""
    return _Reader(path, path.read_text("utf-8")).sheet()


# Reading ---------------------------------------------------------------------------------------------------------------

_HEADING = re.compile(r"(#{1,3}) (.+)")
_INPUT = re.compile(r"Input \(([a-z0-9-]+)\)")
_FORMAT = re.compile(r"[a-z][a-z0-9-]*")
_PAIR = re.compile(r"`([a-z_]+)=([^`]*)`")


@dataclass(frozen=True, slots=True)
class _Section:
    level: int
    title: str
    extent: Extent  # without the heading


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = tuple(text.split("\n"))
        self._fenced = self._fences()

    def sheet(self) -> Sheet:
        title, *sections = self._sections()
        if title.level != 1 or not any(self._prose(title.extent)):
            raise SheetError(self.path, 1, "a sheet begins with `# Title` and its story")
        document: Block | None = None
        findings: Listing | None = None
        formats: list[FormatSection] = []
        inputs: list[InputSection] = []
        rows: tuple[Row, ...] = ()
        while sections:
            section = sections.pop(0)
            below = []
            while sections and sections[0].level == 3:
                below.append(sections.pop(0))
            if section.level != 2:
                raise self._wrong(section, f"{section.title!r} stands under no section")
            if section.title == "Document":
                document = self._one_block(section)
            elif section.title == "Findings":
                findings = self._listing(section)
            elif section.title == "Requests":
                rows = tuple(self._rows(section))
            elif named := _INPUT.fullmatch(section.title):
                inputs.append(self._input(named[1], section, below))
                below = []
            elif _FORMAT.fullmatch(section.title):
                formats.append(self._format(section, below))
                below = []
            else:
                raise self._wrong(section, f"a sheet has no section {section.title!r}")
            if below:
                raise self._wrong(below[0], f"{section.title!r} has no part {below[0].title!r}")
        self._fitting(document is not None, formats, inputs)
        return Sheet(self.path, title.title, self.lines, document, findings, tuple(formats), tuple(inputs), rows)

    def _fitting(self, document: bool, formats: Sequence[FormatSection], inputs: Sequence[InputSection]) -> None:
        if not document and not inputs:
            raise SheetError(self.path, 1, "a sheet has a `## Document` or an `## Input (FORMAT)`")
        if formats and not document:
            raise SheetError(self.path, formats[0].line, "there is no `## Document` that the format could write")

    def _fences(self) -> dict[int, int]:
        """The first line of every fenced block (the fence itself) and its last."""
        found: dict[int, int] = {}
        opened: int | None = None
        for number, line in enumerate(self.lines):
            if line.startswith("```") and opened is None:
                opened = number
            elif line == "```" and opened is not None:
                found[opened] = number
                opened = None
        if opened is not None:
            raise SheetError(self.path, opened + 1, "this block is not closed")
        return found

    def _sections(self) -> list[_Section]:
        inside = {number for start, end in self._fenced.items() for number in range(start, end + 1)}
        heads = [
            (number, match)
            for number, line in enumerate(self.lines)
            if number not in inside and (match := _HEADING.fullmatch(line)) is not None
        ]
        if not heads or heads[0][0] != 0:
            raise SheetError(self.path, 1, "a sheet begins with `# Title`")
        ends = [*(number for number, _ in heads[1:]), len(self.lines)]
        return [
            _Section(len(match[1]), match[2].strip(), Extent(number + 1, end)) for (number, match), end in zip(heads, ends, strict=True)
        ]

    def _wrong(self, section: _Section, message: str) -> SheetError:
        return SheetError(self.path, section.extent.start, message)

    def _blocks(self, section: _Section) -> tuple[Block, ...]:
        return tuple(
            Block(self.lines[start][3:].strip(), "".join(f"{line}\n" for line in self.lines[start + 1 : end]), Extent(start + 1, end))
            for start, end in self._fenced.items()
            if section.extent.start <= start < section.extent.end
        )

    def _one_block(self, section: _Section) -> Block:
        blocks = self._blocks(section)
        if len(blocks) != 1:
            raise self._wrong(section, f"{section.title!r} has {len(blocks)} blocks, not one")
        return blocks[0]

    def _prose(self, extent: Extent) -> Iterator[tuple[int, str]]:
        end = -1
        for number in range(extent.start, extent.end):
            end = max(end, self._fenced.get(number, -1))
            if number > end and self.lines[number].strip():
                yield number, self.lines[number]

    def _listing(self, section: _Section) -> Listing:
        """The list, or the line `None.`, at the end of a section."""
        listed = [(number, line) for number, line in self._prose(section.extent) if line.startswith("- ") or line == "None."]
        if not listed:
            raise self._wrong(section, f"{section.title!r} holds a list, or says `None.`")
        start, end = listed[0][0], listed[-1][0] + 1
        if end - start != len(listed):
            raise SheetError(self.path, start + 1, "the list is one piece, one line an entry")
        return Listing(tuple(line for _, line in listed if line != "None."), Extent(start, end))

    def _options(self, section: _Section) -> dict[str, str]:
        for _, line in self._prose(section.extent):
            if line.startswith("Options:"):
                return dict(_PAIR.findall(line))
        return {}

    def _format(self, section: _Section, below: Sequence[_Section]) -> FormatSection:
        losses = None
        for part in below:
            if part.title != "Losses":
                raise self._wrong(part, f"{section.title!r} has no part {part.title!r}")
            losses = self._listing(part)
        blocks = self._blocks(section)
        reasons = [line for _, line in self._prose(section.extent) if line.startswith("Not said:")]
        nothing = [number for number, line in self._prose(section.extent) if line == NOTHING]
        if sum(map(bool, (blocks, reasons, nothing))) != 1 or bool(reasons) == (losses is not None):
            said = f"{section.title!r} has blocks and `### Losses`, or a line that begins with `Not said:`"
            raise self._wrong(section, said)
        start = blocks[0].extent.start - 1 if blocks else nothing[0] if nothing else section.extent.start
        written = Extent(start, blocks[-1].extent.end + 1 if blocks else start + 1)
        reason = reasons[0] if reasons else ""
        return FormatSection(section.title, self._options(section), blocks, reason, losses, section.extent.start, written)

    def _input(self, name: str, section: _Section, below: Sequence[_Section]) -> InputSection:
        findings: Listing | None = None
        document: Block | None = None
        for part in below:
            if part.title == "Findings":
                findings = self._listing(part)
            elif part.title == "Document":
                document = self._one_block(part)
            else:
                raise self._wrong(part, f"an input has no part {part.title!r}")
        if findings is None:
            raise self._wrong(section, "an input has a part `### Findings`")
        bound = tuple(
            pair for _, line in self._prose(section.extent) if line.startswith("Bind:") for pair in re.findall(r"`([^`]*)`", line)
        )
        same = any(line == SAME for _, line in self._prose(section.extent))
        return InputSection(name, self._options(section), self._one_block(section), findings, document, bound, same)

    def _rows(self, section: _Section) -> Iterator[Row]:
        table = [(number, line) for number, line in self._prose(section.extent) if line.startswith("|")]
        if len(table) < 3 or [cell.strip() for cell in cells(table[0][1])] != ["request", "outcome"]:
            raise self._wrong(section, "the requests are a table `| request | outcome |` with at least one row")
        for number, line in table[2:]:
            parts = cells(line)
            text = parts[0].strip()
            if len(parts) != 2 or not (text.startswith("`") and text.endswith("`") and len(text) > 2):
                raise SheetError(self.path, number + 1, "a row is a request in backquotes and an outcome")
            try:
                request, states = request_of(text[1:-1])
            except ValueError as problem:
                raise SheetError(self.path, number + 1, str(problem)) from None
            yield Row(text[1:-1], parts[1].strip(), request, states, number)


def cells(line: str) -> list[str]:
    r"""The cells of a line of a table; `\|` is no border."""
    return [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]


def row_line(text: str, outcome: str) -> str:
    """The line of a table for a request and its outcome."""
    shown = text.replace("|", "\\|"), outcome.replace("|", "\\|")
    return f"| `{shown[0]}` | {shown[1]} |"


def request_of(text: str) -> tuple[Request, tuple[tuple[Status, str, int | None], ...]]:
    """The request that a line says, and the states of servers. Raises ValueError with what is wrong."""
    asked = _curl.parse(text)
    request = asked.request
    if not request.entry_point:
        request = request._replace(entry_point="websecure" if request.tls else "web")
    return request, asked.states
