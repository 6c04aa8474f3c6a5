"""`ConfigFile` as plain Python: what is ours is kept right, and what is not is never touched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pinfeather._files import FileError
from pinfeather.deploy.config_file import ConfigFileInputs, ConfigFileOutputs, ConfigFileResource
from pinfeather.deploy.contract import Change, Difference, RefusedError, Severity, Step, Stored

URN = "urn:pulumi:dev::shop::pinfeather:index:Routes$pinfeather:index:ConfigFile::shop-a.yaml"
RESOURCE = ConfigFileResource()


@dataclass
class Run:
    """One resource of one stack, with what it said."""

    urn: str = URN
    said: list[tuple[Severity, str]] = field(default_factory=list)

    def step(self, preview: bool = False) -> Step:
        return Step(self.urn, preview, lambda severity, message: self.said.append((severity, message)))

    def create(self, new: ConfigFileInputs, preview: bool = False) -> Stored[ConfigFileInputs, ConfigFileOutputs]:
        return Stored(new, RESOURCE.create(self.step(preview), new))

    def warned(self) -> list[str]:
        return [message for severity, message in self.said if severity is Severity.WARNING]


def asked(path: Path, content: str = "http: {}\n", **more: object) -> ConfigFileInputs:
    # By way of JSON, as the plugin does: only there does a strict model take a string for an enumeration.
    return ConfigFileInputs.model_validate_json(json.dumps({"path": str(path), "content": content, **more}))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything below a folder: bytes, inode and time of change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_create_writes_a_mark_and_the_content(tmp_path: Path) -> None:
    made = Run().create(asked(tmp_path / "a.yaml"))
    data = (tmp_path / "a.yaml").read_bytes()
    mark, _, content = data.partition(b"\n")
    assert mark.startswith(b"# Written by Pinfeather for urn:pulumi:dev::shop::")
    assert hashlib.sha256(b"http: {}\n").hexdigest().encode() in mark
    assert content == b"http: {}\n"
    assert made.outputs.sha256 == hashlib.sha256(data).hexdigest()
    assert RESOURCE.identity(made.inputs) == str(tmp_path / "a.yaml")
    assert str(tmp_path).encode() not in data


def test_the_mark_holds_no_template_action(tmp_path: Path) -> None:
    """A watching Traefik runs `{{` even in a comment."""
    run = Run("urn:pulumi:dev::shop::pinfeather:index:ConfigFile::{{ env `SECRET` }}\n- é")
    made = run.create(asked(tmp_path / "a.yaml"))
    mark = (tmp_path / "a.yaml").read_bytes().partition(b"\n")[0]
    assert b"{" not in mark
    assert RESOURCE.read(run.step(), made) == made.outputs
    assert not RESOURCE.diff(run.step(), made, made.inputs).changes


def test_a_preview_touches_nothing(tmp_path: Path) -> None:
    run = Run()
    run.create(asked(tmp_path / "deep" / "a.yaml"), preview=True)
    assert list(tmp_path.iterdir()) == []
    made = run.create(asked(tmp_path / "a.yaml"))
    before = snapshot(tmp_path)
    RESOURCE.update(run.step(preview=True), made, asked(tmp_path / "a.yaml", "new"))
    RESOURCE.diff(run.step(preview=True), made, asked(tmp_path / "a.yaml", "new"))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_create_adopts_what_a_killed_run_wrote(tmp_path: Path, name: str) -> None:
    run = Run()
    first = run.create(asked(tmp_path / name))
    before = snapshot(tmp_path)
    assert run.create(asked(tmp_path / name)).outputs == first.outputs
    assert snapshot(tmp_path) == before
    assert run.said == []


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
@pytest.mark.parametrize("theirs", [b"http: {}\n", b"", b"# Written by hand\n", b"\xff\xfe\n" * 9000])
def test_a_file_that_is_not_ours_is_never_touched(tmp_path: Path, name: str, theirs: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(theirs)
    before = snapshot(tmp_path)
    for preview in (True, False):
        with pytest.raises(RefusedError) as refused:
            Run().create(asked(path), preview)
        assert str(refused.value) == (
            f"{path} was not written by Pinfeather, so it is not touched: move it away, or give this resource another path."
        )
    assert snapshot(tmp_path) == before


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(RefusedError, match="is a folder, so it is not touched"):
        Run().create(asked(tmp_path / "a.yaml"))


def test_a_path_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="a part of its path is a file and not a folder"):
        Run().create(asked(tmp_path / "file" / "a.yaml"))


def test_two_stacks_do_not_share_a_file(tmp_path: Path) -> None:
    Run().create(asked(tmp_path / "a.yaml"))
    before = snapshot(tmp_path)
    other = Run(URN.replace(":dev:", ":prod:"))
    with pytest.raises(RefusedError, match="belongs to urn:pulumi:dev::shop::"):
        other.create(asked(tmp_path / "a.yaml"))
    assert snapshot(tmp_path) == before


def test_a_renamed_resource_takes_its_file_along(tmp_path: Path) -> None:
    """Renamed by an alias: the state goes along. Without one: created under its new name, then the old one is deleted."""
    old, new = Run(), Run(URN + "-renamed")
    made = old.create(asked(tmp_path / "a.yaml"))
    difference = RESOURCE.diff(new.step(), made, made.inputs)
    assert difference.changes == {"sha256": Change.UPDATE}
    after = RESOURCE.update(new.step(), made, made.inputs)
    assert after.owner.endswith("-renamed")

    third = Run(URN + "-third")
    taken = third.create(made.inputs)
    RESOURCE.delete(new.step(), Stored(made.inputs, after))
    assert "belongs to" in new.warned()[0]
    assert RESOURCE.read(third.step(), taken) == taken.outputs
    with pytest.raises(RefusedError, match="belongs to"):
        Run(URN + "-fourth").create(asked(tmp_path / "a.yaml", "something else"))


@pytest.mark.parametrize("name", ["a.yaml", "a.toml", "a.json"])
def test_a_new_content_is_an_update_in_place(tmp_path: Path, name: str) -> None:
    run = Run()
    made = run.create(asked(tmp_path / name, "a"))
    new = asked(tmp_path / name, "b")
    assert RESOURCE.diff(run.step(), made, made.inputs) == Difference({})
    difference = RESOURCE.diff(run.step(), made, new)
    assert difference.changes["content"] is Change.UPDATE
    assert not difference.replaces
    after = Stored(new, RESOURCE.update(run.step(), made, new))
    assert (tmp_path / name).read_bytes().endswith(b"b")
    assert not RESOURCE.diff(run.step(), after, new).changes
    assert run.said == []


def test_a_new_path_is_written_before_the_old_one_goes(tmp_path: Path) -> None:
    made = Run().create(asked(tmp_path / "a.yaml"))
    difference = RESOURCE.diff(Run().step(), made, asked(tmp_path / "b.yaml"))
    assert difference == Difference({"path": Change.UPDATE}, frozenset({"path"}), delete_before_replace=False)


def test_a_new_mark_replaces_the_file(tmp_path: Path) -> None:
    made = Run().create(asked(tmp_path / "a.yaml"))
    difference = RESOURCE.diff(Run().step(), made, asked(tmp_path / "a.yaml", mark="sidecar"))
    assert difference == Difference({"mark": Change.ADD}, frozenset({"mark"}), delete_before_replace=True)


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
@pytest.mark.parametrize("refreshed", [True, False])
def test_an_edit_by_hand_is_put_right_and_said(tmp_path: Path, name: str, refreshed: bool) -> None:
    run, path = Run(), tmp_path / name
    made = run.create(asked(path))
    written = path.read_bytes()
    path.write_bytes(written + b"more: 1\n")
    known = made
    if refreshed:
        found = RESOURCE.read(run.step(), made)
        assert found is not None
        assert found.edited
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert RESOURCE.read(run.step(), Stored(made.inputs, found)) == found
        known = Stored(made.inputs, found)
        run.said.clear()
    assert RESOURCE.diff(run.step(), known, made.inputs).changes == {"sha256": Change.UPDATE}
    assert run.warned() == [f"{path} was edited by hand; `up` puts it right."]
    after = RESOURCE.update(run.step(), known, made.inputs)
    assert run.warned()[-1] == f"{path} was edited by hand; `up` puts it right."
    assert path.read_bytes() == written
    assert after == made.outputs


def test_an_edit_by_hand_without_state_is_put_right_and_said(tmp_path: Path) -> None:
    run, path = Run(), tmp_path / "a.yaml"
    run.create(asked(path))
    written = path.read_bytes()
    path.write_bytes(written + b"more: 1\n")
    run.create(asked(path))
    assert path.read_bytes() == written
    assert run.warned() == [f"{path} was edited by hand; `up` puts it right."]


def test_a_file_that_is_gone_is_written_again(tmp_path: Path) -> None:
    run, path = Run(), tmp_path / "a.yaml"
    made = run.create(asked(path))
    path.unlink()
    assert RESOURCE.read(run.step(), made) is None
    assert RESOURCE.diff(run.step(), made, made.inputs).changes == {"sha256": Change.UPDATE}
    assert RESOURCE.update(run.step(), made, made.inputs) == made.outputs
    assert path.exists()
    assert run.said == [(Severity.INFO, f"{path} was gone; it is written again.")]


def test_a_file_that_somebody_took_over_stays_theirs(tmp_path: Path) -> None:
    run, path = Run(), tmp_path / "a.yaml"
    made = run.create(asked(path))
    path.write_bytes(b"theirs: 1\n")
    before = snapshot(tmp_path)
    assert RESOURCE.diff(run.step(), made, made.inputs).changes == {"sha256": Change.UPDATE}
    for preview in (True, False):
        with pytest.raises(RefusedError, match="was not written by Pinfeather, so it is not touched"):
            RESOURCE.update(run.step(preview), made, made.inputs)
    assert RESOURCE.read(run.step(), made) is None
    RESOURCE.delete(run.step(), made)
    assert "so it stays" in run.warned()[-1]
    assert snapshot(tmp_path) == before


def test_killed_between_the_mark_and_the_file_is_no_edit_by_hand(tmp_path: Path) -> None:
    run, path = Run(), tmp_path / "a.json"
    made = run.create(asked(path, "a"))
    old = path.read_bytes()
    new = asked(path, "b")
    RESOURCE.update(run.step(), made, new)
    path.write_bytes(old)  # as if the run had been killed before the second write
    assert RESOURCE.read(run.step(), made) == made.outputs
    RESOURCE.update(run.step(), made, new)
    assert path.read_bytes() == b"b"
    assert run.said == []


def test_the_permissions_are_kept_right(tmp_path: Path) -> None:
    run, path = Run(), tmp_path / "a.yaml"
    made = run.create(asked(path, mode=0o600))
    path.chmod(0o644)
    assert RESOURCE.diff(run.step(), made, made.inputs).changes == {"mode": Change.UPDATE}
    RESOURCE.update(run.step(), made, made.inputs)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_delete_takes_away_what_we_made_and_nothing_else(tmp_path: Path, name: str) -> None:
    run = Run()
    one, two = (run.create(asked(tmp_path / "x" / "y" / each)) for each in (name, f"b-{name}"))
    RESOURCE.delete(run.step(), one)
    assert (tmp_path / "x" / "y" / f"b-{name}").exists()
    RESOURCE.delete(run.step(), two)
    assert list(tmp_path.iterdir()) == []
    RESOURCE.delete(run.step(), two)  # already gone is success
    assert run.said == []


def test_delete_leaves_a_folder_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "watched").mkdir()
    made = Run().create(asked(tmp_path / "watched" / "a.yaml"))
    RESOURCE.delete(Run().step(), made)
    assert (tmp_path / "watched").is_dir()
    made = Run().create(asked(tmp_path / "ours" / "a.yaml"))
    (tmp_path / "ours" / "theirs.yaml").write_bytes(b"")
    RESOURCE.delete(Run().step(), made)
    assert (tmp_path / "ours" / "theirs.yaml").exists()


@pytest.mark.parametrize("refreshed", [True, False])
def test_delete_leaves_an_edited_file_and_says_so(tmp_path: Path, refreshed: bool) -> None:
    run, path = Run(), tmp_path / "a.yaml"
    made = run.create(asked(path))
    path.write_bytes(path.read_bytes() + b"more: 1\n")
    if refreshed:
        found = RESOURCE.read(run.step(), made)
        assert found is not None
        made = Stored(made.inputs, found)
    RESOURCE.delete(run.step(), made)
    assert path.exists()
    assert run.warned()[-1] == f"{path} was edited by hand, so it stays; remove it yourself."


@pytest.mark.parametrize("path", ["a.yaml", "/a/../b.yaml", "/a/", "/a//b", "/a/\0b"])
def test_check_wants_one_absolute_path(path: str) -> None:
    (failure,) = RESOURCE.check(ConfigFileInputs(path=path, content=""))
    assert failure.name == "path"


def test_check_takes_a_good_path() -> None:
    assert not RESOURCE.check(ConfigFileInputs(path="/etc/traefik/dynamic/shop.yaml", content=""))
