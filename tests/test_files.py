"""The writer's contract: whole or not at all, nothing left behind, nothing widened, nobody woken for nothing."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pinfeather._files import FileError, remove, sweep_temporaries, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_written_with_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert write_atomic(tmp_path / "a.yaml", b"one\n")
    finally:
        os.umask(old)
    assert (tmp_path / "a.yaml").read_bytes() == b"one\n"
    assert mode_of(tmp_path / "a.yaml") == 0o640
    assert names(tmp_path) == ["a.yaml"]


def test_unchanged_bytes_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    assert write_atomic(path, b"one\n")
    before = path.stat()
    assert not write_atomic(path, b"one\n")
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_the_old_permissions_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.yaml"
    path.write_bytes(b"old")
    path.chmod(mode)
    assert write_atomic(path, b"new")
    assert mode_of(path) == mode


def test_a_mode_is_set_even_when_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write_atomic(path, b"same", mode=0o644)
    assert write_atomic(path, b"same", mode=0o600)
    assert mode_of(path) == 0o600
    assert not write_atomic(path, b"same", mode=0o600)


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.yaml", tmp_path / "link.yaml"
    target.write_bytes(b"old")
    link.symlink_to(target)
    assert write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "real") == ["a.yaml"]


def test_the_order_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test cannot cut the power; that everything is flushed before the rename, and the folder after it, it can see."""
    calls = []
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")

    def watched(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(first: int | Path, *rest: object) -> object:
            kind = "folder" if isinstance(first, int) and stat.S_ISDIR(os.fstat(first).st_mode) else "file"
            calls.append(f"{name} {kind}")
            return real(first, *rest)

        return call

    for name in ("write", "fchmod", "fsync", "replace"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    write_atomic(path, b"new")
    assert calls == ["write file", "fchmod file", "fsync file", "replace file", "fsync folder"]


@pytest.mark.parametrize("where", ["write", "fchmod", "fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "input/output error"),
    ],
)
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int, words: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")

    def broken(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, where, broken)
        with pytest.raises(FileError, match=words) as raised:
            write_atomic(path, b"new")
    assert str(raised.value).startswith(f"{path}: cannot write: ")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.yaml"]


def test_a_real_limit_leaves_the_old_file(tmp_path: Path) -> None:
    """The kernel itself breaks the write in the middle: a file size limit stands for a full disk."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")
    program = (
        "import sys; from pathlib import Path; from pinfeather._files import FileError, write_atomic\n"
        "try: write_atomic(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except FileError as error: print(error); sys.exit(4)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert (done.returncode, done.stderr) == (4, "")
    assert "larger than the limit allows" in done.stdout
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.yaml"]


def test_a_file_that_is_mounted_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", busy)
        with pytest.raises(FileError, match="mount its folder instead"):
            write_atomic(path, b"new")
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda _: True)
        with pytest.raises(FileError, match="mount its folder instead"):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.yaml"]


def test_what_no_file_can_replace(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "folder": "is a folder; name a file in it",
        tmp_path / "pipe": "is a device, a pipe or a socket",
        tmp_path / "circle": "go in a circle",
        tmp_path / "nowhere" / "a.yaml": f"the folder {tmp_path / 'nowhere'} does not exist",
        tmp_path / "file" / "a.yaml": "a part of its path is a file",
        tmp_path / ("n" * 300): "the name is too long",
    }
    for path, words in cases.items():
        with pytest.raises(FileError, match=words) as raised:
            write_atomic(path, b"new")
        assert raised.value.path == path
        assert "\n" not in str(raised.value)


def test_remove(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    assert not remove(path)
    path.write_bytes(b"")
    assert remove(path)
    assert names(tmp_path) == []
    with pytest.raises(FileError, match="cannot remove"):
        remove(tmp_path)


def test_temporaries_of_the_dead_are_swept_and_no_other(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(30)
    kept = [f".a.yaml.{os.getpid()}.0123abcd.tmp", f".b.yaml.{gone.pid}.0123abcd.tmp", ".a.yaml.x.tmp", "a.yaml"]
    for name in [*kept, f".a.yaml.{gone.pid}.0123abcd.tmp"]:
        (tmp_path / name).write_bytes(b"")
    sweep_temporaries(tmp_path / "a.yaml")
    assert names(tmp_path) == sorted(kept)
    sweep_temporaries(tmp_path / "nowhere" / "a.yaml")


def test_no_reader_sees_a_torn_file_and_no_kill_leaves_one(tmp_path: Path) -> None:
    """A writer that changes two long texts for each other is killed at some moment, twenty times."""
    path = tmp_path / "a.yaml"
    texts = {b"a" * 50_000, b"b" * 70_000}
    program = (
        "import sys; from pathlib import Path; from pinfeather._files import write_atomic\n"
        "while True:\n"
        "    write_atomic(Path(sys.argv[1]), b'a' * 50_000); write_atomic(Path(sys.argv[1]), b'b' * 70_000)\n"
        "    print('.', flush=True)\n"
    )
    for round_ in range(20):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(round_ % 5 + 1):
                writer.stdout.readline()
            for _ in range(50 + 17 * round_):
                assert path.read_bytes() in texts
            writer.send_signal(signal.SIGKILL)
        assert path.read_bytes() in texts
    sweep_temporaries(path)
    assert names(tmp_path) == ["a.yaml"]
