"""Go-template actions in the files that Traefik's file provider reads.

Every such file is a template with sprig's functions, comments included (Traefik 3.7, pkg/provider/file/file.go): a bare
`{{` in a value would be executed. Docker labels, CRDs and Ingresses are not templates. Both functions work on the text
of a whole file; neither needs to know YAML or TOML.
"""

from __future__ import annotations

_ACTION = "{{"
_ESCAPED = "{{`{{`}}"


def escape_actions(text: str) -> str:
    """The text with every `{{` written so that the template prints it. For a text that was not escaped yet."""
    return text.replace(_ACTION, _ESCAPED)


def unescape_actions(text: str) -> str:
    """What Traefik reads where `first_action(text)` is None."""
    return text.replace(_ESCAPED, _ACTION)


def first_action(text: str) -> int | None:
    """The offset of the first action that is more than an escaped `{{`, or None."""
    at = text.find(_ACTION)
    while at >= 0:
        if not text.startswith(_ESCAPED, at):
            return at
        at = text.find(_ACTION, at + len(_ESCAPED))
    return None


def has_action(text: str) -> bool:
    """Whether Traefik would execute something in this file."""
    return first_action(text) is not None
