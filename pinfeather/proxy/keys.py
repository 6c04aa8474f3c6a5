"""The file with the keys of the cookies' values: one key a line, the first signs, all are accepted.

To change the key, put a new line before the old one; take the old one out when its cookies have run out. Nothing is started
again for it: the file is read anew at each reload, and when it changes.
"""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from pinfeather.proxy.loading import Unreadable

_KEY_BYTES = 32
_SHORTEST = 16  # bytes
_MOST = 16  # keys; each makes one more value for every server


@dataclass(frozen=True, slots=True)
class Keys:
    """`values`: the one that signs, then those that are accepted too. `notes` are for people."""

    values: tuple[bytes, ...]
    notes: tuple[str, ...] = ()


def fresh_key() -> bytes:
    """A key that nobody has."""
    return secrets.token_hex(_KEY_BYTES).encode()


def read_keys(path: Path) -> Keys:
    """The keys in a file, made with one fresh key and mode 0600 if it is not there.

    Raises OSError; Unreadable where there is no key, one is too short, or there are too many.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(descriptor, "wb") as file:
        key = fresh_key()
        file.write(key + b"\n")
    return Keys((key,))


def _read(path: Path) -> Keys:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        lines = [line.strip() for line in file.read(1 << 20).split(b"\n")]
    found = {number: line for number, line in enumerate(lines, 1) if line}
    if not found:
        raise Unreadable(f"{path}: it holds no key; a key has at least {_SHORTEST} bytes; remove the file, and a new one is made")
    for number, line in found.items():
        if len(line) < _SHORTEST:
            raise Unreadable(f"{path}:{number}: a key has at least {_SHORTEST} bytes; remove the file, and a new one is made")
    if len(found) > _MOST:
        raise Unreadable(f"{path}: {len(found)} keys, at most {_MOST} are taken; remove those whose cookies have run out")
    others = mode & 0o077
    said = f"{path}: others than its owner may use it (mode {mode:04o}), and whoever reads it can make cookies; say chmod 600"
    return Keys(tuple(dict.fromkeys(found.values())), (said,) if others else ())
