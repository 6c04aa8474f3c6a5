"""`pinfeather`: arguments and exit codes, nothing else. Nothing heavy is loaded before a command is known.

Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 our bug, 4 files.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

VERSION = "0.1.0"
BUGS = 3
FILES = 4
OWN = frozenset({"--help", "--from", "--to", "--output", "--force", "--allow", "--allow-file", "--report", "--all"})
"""The flags of `convert` itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Raises SystemExit for wrong usage and for --help, as argparse does."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["proxy"]:
        return _proxy(words[1:])
    parser, convert = _parser()
    if words[:1] == ["convert"] and not {"-h", "--help"} & set(words):
        return _guarded(lambda: _convert(parser, convert, words))
    given = parser.parse_args(words)
    if given.command is None:
        parser.print_help()
        return 0
    return _guarded(lambda: _command(given))


def console() -> NoReturn:
    """The entry point of the console script. What is written is UTF-8, whatever the terminal's locale says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    try:
        sys.exit(main())
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:  # the help has nobody to go to
            _mute()


def _parser() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="pinfeather",
        description="Routes, canaries and sticky cookies: one model, every proxy's dialect, every loss named at its line.",
        epilog="Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 a bug of ours, 4 files.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pinfeather {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    convert = commands.add_parser("convert", help="say a document in another format", allow_abbrev=False)
    convert.add_argument("files", nargs="+", metavar="FILE", help="what to read; - is standard input, a folder its configuration files")
    convert.add_argument("--from", dest="source", metavar="FORMAT", help="its format; found by itself where that is clear")
    convert.add_argument("--to", dest="target", metavar="FORMAT", required=True, help="the format to write")
    convert.add_argument("-o", "--output", metavar="FILE", help="where to write; standard output without it")
    convert.add_argument("--force", action="store_true", help="write over a file that is not Pinfeather's")
    convert.add_argument("--allow", action="append", default=[], metavar="CODE[@PATH]", help="allow a loss; may be given again")
    convert.add_argument("--allow-file", metavar="FILE", help="allowed losses, one a line; a refusal prints it ready to keep")
    _reporting(convert)
    convert.epilog = "Further options are those of the two formats: see `pinfeather formats NAME`."

    lint = commands.add_parser("lint", help="find what is wrong in files and folders", allow_abbrev=False)
    lint.add_argument("files", nargs="*", default=["."], metavar="PATH", help="files and folders; the current folder without any")
    _reporting(lint)

    formats = commands.add_parser("formats", help="list the formats, or show what one of them can say", allow_abbrev=False)
    formats.add_argument("name", nargs="?", metavar="NAME")

    commands.add_parser("schema", help="print the JSON Schema of a document, for editors", allow_abbrev=False)

    commands.add_parser("proxy", help="serve a document with the reference proxy", add_help=False)
    return parser, convert


def _format_flags(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[str, ...]:
    """Gives `convert` the options of the two formats as flags: `--name value`, or `--name` for a yes. Returns their names."""
    from pinfeather._plugins import translator
    from pinfeather._sources import UsageError
    from pinfeather.translators import builtin

    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--from", dest="source")
    peek.add_argument("--to", dest="target")
    named, _ = peek.parse_known_args(words)
    formats = [named.target, *([named.source] if named.source else builtin.MODULES)]
    fields = {
        name: field
        for each in formats
        if each is not None and (found := translator(each)[0]) is not None
        for name, field in found.options.model_fields.items()
    }
    for name, field in fields.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in OWN:
            raise UsageError(f"the option {name!r} of one of these formats clashes with {flag}; its authors must rename it")
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            parser.add_argument(flag, default=argparse.SUPPRESS)
    return tuple(fields)


def _reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", choices=("text", "json"), default="text", help="how findings are printed")
    parser.add_argument("--all", action="store_true", help="print every finding, not the worst ten")


def _proxy(words: Sequence[str]) -> int:
    try:
        from pinfeather.proxy.__main__ import main as serve
    except ModuleNotFoundError as missing:
        print(f"pinfeather: the reference proxy needs {missing.name}; install pinfeather[proxy]", file=sys.stderr)
        return 2
    return serve(words, prog="pinfeather proxy")


def _convert(parser: argparse.ArgumentParser, convert: argparse.ArgumentParser, words: Sequence[str]) -> int:
    flags = _format_flags(convert, words)
    given = parser.parse_args(words)
    from pinfeather import _commands

    return _commands.convert(given, {name: getattr(given, name) for name in flags if hasattr(given, name)})


def _command(given: argparse.Namespace) -> int:
    from pinfeather import _commands

    return _commands.COMMANDS[given.command](given)


def _guarded(command: Callable[[], int]) -> int:
    """Runs a command. Whatever goes wrong is one line, and an exit code that says whose fault it is."""
    from pinfeather._files import FileError
    from pinfeather._sources import UsageError

    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        code = command()
        sys.stdout.flush()  # here, where a full disk can still be said, and not when Python ends
    except UsageError as problem:
        return _failed(str(problem), 2)
    except FileError as problem:
        return _failed(str(problem), FILES)
    except BrokenPipeError:
        _mute()
        return 0  # whoever read our output has seen enough
    except OSError as problem:
        _mute()
        return _failed(f"{problem.filename or 'standard output'}: {(problem.strerror or str(problem)).lower()}", FILES)
    except KeyboardInterrupt:
        return 130
    except Exception as problem:  # noqa: BLE001 - the last line of defence: a bug of ours is said, not thrown at the user
        return _failed(f"bug.internal: {type(problem).__name__}: {problem}; please report it, with the input", BUGS)
    return code


def _failed(message: str, code: int) -> int:
    with suppress(OSError):  # where even this cannot be said, the exit code says it
        print(f"pinfeather: {message}", file=sys.stderr)
    return code


def _mute() -> None:
    """Leaves Python nothing to complain of when it closes standard output."""
    if sys.stdout is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
