"""A Kubernetes cluster as this project asks it: objects, lists, the schemas of its CRDs, and what an apply would say.

Nothing here changes the cluster: an apply is always a dry run. What is deployed is applied by Pulumi. The connection is that of
the official client: kubeconfig, contexts, client certificates, tokens and the login programs of the clouds.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote, urlencode

from pydantic import JsonValue

if TYPE_CHECKING:
    from kubernetes.client import Configuration
    from urllib3 import PoolManager

Object = dict[str, JsonValue]
_CONNECT, _ANSWER = 5.0, 30.0  # seconds to connect, and to wait for an answer
_PAGE = 500  # objects a request


class ClusterError(Exception):
    """The cluster cannot be asked, or refuses. The message is one sentence for the user."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Cause(NamedTuple):
    """A field that another field manager holds, and has at another value."""

    manager: str
    field: str


class ConflictError(ClusterError):
    """An apply without force would be refused."""

    def __init__(self, message: str, causes: tuple[Cause, ...]) -> None:
        super().__init__(message, HTTPStatus.CONFLICT)
        self.causes = causes


class Kind(NamedTuple):
    """Where objects of a kind stand in the API."""

    plural: str
    namespaced: bool


class Cluster:
    """One cluster, by a kubeconfig. `Cluster.of` reads it; nothing is asked before it must be."""

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        self._configuration = configuration
        self.called = str(configuration.host)
        """The cluster's address, for messages."""
        self.namespace = namespace
        """The namespace of the context; `default` where it names none."""
        self._kinds: dict[str, dict[str, Kind]] = {}

    @classmethod
    def of(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """The cluster of a kubeconfig (`$KUBECONFIG`, else `~/.kube/config`), and of one of its contexts (else the current one).

        Raises ClusterError where there is none, or where it cannot be read.
        """
        import yaml
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        # The client itself reads $KUBECONFIG once, when it is imported.
        given = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG")
        named = given or "~/.kube/config"
        try:
            configuration = client.Configuration()
            config.load_kube_config(given, context, configuration)  # type: ignore[no-untyped-call]
            read = config.kube_config.KubeConfigMerger(named).config  # type: ignore[no-untyped-call]
            chosen = _context(read.value, context)
        except (ConfigException, yaml.YAMLError, OSError, TypeError, KeyError, ValueError) as problem:
            said = " ".join(str(problem).split())[:200]
            raise ClusterError(f"no cluster: the kubeconfig {named} cannot be used ({said})") from None
        return cls(configuration, str(chosen.get("namespace") or "default"))

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """An object, or None where there is none. Raises ClusterError."""
        return self._found("GET", self.path(api_version, kind, namespace, name))

    def all(self, api_version: str, kind: str, namespace: str | None = None) -> Iterator[Object]:
        """Every object of a kind, in one namespace or in all; nothing where the cluster does not know the kind. Raises ClusterError."""
        if self.kind(api_version, kind) is None:
            return
        path, following = self.path(api_version, kind, namespace), ""
        while True:
            page = self._found("GET", path, {"limit": str(_PAGE), **({"continue": following} if following else {})}) or {}
            items, metadata = page.get("items"), page.get("metadata")
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict):
                    yield {"apiVersion": api_version, "kind": kind, **item}
            following = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
            if not following:
                return

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """How the cluster serves a kind; None where it does not. Raises ClusterError."""
        if api_version not in self._kinds:
            listed = (self._found("GET", _base(api_version)) or {}).get("resources")
            self._kinds[api_version] = {
                str(each["kind"]): Kind(str(each["name"]), bool(each["namespaced"]))
                for each in (listed if isinstance(listed, list) else ())
                if isinstance(each, dict) and "/" not in str(each["name"])
            }
        return self._kinds[api_version].get(kind)

    def schema(self, api_version: str, kind: str) -> Object | None:
        """The structural schema of a custom resource, as its CRD has it; None for kinds of no CRD. Raises ClusterError."""
        group, _, version = api_version.rpartition("/")
        for definition in self._definitions:
            spec = definition.get("spec")
            if not isinstance(spec, dict) or spec.get("group") != group or _at(spec, "names", "kind") != kind:
                continue
            versions = spec.get("versions")
            for each in versions if isinstance(versions, list) else ():
                if isinstance(each, dict) and each.get("name") == version:
                    found = _at(each, "schema", "openAPIV3Schema")
                    return found if isinstance(found, dict) else None
        return None

    def dry_apply(self, tree: Object, manager: str) -> Object:
        """What a server-side apply without force would come to; nothing is changed. Raises ConflictError and ClusterError."""
        metadata = tree["metadata"]
        assert isinstance(metadata, dict)
        namespace = metadata.get("namespace")
        path = self.path(str(tree["apiVersion"]), str(tree["kind"]), None if namespace is None else str(namespace), str(metadata["name"]))
        query = {"fieldManager": manager, "fieldValidation": "Strict", "dryRun": "All", "force": "false"}
        found = self._found("PATCH", path, query, tree)
        if found is None:
            raise ClusterError(f"{self.called}: there is no namespace {namespace}", HTTPStatus.NOT_FOUND)
        return found

    def path(self, api_version: str, kind: str, namespace: str | None, name: str = "") -> str:
        """The path of an object, or of all of a kind. Raises ClusterError for a kind that the cluster does not know."""
        known = self.kind(api_version, kind)
        if known is None:
            raise ClusterError(f"{self.called} does not know the kind {kind} of {api_version}: is its CRD installed?", HTTPStatus.NOT_FOUND)
        within = f"/namespaces/{quote(namespace, safe='')}" if known.namespaced and namespace else ""
        return f"{_base(api_version)}{within}/{known.plural}" + (f"/{quote(name, safe='')}" if name else "")

    @cached_property
    def _definitions(self) -> list[Object]:
        return list(self.all("apiextensions.k8s.io/v1", "CustomResourceDefinition"))

    def _found(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None) -> Object | None:
        """One request; None for what is not there."""
        status, text = self._ask(method, path, query or {}, body)
        found = json.loads(text) if text.startswith("{") else {"message": text.strip()[:200]}
        if status == HTTPStatus.NOT_FOUND:
            return None
        message = " ".join(str(found.get("message", "")).split())
        if status == HTTPStatus.CONFLICT:
            causes = _at(found, "details", "causes")
            raise ConflictError(message, tuple(map(_cause, causes if isinstance(causes, list) else ())))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ClusterError(f"{self.called} does not let this user: {message}", status)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ClusterError(f"{self.called} refuses: {message or f'status {status}'}", status)
        assert isinstance(found, dict)
        return found

    def _ask(self, method: str, path: str, query: Mapping[str, str], body: Object | None) -> tuple[int, str]:
        from urllib3.exceptions import HTTPError

        content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", "Content-Type": content}
        settings: Mapping[str, Any] = self._configuration.auth_settings()  # each time: a login program's token is renewed
        headers |= {each["key"]: each["value"] for each in settings.values()}
        url = self.called + path + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._pool.request(method, url, headers=headers, body=None if body is None else json.dumps(body).encode())
        except (HTTPError, OSError) as problem:
            why = getattr(problem, "reason", None) or problem
            raise ClusterError(f"{self.called} does not answer: {' '.join(str(why).split())[-200:]}") from None
        return answer.status, answer.data.decode("utf-8", "replace")

    @cached_property
    def _pool(self) -> PoolManager:
        from urllib3 import PoolManager, ProxyManager, Timeout

        given = self._configuration
        context = ssl.create_default_context(cafile=given.ssl_ca_cert)
        if not given.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if given.cert_file:
            context.load_cert_chain(given.cert_file, given.key_file)
        named: dict[str, Any] = {"server_hostname": given.tls_server_name} if given.tls_server_name else {}
        timeout = Timeout(connect=_CONNECT, read=_ANSWER)
        if given.proxy:
            return ProxyManager(given.proxy, ssl_context=context, timeout=timeout, retries=False, **named)
        return PoolManager(ssl_context=context, timeout=timeout, retries=False, **named)


def _context(config: Mapping[str, Any], named: str | None) -> Mapping[str, Any]:
    """The context that is used; without one the loading says so."""
    wanted = named or config.get("current-context")
    found: Any = next((each["context"] for each in config.get("contexts") or () if each["name"] == wanted), {})
    plain: Mapping[str, Any] = getattr(found, "value", found)  # the client wraps what it read
    return plain


def _base(api_version: str) -> str:
    return f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"


def _at(tree: JsonValue, *keys: str) -> JsonValue:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _cause(each: JsonValue) -> Cause:
    said = str(_at(each, "message"))  # `conflict with "NAME" using v1`
    return Cause(said.split('"')[1] if said.count('"') > 1 else said, str(_at(each, "field")))
