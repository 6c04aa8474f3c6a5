"""`pinfeather import FILE...`: what it writes, what it refuses, and that it writes all or nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pinfeather._files import FileError
from pinfeather.cli import main
from pinfeather.deploy.plan import Plan, objects_of_file
from pinfeather.deploy.settings import settings_of_files
from pinfeather.importing.files import Wanted, write_all
from pinfeather.importing.grouping import Tree, key_of, readable
from pinfeather.importing.stack import objects_text, settings_text
from tests.importing.test_adopted import CORPUS

INGRESSROUTES = CORPUS / "ingressroute"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in an empty folder."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def there(root: Path) -> dict[str, str]:
    return {str(each.relative_to(root)): each.read_text() for each in sorted(root.rglob("*")) if each.is_file()}


def plan_of(root: Path, name: str) -> Plan:
    return Plan.of(name, settings_of_files(root, name), root)


def test_the_stack_that_is_written_can_be_deployed_and_has_what_was_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--stack", "prod", str(INGRESSROUTES / "redirect-and-main.yaml")]) == 0
    said = capsys.readouterr().out
    assert "4 objects adopted, unchanged" in said
    assert set(there(root)) == {"Pulumi.yaml", "stacks/Pulumi.prod.yaml", "stacks/prod/routes.yaml", "stacks/prod/routes.adopted.yaml"}
    trees = [each for each in yaml.safe_load_all((INGRESSROUTES / "redirect-and-main.yaml").read_text()) if each]
    assert sorted(map(json.dumps, plan_of(root, "prod").said.objects)) == sorted(map(json.dumps, trees))


@pytest.mark.parametrize("name", ["weighted", "several-namespaces", "forward-auth", "argocd", "tls-options", "tcp-postgres", "list"])
def test_what_people_have_would_not_change(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--stack", "prod", str(INGRESSROUTES / f"{name}.yaml")]) == 0, capsys.readouterr()
    assert "Nothing would change." in capsys.readouterr().out
    assert plan_of(root, "prod").said.objects


UNREAD = """
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: a, namespace: x}
spec: {routes: [{kind: Rule, match: "Host(`a.example`, `b.example`)", services: [{name: s, port: 80}]}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: b, namespace: x}
spec: {routes: [{kind: Rule, match: Host(`c.example`), services: [{name: s, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: x}
spec: {ports: [{name: w, port: 80}]}
"""


def test_an_object_of_which_no_route_was_read_is_left_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "found.yaml").write_text(UNREAD)
    main(["import", "--stack", "prod", "--allow", "lint.*", "found.yaml"])
    assert "1 route" in capsys.readouterr().out
    assert [each["metadata"]["name"] for each in plan_of(root, "prod").said.objects] == ["b"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize("name", ["adopted.yaml.allow", "x.allow", "document"])
def test_the_document_and_what_goes_beside_it_are_never_one_file(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--stack", "prod", "-o", name, str(INGRESSROUTES / "weighted.yaml")]) == 2
    assert "the document is a .yaml file" in capsys.readouterr().err
    assert not (root / name).exists()


def test_users_that_a_file_holds_are_readable_by_the_owner_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--stack", "prod", str(INGRESSROUTES / "dashboard.yaml")]) == 0
    assert "readable by you alone" in capsys.readouterr().out
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (root / "stacks/prod").iterdir()}
    assert modes == {"routes.yaml": 0o600, "routes.adopted.yaml": 0o600}


def test_from_another_format_everything_is_new_and_losses_are_kept_in_the_allow_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "dynamic.yml").write_text(
        """
http:
  routers: {shop: {rule: "Host(`shop.example.com`)", service: shop}}
  services:
    shop:
      loadBalancer:
        healthCheck: {path: /up, interval: 5s}
        servers: [{url: "http://10.0.0.1:8080"}, {url: "http://10.0.0.2:8080"}]
"""
    )
    assert main(["import", "--stack", "prod", "dynamic.yml"]) == 1
    said = capsys.readouterr().out
    assert "0 objects adopted, unchanged" in said
    assert "IngressRoute shop" in said
    allowed = there(root)["stacks/prod/routes.allow"]
    assert "loss.health_check" in allowed.replace("-", "_")
    assert plan_of(root, "prod").said.losses


def test_a_guard_is_never_given_up_without_being_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "dynamic.yml").write_text(
        """
http:
  routers: {shop: {rule: "Host(`shop.example.com`)", service: shop, middlewares: [users]}}
  services: {shop: {loadBalancer: {servers: [{url: "http://10.0.0.1:8080"}]}}}
  middlewares: {users: {basicAuth: {usersFile: /etc/users}}}
"""
    )
    before = there(root)
    assert main(["import", "--stack", "prod", "dynamic.yml"]) == 2
    said = capsys.readouterr().err
    assert "guards a route" in said
    assert "--allow CODE@PATH" in said
    assert there(root) == before


def test_what_is_there_is_not_written_over(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(INGRESSROUTES / "weighted.yaml")
    assert main(["import", "--stack", "prod", source]) == 0
    before = there(root)
    assert main(["import", "--stack", "prod", str(INGRESSROUTES / "argocd.yaml")]) == 2
    assert "--force" in capsys.readouterr().err
    assert there(root) == before
    assert main(["import", "--stack", "other", "-o", "stacks/prod/routes.yaml", str(INGRESSROUTES / "argocd.yaml")]) == 4
    assert "is there already" in capsys.readouterr().err
    assert there(root) == before
    assert main(["import", "--stack", "prod", "--force", str(INGRESSROUTES / "argocd.yaml")]) == 0
    assert "argocd" in there(root)["stacks/prod/routes.yaml"]


def test_an_unknown_option_source_or_stack_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(INGRESSROUTES / "weighted.yaml")
    wrong = [
        ["--stack", "a"],
        ["--stack", "a", "--cluster", source],
        ["--stack", "a", source, "--context", "x"],
        ["--stack", "a", source, "--option", "trafik=3.4"],
        ["--stack", "a", source, "--option", "safe_naming=maybe"],
        ["--stack", "a", source, "--format", "ingresroute"],
        ["--stack", "../a", source],
        ["--stack", "a", source, "--allow", "input.value"],
        ["--stack", "a", str(INGRESSROUTES / "mirroring.yaml")],
    ]
    before = there(root)
    for words in wrong:
        assert main(["import", *words]) == 2, words
        assert "Traceback" not in capsys.readouterr().err
    assert main(["import", "--stack", "a", "missing.yaml"]) == 4
    assert there(root) == before


def test_an_option_of_the_format_goes_into_the_settings(root: Path) -> None:
    assert (
        main(["import", "--stack", "prod", str(INGRESSROUTES / "weighted.yaml"), "--option", "traefik=3.4", "--option", "safe-naming=true"])
        == 0
    )
    settings = settings_of_files(root, "prod")
    assert settings.options == {"traefik": "3.4", "safe_naming": True}
    assert plan_of(root, "prod").said.objects


# The files -------------------------------------------------------------------------------------------------------------


def test_all_files_or_none(tmp_path: Path) -> None:
    old, blocked = tmp_path / "old", tmp_path / "file"
    old.write_text("as it was")
    blocked.write_text("a file, and no folder")
    wanted = [Wanted(tmp_path / "new/deep/a", b"1"), Wanted(old, b"2", mine=True), Wanted(blocked / "x/b", b"3")]
    with pytest.raises(FileError):
        write_all(wanted, force=False)
    assert old.read_text() == "as it was"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "old"]
    write_all(wanted[:2], force=False)
    assert old.read_text() == "2"
    assert (tmp_path / "new/deep/a").read_text() == "1"


INITIAL = """\
# made by `pulumi stack init`
encryptionsalt: v1:abc:v1:def # keep
config:
  # where
  kubernetes:context: prod
"""


def test_the_settings_of_a_stack_that_is_there_keep_what_they_have() -> None:
    text = settings_text({"document": "a.yaml", "options": {"safe_naming": True}}, INITIAL, "x", force=False)
    assert all(line in text for line in INITIAL.splitlines())
    assert yaml.safe_load(text) == {
        "encryptionsalt": "v1:abc:v1:def",
        "config": {"kubernetes:context": "prod", "pinfeather:document": "a.yaml", "pinfeather:options": {"safe_naming": True}},
    }
    again = settings_text({"document": "b.yaml"}, text, "x", force=True)
    assert yaml.safe_load(again)["config"] == {"kubernetes:context": "prod", "pinfeather:document": "b.yaml"}
    assert yaml.safe_load(again)["encryptionsalt"] == "v1:abc:v1:def"
    bare = settings_text({"document": "b.yaml"}, "encryptionsalt: x # note", "x", force=False)
    assert "# note" in bare
    assert yaml.safe_load(bare) == {"encryptionsalt": "x", "config": {"pinfeather:document": "b.yaml"}}
    assert yaml.safe_load(settings_text({"document": "b"}, "config: {a: b}\n", "x", force=False))["config"] == {
        "a": "b",
        "pinfeather:document": "b",
    }


TEXTS = st.text("ab \n\r\t'\"#:-{}[]&*!|>%@`\\~é\x01\x85\u2028\ufeff😀", max_size=12) | st.sampled_from(
    ["on", "0x1F", "2024-01-01", "1_000", "~", "---\nkind: x", "a: b # c", "1e3", "=", "<<", "...", "null"]
)


@given(st.dictionaries(st.text("abz.-/", min_size=1, max_size=8), TEXTS, max_size=4))
def test_any_annotation_comes_back_from_the_file_of_adopted_objects(
    tmp_path_factory: pytest.TempPathFactory, annotations: dict[str, str]
) -> None:
    tree: Tree = {"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": {"name": "a", "annotations": dict(annotations)}}
    path = tmp_path_factory.getbasetemp() / "adopted.yaml"
    path.write_bytes(objects_text([tree]).encode())
    assert objects_of_file(path) == (tree,)
    assert key_of(readable(tree)).name == "a"
