"""Reading the Kubernetes manifests: what a kustomization comes to, what selects what, who reaches whom."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Json = dict[str, Any]


def documents(file: Path) -> list[Json]:
    """The documents of a YAML file."""
    return [one for one in YAML(typ="safe").load_all(file) if one is not None]


def built(folder: Path) -> list[Json]:
    """What `kubectl kustomize` makes of a folder whose kustomization, and those it names, only list resources."""
    found: list[Json] = []
    for name in documents(folder / "kustomization.yaml")[0]["resources"]:
        path = folder / name
        found += built(path) if path.is_dir() else documents(path)
    return found


@dataclass(frozen=True)
class Pod:
    """What the pods of one workload are like."""

    kind: str
    name: str
    labels: dict[str, str]
    spec: Json

    @property
    def container(self) -> Json:
        """Its only one."""
        (container,) = self.spec["containers"]
        found: Json = container
        return found

    @property
    def ports(self) -> dict[str, int]:
        """Its named ports."""
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def variables(self) -> dict[str, Any]:
        """What its environment names itself; config maps are beside."""
        return {one["name"]: one["value"] for one in self.container.get("env", [])}


class Cluster:
    """The objects of one kustomization."""

    def __init__(self, objects: list[Json]) -> None:
        self.objects = objects

    def of(self, *kinds: str) -> Iterator[Json]:
        """All of these kinds."""
        return (one for one in self.objects if one["kind"] in kinds)

    def one(self, kind: str, name: str) -> Json:
        """The one of that name."""
        (found,) = (one for one in self.of(kind) if one["metadata"]["name"] == name)
        return found

    @cached_property
    def pods(self) -> dict[str, Pod]:
        """By the name that their label gives them."""
        pods = [_pod(one) for one in self.of("Deployment", "StatefulSet", "Job")]
        return {pod.labels["app.kubernetes.io/name"]: pod for pod in pods}

    def selected(self, selector: Json) -> set[str]:
        """The pods that a selector of labels selects."""
        return {name for name, pod in self.pods.items() if _selects(selector, pod.labels)}

    def reaches(self, source: Pod | None, target: Pod, port: str, namespace: str = "zephyr") -> bool:
        """Whether the network policies let a pod open a connection to a port of another.

        `source` is None for a pod of another namespace.
        """
        leaves = source is None or any(
            self._allows(rule, "to", target, target, port, namespace)
            for rule in self._rules(source, "egress")
        )
        return leaves and any(
            self._allows(rule, "from", source, target, port, namespace)
            for rule in self._rules(target, "ingress")
        )

    def _rules(self, pod: Pod, way: str) -> Iterator[Json]:
        """The rules for a pod. That there is a policy for all is tested, so that none means nothing."""
        for policy in self.of("NetworkPolicy"):
            if _selects(policy["spec"]["podSelector"], pod.labels):
                yield from policy["spec"].get(way) or []

    def _allows(
        self, rule: Json, side: str, peer: Pod | None, target: Pod, port: str, namespace: str
    ) -> bool:
        number = target.ports[port]
        ports = [one["port"] for one in rule.get("ports", [])]
        if ports and not {port, number} & set(ports):
            return False
        return side not in rule or any(_is_peer(one, peer, namespace) for one in rule[side])


def _is_peer(peer: Json, pod: Pod | None, namespace: str) -> bool:
    if "namespaceSelector" in peer:
        return bool(peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace})
    return "podSelector" in peer and pod is not None and _selects(peer["podSelector"], pod.labels)


def _pod(workload: Json) -> Pod:
    template = workload["spec"]["template"]
    return Pod(
        workload["kind"], workload["metadata"]["name"], template["metadata"]["labels"], template["spec"]
    )


def _selects(selector: Json, labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    among = all(
        labels.get(one["key"]) in one["values"] and one["operator"] == "In"
        for one in selector.get("matchExpressions", [])
    )
    return exact and among
