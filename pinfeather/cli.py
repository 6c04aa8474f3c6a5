"""`pinfeather`: arguments and exit codes, nothing else. Nothing heavy is loaded before a command is known.

Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 our bug, 4 files.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as type checkers know it, without the price of importing typing
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import NoReturn

VERSION = "0.1.0"
BUGS = 3
FILES = 4
LATE = {
    "plan": ("pinfeather.deploy.arguments", "plan_parser", "pinfeather.deploy.plan_command"),
    "render": ("pinfeather.deploy.arguments", "render_parser", "pinfeather.deploy.render"),
    "import": ("pinfeather.importing.arguments", "parser", "pinfeather.importing.command"),
    "rollout": ("pinfeather.rollout.arguments", "parser", "pinfeather.rollout.command"),
}
"""Commands of deploying: where their options are made, by which function, and where their work is done."""
HELP = """\
usage: pinfeather [--help] [--version] COMMAND ...

Routes, canaries and sticky cookies: one model, every proxy's dialect, every loss named at its line.

commands:
  convert    say a document in another format
  lint       find what is wrong in files and folders
  explain    say why a request goes where it goes
  diff       say which requests two documents send elsewhere
  verify     find out whether a running proxy does what a document says
  formats    list the formats, or show what one of them can say
  schema     print the JSON Schema of a document, for editors
  proxy      serve a document with the reference proxy
  plan       say what a change of a stack's files does to users
  render     write a stack's objects as files, for Argo CD, Flux or kubectl
  import     make a document of what runs, so that the first deployment changes nothing
  rollout    raise a canary's weight in steps, and go back when it fails

`pinfeather COMMAND --help` says more of each.
Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 a bug of ours, 4 files.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Raises SystemExit for wrong usage and for --help, as argparse does."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["proxy"]:
        return _proxy(words[1:])
    if not words or words[0] in ("-h", "--help"):
        return _printed(HELP)
    if words[0] == "--version":
        return _printed(f"pinfeather {VERSION}\n")
    from pinfeather._arguments import explain_parser, parsers

    if words[0] == "explain":
        asked = explain_parser().parse_intermixed_args(words[1:])
        return _guarded(lambda: _command(asked))
    if words[0] == "verify":
        from pinfeather.verify.arguments import parser as verify_parser

        questioned = verify_parser().parse_args(words[1:])
        return _guarded(lambda: _command(questioned))
    if words[0] == "diff":
        from pinfeather.diff.arguments import parser as diff_parser

        compared = diff_parser().parse_intermixed_args(words[1:])
        return _guarded(lambda: _command(compared))
    if words[0] in LATE:
        return _guarded(lambda: _late(words[0], words[1:]))
    parser, convert = parsers()
    if words[:1] == ["convert"] and not {"-h", "--help"} & set(words):
        return _guarded(lambda: _convert(parser, convert, words))
    given = parser.parse_args(words)
    return _guarded(lambda: _command(given))


def console() -> NoReturn:
    """The entry point of the console script. What is written is UTF-8, whatever the terminal's locale says."""
    import gc

    gc.disable()  # one bounded run: collecting would cost more than it frees
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    try:
        code = main()
    finally:
        gc.freeze()  # nor when Python ends, which would look at every object once more
    sys.exit(code)


def _printed(text: str) -> int:
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        _mute()
    except OSError as problem:
        _mute()
        return _failed(f"standard output: {(problem.strerror or str(problem)).lower()}", FILES)
    return 0


def _proxy(words: Sequence[str]) -> int:
    import gc

    gc.enable()  # this one runs for months
    try:
        from pinfeather.proxy.__main__ import main as serve
    except ModuleNotFoundError as missing:
        print(f"pinfeather: the reference proxy needs {missing.name}; install pinfeather[proxy]", file=sys.stderr)
        return 2
    return serve(words, prog="pinfeather proxy")


def _convert(parser: argparse.ArgumentParser, convert: argparse.ArgumentParser, words: Sequence[str]) -> int:
    from pinfeather._arguments import format_flags

    flags = format_flags(convert, words)
    given = parser.parse_args(words)
    from pinfeather import _convert_command

    return _convert_command.convert(given, {name: getattr(given, name) for name in flags if hasattr(given, name)})


def _late(name: str, words: Sequence[str]) -> int:
    from importlib import import_module

    arguments, parser, command = LATE[name]
    given = getattr(import_module(arguments), parser)().parse_args(words)
    code: int = import_module(command).run(given)
    return code


def _command(given: argparse.Namespace) -> int:
    from pinfeather import _commands

    return _commands.COMMANDS[given.command](given)


def _guarded(command: Callable[[], int]) -> int:
    """Runs a command. Whatever goes wrong is one line, and an exit code that says whose fault it is."""
    from pinfeather._files import FileError
    from pinfeather._sources import UsageError

    try:
        if sys.stdout is None:
            raise OSError("it is closed")
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
    try:
        print(f"pinfeather: {message}", file=sys.stderr)
    except OSError:
        pass  # where even this cannot be said, the exit code says it
    return code


def _mute() -> None:
    """Leaves Python nothing to complain of when it closes standard output."""
    if sys.stdout is not None:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError:
            pass  # it is closed already
