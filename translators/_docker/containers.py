"""Containers and their labels, wherever people write them down: compose files, `docker inspect`, `docker run`, plain lines.

What they have in common is here, with the readers of JSON and of lines; `_docker/compose.py` reads compose files, `shell_words.py`
command lines. Every label keeps where it stands, also where several files make one container.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error, info, warning
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.decoding import position
from pinfeather.translators._syntax.labels import VARIABLE, Label
from pinfeather.translators._syntax.paerser import scalar_text
from pinfeather.translators._syntax.shell_words import ShellError, Word, commands
from pinfeather.translators._syntax.tree import Mark, Reading, Spot, Tree, span_of_spot
from pinfeather.translators._syntax.variables import Variables

STRIDE = 1 << 32
"""A mark holds a line: the number of its file is what is above this."""


class Container(NamedTuple):
    """One container, or one compose service with all its replicas."""

    name: str | None
    """What others call it; None: it has no name of its own."""
    title: str
    """What Traefik's default rule is made of, normalised; empty: nobody knows."""
    labels: tuple[Label, ...]
    ports: tuple[int, ...] | None
    """The ports that it exposes; None: that stands in its image."""
    spot: Spot
    passed_over: tuple[Label, ...] = ()
    """Labels where Traefik does not look: `deploy.labels` without swarm, those of the container with it."""


@dataclass
class Yard:
    """What a run reads, and how."""

    variables: Variables
    swarm: bool = False
    project: str = ""
    files: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    containers: list[Container] = field(default_factory=list)
    found: list[Diagnostic] = field(default_factory=list)
    interpolated: list[tuple[Label, tuple[str, ...]]] = field(default_factory=list)

    def mark(self, spot: Spot) -> Mark:
        """The mark of a place: `span` gives its span back."""
        span = span_of_spot(spot)
        above = self.files.index(span.file) * STRIDE
        return span.line - 1 + above, span.column - 1, span.end_line - 1 + above, span.end_column - 1, ()

    def span(self, mark: Mark) -> Span:
        line, column, end_line, end_column, _ = mark
        return Span(self.files[line // STRIDE], line % STRIDE + 1, column + 1, end_line % STRIDE + 1, end_column + 1)

    def say(self, code: Code, message: str, span: Span, instead: str = "") -> None:
        self.found.append(error(code, message, span=span, instead=instead))


@dataclass(frozen=True, eq=False)
class LabelReading(Reading):
    """The labels of a run as one document: each mark knows its file."""

    yard: Yard = field(default_factory=lambda: Yard(Variables({})))

    def span(self, mark: Mark) -> Span:
        return self.yard.span(mark) if mark is not self.mark and mark != self.mark else Span(self.file)


_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")


def normalised(name: str) -> str:
    """A name as Traefik puts it into its default rule: its letters and digits, with `-` for what is between (provider.Normalize)."""
    if name.isascii():
        return "-".join(_ASCII_WORD.findall(name))
    return "-".join("".join(c if c.isalpha() or c.isnumeric() else " " for c in name).split())


def label_of(text: str, spot: Spot, yard: Yard, *, interpolate: bool) -> Label:
    """A label from `key=value`; without `=` its value is empty."""
    filled = filled_text(text, spot, yard) if interpolate and "$" in text else text
    key, _, value = filled.partition("=")
    label = Label(key, value, spot)
    return _noted(label, yard) if VARIABLE[0] in filled else label


def _noted(label: Label, yard: Yard) -> Label:
    if held := yard.variables.held(f"{label.key}={label.value}"):
        yard.interpolated.append((label, held))
    return label


def filled_text(text: str, spot: Spot, yard: Yard) -> str:
    filled, fault = yard.variables.filled(text)
    if fault is not None:
        yard.say(Code.SYNTAX, fault.message, span_of_spot(spot), "write `$$` for one `$`")
    return filled


def keyed_label(key: str, value: Tree, reading: Reading, path: Path, yard: Yard, *, interpolate: bool) -> Label | None:
    """A label from the entry of a mapping that has this path; None where its value is no scalar, which was reported."""
    text = "" if value is None else scalar_text(value)
    spot: Spot = (reading, path, False)
    if text is None:
        said = f"the label {key!r} is a text, not a {'list' if isinstance(value, list) else 'mapping'}"
        yard.say(Code.VALUE, said, span_of_spot(spot))
        return None
    if interpolate:
        text = filled_text(text, spot, yard)
    return _noted(Label(key, text, spot, (reading, path, True)), yard)


# docker inspect --------------------------------------------------------------------------------------------------------


def read_inspect(reading: Reading, yard: Yard) -> None:
    """What `docker inspect` prints: a list of containers. Keys that are about something else are passed over."""
    value = reading.value
    listed = value if isinstance(value, list) else [value]
    for index, tree in enumerate(listed):
        path: tuple[str | int, ...] = (index,) if isinstance(value, list) else ()
        whole = reading.spans.get(path) or Span(reading.file)
        if not isinstance(tree, dict) or not isinstance(tree.get("Config"), dict):
            yard.say(Code.VALUE, "this is no container: it has no `Config`", whole, "give what `docker inspect CONTAINER` prints")
            continue
        state = tree.get("State")
        name = str(tree.get("Name") or "").lstrip("/")
        if isinstance(state, dict) and state.get("Running") is False:
            said = f"the container {name!r} does not run: Traefik passes over it"
            yard.found.append(info(Code.SCOPE, said, span=whole))
            continue
        config = tree["Config"]
        assert isinstance(config, dict)
        given = config.get("Labels")
        given = given if isinstance(given, dict) else {}
        at = (*path, "Config", "Labels")
        labels = [keyed_label(key, text, reading, (*at, key), yard, interpolate=False) for key, text in given.items()]
        kept = tuple(label for label in labels if label is not None)
        service, project = given.get("com.docker.compose.service"), given.get("com.docker.compose.project")
        own = f"{service}-{project}" if isinstance(service, str) and isinstance(project, str) else name
        called = service if isinstance(service, str) else name
        yard.containers.append(Container(called or None, normalised(own), kept, tuple(_exposed(tree, config)), whole))


def _exposed(tree: dict[str, Tree], config: dict[str, Tree]) -> Iterator[int]:
    settings = tree.get("NetworkSettings")
    published = settings.get("Ports") if isinstance(settings, dict) else None
    for ports in (config.get("ExposedPorts"), published):
        for port in ports if isinstance(ports, dict) else ():
            number, _, protocol = port.partition("/")
            if number.isascii() and number.isdigit() and protocol in ("", "tcp"):
                yield int(number[:6])


# Lines -----------------------------------------------------------------------------------------------------------------

_LABEL_LINE = re.compile(r"[^\s=]+(?:=.*)?")


def read_lines(text: str, file: str, yard: Yard) -> None:
    """`key=value`, one a line: the labels of one container without a name."""
    labels: list[Label] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        begin = line.index(bare) + 1
        span = Span(file, number, begin, number, begin + len(bare))
        if not _LABEL_LINE.fullmatch(bare):
            yard.say(Code.SYNTAX, f"{bare[:60]!r} is no label", span, "write key=value, one a line")
            continue
        labels.append(label_of(bare, span, yard, interpolate=False))
    yard.containers.append(Container(None, "", tuple(labels), None, Span(file, 1, 1)))


# docker run ------------------------------------------------------------------------------------------------------------

_RUN = (("docker", "run"), ("docker", "create"), ("docker", "container", "run"), ("docker", "container", "create"))
_SWITCHES = frozenset(
    (
        "detach", "interactive", "tty", "rm", "init", "privileged", "read-only", "publish-all", "no-healthcheck", "oom-kill-disable",
        "sig-proxy", "quiet", "disable-content-trust", "use-api-socket", "help",
    )
)  # fmt: skip
_SHORT = {"l": "label", "p": "publish"}
_SHORT_SWITCHES = "ditPq"
RUN_LINE = re.compile(r"\n[ \t]*(?:sudo[ \t]+)?docker[ \t]+(?:container[ \t]+)?(?:run|create)\b")
"""With the line end before it, which is found sooner than a beginning of a line."""


def read_run(text: str, file: str, yard: Yard) -> None:
    """Command lines of a shell: each `docker run` is a container, everything else is passed over."""
    found = False
    for words in commands(text, yard.variables):
        if isinstance(words, ShellError):
            line, column = position(text, words.offset)
            yard.say(Code.SYNTAX, words.message, Span(file, line, column, line, column + 1), words.instead)
            continue
        given = words[1:] if words and words[0].text == "sudo" else words
        begin = next((len(start) for start in _RUN if tuple(word.text for word in given[: len(start)]) == start), 0)
        if begin:
            found = True
            _run(given[begin:], text, file, yard)
    if not found and not yard.found:
        yard.say(Code.SYNTAX, "there is no `docker run` in it", Span(file, 1, 1), "write one command a line")


def _run(words: list[Word], text: str, file: str, yard: Yard) -> None:
    labels: list[Label] = []
    name: str | None = None
    ports: set[int] = set()
    first: Span | None = None
    for option, value in _options(words):
        span = _word_span(value, text, file)
        first = first or span
        if option == "label":
            key, _, said = value.text.partition("=")
            labels.append(_noted(Label(key, said, span), yard))
        elif option == "name":
            name = yard.variables.by_default(value.text)
        elif option in ("publish", "expose"):
            ports |= set(container_ports(value.text))
        elif option == "label-file":
            said = f"the labels in {value.text!r} are not read"
            yard.found.append(warning(Code.ASSUMED, said, span=span, instead="give them with --label, or the file itself"))
    yard.containers.append(Container(name, normalised(name or ""), tuple(labels), tuple(sorted(ports)) or None, first or Span(file, 1, 1)))


def _options(words: list[Word]) -> Iterator[tuple[str, Word]]:
    """Every option that has a value, up to the image."""
    rest = iter(words)
    for word in rest:
        text = word.text
        if text.startswith("--") and len(text) > 2:
            name, equals, _ = text[2:].partition("=")
            if equals:
                yield name, word.after(len(name) + 3)
            elif name not in _SWITCHES and (value := next(rest, None)) is not None:
                yield name, value
        elif text.startswith("-") and len(text) > 1:
            letters = text[1:].lstrip(_SHORT_SWITCHES)
            if not letters:
                continue
            name = _SHORT.get(letters[0], letters[0])
            if len(letters) > 1:
                yield name, word.after(len(text) - len(letters) + 1 + letters[1:].startswith("="))
            elif (value := next(rest, None)) is not None:
                yield name, value
        else:
            return


def _word_span(word: Word, text: str, file: str) -> Span:
    (line, column), (end_line, end_column) = position(text, word.begin), position(text, word.end)
    return Span(file, line, column, end_line, end_column)


_PORTS = re.compile(r"(?:.*:)?(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")


def container_ports(text: str) -> Iterator[int]:
    """The container's side of `8080:80/tcp`, `80` or `3000-3005`; nothing for what cannot be told, or is no TCP."""
    if (found := _PORTS.fullmatch(text)) is not None and found[3] in (None, "tcp"):
        low, high = int(found[1]), int(found[2] or found[1])
        yield from range(low, min(high, low + 1000) + 1)


# Which kind of file ----------------------------------------------------------------------------------------------------

_FILE_ROOT = re.compile(r"""\n(?:\{\s*)?["']?(?:http|tcp|tls|udp)["']?[ \t]*:""", re.IGNORECASE)
_COMPOSE_ROOT = re.compile(r"""\n(?:\{\s*)?["']?services["']?[ \t]*:""")
_FIRST_LABEL = re.compile(r"[A-Za-z][\w-]*(?:\.[^\s=.]+)+=")


def kind_of(text: str, file: str) -> str:
    """`run`, `lines`, `file` (Traefik's own), `inspect` or `compose`."""
    if file.lower().endswith(".toml"):
        return "file"
    first = _first_line(text)
    in_lines = f"\n{text}"
    compose = _COMPOSE_ROOT.search(in_lines) is not None
    if not compose and RUN_LINE.search(in_lines):
        return "run"
    if _FIRST_LABEL.match(first):
        return "lines"
    if first.startswith(("[", "{")) and '"Config"' in text:
        return "inspect"
    if not compose and _FILE_ROOT.search(in_lines):
        return "file"
    return "compose"


def _first_line(text: str) -> str:
    """The first line that says something, without the blanks around it."""
    size = 1 << 12
    while True:
        lines = text[:size].splitlines()
        if size < len(text):
            lines.pop()  # it may go on
        for line in map(str.strip, lines):
            if line and not line.startswith("#"):
                return line
        if size >= len(text):
            return ""
        size *= 8


def readings_of(text: str, file: str, yard: Yard) -> Iterable[Reading]:
    """The one document of a file of YAML or JSON; what is wrong with it is reported."""
    first, *rest = yaml.read(text, file, yaml.GO_YAML_V3)
    yard.found += first.diagnostics
    for more in rest:
        yard.say(Code.SYNTAX, "a second document: a file of this kind holds one", Span(file, more.first_line, 1), "put it into a file")
    return (first,)
