"""The inputs: files as people have them, changed a little or a lot, and garbage. One number, one input."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args, get_origin

from pinfeather.testing import sheets
from pinfeather.testing.strategies import HOSTILE
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators.contract import AnyTranslator, File, Options, Source

T = TypeVar("T")
TESTS = Path(__file__).parents[1]
_LONGEST = 4_000  # bytes of a base: longer files say nothing more
_ENDINGS = {"yaml": "yaml", "toml": "toml", "json": "json"}
_SUFFIXES = (".yaml", ".yml", ".toml", ".json", ".txt", ".sh", "")
_TOKENS = (
    *(text.encode() for text in HOSTILE),
    b"null", b"~", b"true", b"-1", b"0", b"9" * 30, b"1e309", b"0x7f", b"0o17", b".inf", b".nan", b"12:30:45", b"2001-12-14", b"''", b'""',
    b"{}", b"[]", b"[[[[[[[[", b"{{{{{{{{", b"- - - - -", b"? a\n: b", b"&a", b"*a", b"<<: *a", b"!!binary aGk=", b"!!set {a, b}", b"!x y",
    b"|", b">-", b"%YAML 1.1\n---\n", b"---\n", b"...\n", b"\t", b"\x00", b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80",
    b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"\r\n", b"${X}", b"${X:-d}", b"$$", b"${", b"{{ .Values.x }}", b"{{- if x }}",
    b"{{ end }}", b"Host(`a`)", b"Host(`", b"&& ||", b"!(", b"PathRegexp(`(`)", b"HeaderRegexp(`Cookie`, `a=b`)", b"HostSNI(`*`)",
    b"traefik.http.routers.a.rule=", b"traefik.http.services.a.loadbalancer.server.port=80", b"traefik.enable=true", b"[0]", b"[999999999]",
    b"a.b.c.d.e", b"@file", b"x@", b"@", b"kind: List\nitems:\n", b"kind: Ingress\n", b"apiVersion: v1\n", b"metadata: {name: x}\n", b"$patch: delete\n",
    b"acl a path_beg /", b"use_backend a if b", b"cookie X insert", b"\\", b"\\u0000", b"'", b'"', b"`", b"#", b"%", b"A" * 300,
)  # fmt: skip


class Base(NamedTuple):
    """A file that a reader is made for."""

    name: str
    content: bytes


class Input(NamedTuple):
    """What a reader is given."""

    source: Source
    options: dict[str, object]


@cache
def bases(translator: AnyTranslator) -> tuple[Base, ...]:
    """Every file of the corpus, of the sheets and of the seeds that the reader recognises, and what it writes itself of the sheets."""
    found = [Base(path.name, path.read_bytes()) for path in sorted((TESTS / "corpus").rglob("*")) if path.is_file()]
    for sheet in sheets.load(TESTS / "cases"):
        blocks = [block for form in sheet.formats for block in form.blocks] + [given.block for given in sheet.inputs]
        blocks += [sheet.document] if sheet.document is not None else []
        found += [Base(f"{sheet.name}.{_ENDINGS.get(block.language, 'txt')}", block.text.encode()) for block in blocks]
    for path in sorted((TESTS / "seeds").rglob("*")):
        if path.is_file() and path.suffix in _SUFFIXES:
            found.append(Base(path.name, path.read_bytes()))
    fitting = [each for each in dict.fromkeys(found) if len(each.content) <= _LONGEST]
    own = tuple(
        sorted((each for each in fitting if translator.recognise(File(each.name, each.content))), key=lambda each: len(each.content))
    )
    assert own, f"no file of the corpus looks like {translator.name}"
    return own


@cache
def trees(translator: AnyTranslator) -> tuple[tuple[str, tuple[Tree, ...]], ...]:
    """The same as plain data, where it is YAML or JSON."""
    found = []
    for base in bases(translator):
        if base.name.endswith((".yaml", ".yml", ".json")):
            readings = yaml.read(base.content, base.name, yaml.CORE)
            if not any(reading.broken for reading in readings):
                found.append((base.name, tuple(reading.value for reading in readings)))
    return tuple(found)


@cache
def words(translator: AnyTranslator) -> tuple[bytes, ...]:
    """Keys and values that stand in the bases."""
    found = {word.strip(b"'\"{}[],") for base in bases(translator) for word in base.content.split() if len(word) < 60}
    return tuple(sorted(found - {b""}))


def make(translator: AnyTranslator, seed: int, number: int) -> Input:
    """The input of that number."""
    draw = random.Random(f"{translator.name}/{seed}/{number}")
    count = 2 if draw.random() < 0.05 else 1
    files = []
    for _ in range(count):
        name, content = _MAKERS[draw.choices(range(len(_MAKERS)), _SHARES)[0]](translator, draw)
        files.append(File(name, content))
    return Input(Source(tuple(files)), _options(translator.options, draw))


def _options(options: type[Options], draw: random.Random) -> dict[str, object]:
    """Now and then an option is another than its default."""
    given: dict[str, object] = {}
    for name, info in options.model_fields.items():
        if draw.random() > 0.06:
            continue
        if info.annotation is bool:
            given[name] = draw.random() < 0.5
        elif get_origin(info.annotation) is Literal:
            given[name] = draw.choice(get_args(info.annotation))
    return given


def _small(things: Sequence[T], draw: random.Random) -> T:
    """One of them, an early one rather: they stand by their length, and short ones try as much in less time."""
    return things[min(draw.randrange(len(things)), draw.randrange(len(things)))]


# Makers ----------------------------------------------------------------------------------------------------------------


def _changed_text(translator: AnyTranslator, draw: random.Random) -> tuple[str, bytes]:
    base = _small(bases(translator), draw)
    content = base.content
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        content = draw.choice(_CHANGES)(content, translator, draw)
    name = base.name if draw.random() < 0.95 else f"x{draw.choice(_SUFFIXES)}"
    return name, content


def _changed_tree(translator: AnyTranslator, draw: random.Random) -> tuple[str, bytes]:
    """The structure is changed and the syntax is whole, so that the meaning is what is tried."""
    if not trees(translator):
        return _changed_text(translator, draw)
    name, documents = _small(trees(translator), draw)
    changed = [_mutated(tree, translator, draw, draw.randint(1, 3)) for tree in documents]
    if draw.random() < 0.1:
        changed.append(draw.choice(changed))
    try:
        text = yaml.emit_all(changed) if len(changed) > 1 else yaml.emit(changed[0])
    except ValueError:  # half a character, which YAML cannot say
        return _changed_text(translator, draw)
    return name, text.encode()


def _garbage(translator: AnyTranslator, draw: random.Random) -> tuple[str, bytes]:
    kind = draw.random()
    if kind < 0.3:
        content = draw.randbytes(draw.randint(0, 400))
    elif kind < 0.8:
        content = b"".join(draw.choice(_TOKENS) + draw.choice((b"", b" ", b"\n", b": ", b"\n  ")) for _ in range(draw.randint(0, 60)))
    else:
        content = b" ".join(draw.choice(words(translator)) + draw.choice((b"", b":", b"\n", b"\n  ")) for _ in range(draw.randint(0, 80)))
    return f"x{draw.choice(_SUFFIXES)}", content


def _long(translator: AnyTranslator, draw: random.Random) -> tuple[str, bytes]:
    """Much of the same: what takes more than its share of time shows here."""
    base = draw.choice(bases(translator))
    kind = draw.randrange(4)
    if kind == 0:
        token = draw.choice((*_TOKENS, b"\n", b" ", b"\t", b"#", b"- ", b"a: \n", b"  a: b\n"))
        at = draw.randint(0, len(base.content))
        content = base.content[:at] + token * (_LONG // len(token)) + base.content[at:]
    elif kind == 1:
        lines = base.content.splitlines(keepends=True) or [b"a: b\n"]
        at = draw.randrange(len(lines))
        content = b"".join([*lines[:at], lines[at] * (_LONG // (1 + len(lines[at]))), *lines[at:]])
    elif kind == 2:
        content = b"---\n".join([base.content] * (1 + _LONG // (1 + len(base.content))))
    else:
        word = draw.choice(words(translator))
        content = base.content.replace(word, word * 300, 20)
    return base.name, content


_LONG = 30_000


_MAKERS: tuple[Callable[[AnyTranslator, random.Random], tuple[str, bytes]], ...] = (
    _changed_text,
    _changed_tree,
    _garbage,
    _long,
)
_SHARES = (50, 35, 14, 1)


# Changes of a text -----------------------------------------------------------------------------------------------------

Change = Callable[[bytes, AnyTranslator, random.Random], bytes]


def _cut(content: bytes, draw: random.Random) -> tuple[int, int]:
    begin = draw.randint(0, len(content))
    return begin, min(len(content), begin + draw.choice((0, 1, 1, 2, 5, 20, 200)))


def _replace(content: bytes, translator: AnyTranslator, draw: random.Random) -> bytes:
    begin, end = _cut(content, draw)
    return content[:begin] + draw.choice(_TOKENS) + content[end:]


def _delete(content: bytes, _translator: AnyTranslator, draw: random.Random) -> bytes:
    begin, end = _cut(content, draw)
    return content[:begin] + content[end:]


def _repeat(content: bytes, _translator: AnyTranslator, draw: random.Random) -> bytes:
    begin, end = _cut(content, draw)
    return content[:end] + content[begin:end] * draw.choice((1, 2, 30)) + content[end:]


def _flip(content: bytes, _translator: AnyTranslator, draw: random.Random) -> bytes:
    if not content:
        return content
    at = draw.randrange(len(content))
    return content[:at] + bytes((content[at] ^ (1 << draw.randrange(8)),)) + content[at + 1 :]


def _lines(content: bytes, translator: AnyTranslator, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(5)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[other])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 3:
        lines[at] = draw.choice((b"  ", b" ", b"\t", b"- ")) + lines[at]
    else:
        lines[at] = lines[at][draw.choice((1, 2, 4)) :]
    return b"".join(lines)


def _value(content: bytes, translator: AnyTranslator, draw: random.Random) -> bytes:
    """Another value behind a `:` or a `=`."""
    spots = [at for at, byte in enumerate(content) if byte in b":="]
    if not spots:
        return content
    at = draw.choice(spots) + 1
    end = content.find(b"\n", at)
    word = draw.choice(_TOKENS) if draw.random() < 0.5 else draw.choice(words(translator))
    return content[:at] + b" " + word + content[end if end >= 0 else len(content) :]


def _word(content: bytes, translator: AnyTranslator, draw: random.Random) -> bytes:
    """Every place of a word gets another one."""
    own = content.split()
    return content.replace(draw.choice(own), draw.choice(words(translator))) if own else content


def _splice(content: bytes, translator: AnyTranslator, draw: random.Random) -> bytes:
    other = draw.choice(bases(translator)).content
    return content[: draw.randint(0, len(content))] + other[draw.randint(0, len(other)) :]


_CHANGES: tuple[Change, ...] = (_replace, _delete, _repeat, _flip, _lines, _value, _value, _word, _splice)


# Changes of a tree -----------------------------------------------------------------------------------------------------

_SCALARS: tuple[Tree, ...] = (
    None, True, False, 0, 1, -1, 80, 65536, 10**17, 0.5, "", "x", "80", "true", "10s", "a.b", "a,b", "x@file", "/", "/a", "*", "a.io", "*.a.io",
    "Host(`a.io`)", "PathPrefix(`/`) && !Header(`a`, `b`)", "{{ .Values.x }}", "${X:-d}", "$", "@", "\u202e", "\ud7ff", "\n", [], {}, [[]], {"": None}, {"a": {"b": []}},
)  # fmt: skip


def _mutated(tree: Tree, translator: AnyTranslator, draw: random.Random, times: int) -> Tree:
    for _ in range(times):
        spots = list(_spots(tree, ()))
        tree = _at(tree, draw.choice(spots), translator, draw)
    return tree


def _spots(tree: Tree, path: tuple[str | int, ...]) -> Sequence[tuple[str | int, ...]]:
    found = [path]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found += _spots(value, (*path, key))
    return found


def _at(tree: Tree, path: tuple[str | int, ...], translator: AnyTranslator, draw: random.Random) -> Tree:
    if not path:
        return _other(tree, translator, draw)
    step, rest = path[0], path[1:]
    if isinstance(tree, list) and isinstance(step, int):
        if not rest and draw.random() < 0.3:
            return draw.choice((tree[:step] + tree[step + 1 :], [*tree, tree[step]], tree[::-1]))
        return [_at(value, rest, translator, draw) if at == step else value for at, value in enumerate(tree)]
    assert isinstance(tree, dict)
    if not rest and (kind := draw.random()) < 0.4:
        word = draw.choice(words(translator)).decode("utf-8", "replace") if draw.random() < 0.7 else draw.choice(HOSTILE)
        if kind < 0.15:
            return {key: value for key, value in tree.items() if key != step}
        if kind < 0.3:
            return {(word if key == step else key): value for key, value in tree.items()}
        return {**tree, word: tree[str(step)]}
    return {key: _at(value, rest, translator, draw) if key == step else value for key, value in tree.items()}


def _other(tree: Tree, translator: AnyTranslator, draw: random.Random) -> Tree:
    kind = draw.random()
    if kind < 0.5:
        return draw.choice(_SCALARS)
    if kind < 0.75:
        return draw.choice(words(translator)).decode("utf-8", "replace")
    if kind < 0.85:
        return draw.choice(HOSTILE)
    return [tree] if kind < 0.92 else {"a": tree} if kind < 0.96 else str(tree)
