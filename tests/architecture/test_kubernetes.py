"""The Kubernetes manifests: valid, made of settings that exist, and closed to whoever need not come in."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adapters.access.admission import Admission
from adapters.access.metrics import AdmissionMetrics
from adapters.settings import LogSettings, Settings
from docs.write_settings import gateway_variables, host_variables
from tests import dockerfile
from tests.manifests import Cluster, Json, Pod, built, documents

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("gpu", "replicas")
LEAVING_SECONDS = 3 + 2  # the gateway's, for streams to be told and for connections


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def cluster(overlay: str) -> Cluster:
    return Cluster(built(FOLDER / overlay))


def test_kustomizations_only_list_resources_and_every_file_is_listed() -> None:
    """So that what they come to is what is written, one after the other."""
    for file in FOLDER.glob("*/kustomization.yaml"):
        (content,) = documents(file)
        assert set(content) == {"apiVersion", "kind", "resources"}
        own = {path.name for path in file.parent.glob("*.yaml")} - {file.name}
        assert own == {name for name in content["resources"] if not name.startswith("../")}
    assert {file.parent.name for file in FOLDER.glob("*/kustomization.yaml")} == {
        "gateway",
        "engine",
        *OVERLAYS,
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_makes_of_them_what_these_tests_read(overlay: str, cluster: Cluster) -> None:
    """Object by object."""
    made = subprocess.run(
        ["kubectl", "kustomize", FOLDER / overlay], capture_output=True, text=True, check=True
    )
    theirs = list(YAML(typ="safe").load_all(made.stdout))
    assert sorted(map(repr_of, theirs)) == sorted(map(repr_of, cluster.objects))


def test_manifests_are_valid_by_the_schemas_of_kubernetes(
    overlay: str, cluster: Cluster, tmp_path: Path
) -> None:
    """Strictly: a field that is not known is refused."""
    file = tmp_path / f"{overlay}.yaml"
    YAML(typ="safe").dump_all(cluster.objects, file)
    program = Path(sys.executable).parent / "kubernetes-validate"
    done = subprocess.run([program, "--strict", "--quiet", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_object_is_named_once_and_in_the_namespace(cluster: Cluster) -> None:
    """The namespace takes pods that are confined, and no others."""
    names = [(one["kind"], one["metadata"]["name"]) for one in cluster.objects]
    assert len(names) == len(set(names))
    (namespace,) = cluster.of("Namespace")
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    for one in cluster.objects:
        if one is not namespace:
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"], names


def test_every_variable_is_a_setting_of_the_program_that_gets_it(cluster: Cluster) -> None:
    """Those of config maps too."""
    config = cluster.one("ConfigMap", "engine")["data"]
    assert set(config) | set(cluster.pods["gateway"].variables) <= gateway_variables()
    assert set(cluster.pods["migrate"].variables) <= gateway_variables()
    assert set(cluster.pods["engine"].variables) <= host_variables()
    assert "router" not in cluster.pods or not cluster.pods["router"].variables


def test_settings_are_taken_by_the_gateway(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the secret mounted, as it would be."""
    secret = tmp_path / "url"
    secret.write_text("postgresql://zephyr:secret@db/zephyr\n")
    image = dockerfile.variables(ROOT / "deploy" / "gateway.Dockerfile")
    given = {name: value for name, value in image.items() if name in gateway_variables()}
    given |= cluster.one("ConfigMap", "engine")["data"] | cluster.pods["gateway"].variables
    for name, value in (given | {"DATABASE_URL_FILE": str(secret)}).items():
        assert isinstance(value, str), f"{name} is no text, which Kubernetes refuses"
        monkeypatch.setenv(name, value)
    settings = Settings.read()
    service = cluster.one("Service", "engine")
    assert settings.engine.engine_url == f"http://engine:{service['spec']['ports'][0]['port']}"
    assert not settings.admin_server.local and settings.keys_required


def test_every_selector_selects(cluster: Cluster) -> None:
    """A service, a budget, a policy or a workload that selects nothing is a mistake in a label."""
    for one in cluster.of("Service"):
        assert cluster.selected({"matchLabels": one["spec"]["selector"]}), one["metadata"]["name"]
    for one in cluster.of("PodDisruptionBudget"):
        assert cluster.selected(one["spec"]["selector"]) == {one["metadata"]["name"]}
    for one in cluster.of("StatefulSet", "Deployment"):
        assert cluster.selected(one["spec"]["selector"]) == {one["metadata"]["name"]}
    for one in cluster.of("NetworkPolicy"):
        assert cluster.selected(one["spec"]["podSelector"]), one["metadata"]["name"]
        for rule in [*(one["spec"].get("ingress") or []), *(one["spec"].get("egress") or [])]:
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                assert "podSelector" not in peer or cluster.selected(peer["podSelector"])


def test_every_port_that_is_named_exists(cluster: Cluster) -> None:
    """In services, probes, and policies between pods."""
    for service in cluster.of("Service"):
        for name in cluster.selected({"matchLabels": service["spec"]["selector"]}):
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(cluster.pods[name].ports)
    for pod in cluster.pods.values():
        for probe in probes(pod).values():
            (action,) = (probe[kind] for kind in ("httpGet", "tcpSocket") if kind in probe)
            assert action["port"] in pod.ports
    for policy in cluster.of("NetworkPolicy"):
        for way, side in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way) or []:
                inward = cluster.selected(policy["spec"]["podSelector"])
                outward = {
                    pod
                    for peer in rule.get(side, [])
                    for pod in cluster.selected(peer.get("podSelector", {}))
                }
                for port in rule.get("ports", []):
                    if isinstance(port["port"], str):
                        for name in inward if way == "ingress" else outward:
                            assert port["port"] in cluster.pods[name].ports


def test_stateful_sets_have_services_of_their_own_and_what_is_mounted_exists(cluster: Cluster) -> None:
    """And what the gateway keeps is on a disk that outlives it."""
    for one in cluster.of("StatefulSet"):
        assert cluster.one("Service", one["spec"]["serviceName"])["spec"]["clusterIP"] == "None"
        claims = {claim["metadata"]["name"] for claim in one["spec"]["volumeClaimTemplates"]}
        volumes = {volume["name"] for volume in one["spec"]["template"]["spec"]["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in mounts_of(one)}
        assert set(mounts) == claims | volumes
        assert one["spec"]["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }
        (kept,) = claims
        home = dockerfile.variables(ROOT / "deploy" / "engine.Dockerfile")["ZEPHYR_HOME"]
        spool = cluster.pods["gateway"].variables["ZEPHYR_SPOOL_DIR"]
        assert mounts[kept] == {"engine": home, "gateway": spool}[one["metadata"]["name"]]


def test_database_is_given_by_reference_alone(cluster: Cluster) -> None:
    """By a file that is mounted from a secret, which is not among the manifests and is documented."""
    assert not list(cluster.of("Secret"))
    for name in ("gateway", "migrate"):
        pod = cluster.pods[name]
        (volume,) = (one for one in pod.spec["volumes"] if "secret" in one)
        (mount,) = (one for one in pod.container["volumeMounts"] if one["name"] == volume["name"])
        assert pod.variables["DATABASE_URL_FILE"] == f"{mount['mountPath']}/url"
        assert volume["secret"]["secretName"] in (FOLDER / "README.md").read_text()


def test_only_those_reach_each_other_who_must(overlay: str, cluster: Cluster) -> None:
    """The engines ask nobody who they are, and neither does the router."""
    pods = cluster.pods
    reached = {
        (source, target, port)
        for target, pod in pods.items()
        for port in pod.ports
        for source in pods
        if cluster.reaches(pods[source], pod, port)
    }
    expected = {
        "gpu": {("gateway", "engine", "http")},
        "replicas": {("gateway", "router", "http"), ("router", "engine", "http")},
    }
    assert reached == expected[overlay]
    outside = {
        (namespace, target, port)
        for namespace in ("default", "monitoring")
        for target, pod in pods.items()
        for port in pod.ports
        if cluster.reaches(None, pod, port, namespace)
    }
    assert outside == {
        ("default", "gateway", "http"),
        ("monitoring", "gateway", "http"),
        ("monitoring", "gateway", "admin"),
    }


def test_nothing_is_allowed_but_by_a_policy(cluster: Cluster) -> None:
    """One policy closes every pod in both directions."""
    nothing = cluster.one("NetworkPolicy", "nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in cluster.of("NetworkPolicy"):
        spec = policy["spec"]
        ways = {way.capitalize() for way in ("ingress", "egress") if spec.get(way)}
        assert spec == nothing or set(spec["policyTypes"]) == ways, policy["metadata"]["name"]


def test_pods_run_with_as_little_as_they_need(cluster: Cluster) -> None:
    """Not as root, on a root that is read-only, without capabilities, and without a way to the cluster's API."""
    for name, pod in cluster.pods.items():
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] == 2000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod.spec["automountServiceAccountToken"] is (name == "router")
        assert pod.spec["enableServiceLinks"] is False  # or a service of a name like a setting would set it
        assert "memory" in pod.container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(pod.container["resources"]["requests"])
    for role in cluster.of("Role"):
        assert role["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
        ]


def test_images_are_those_of_the_compose_file(cluster: Cluster) -> None:
    """One version wherever it runs."""
    compose: Json = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    images = {service["image"] for service in compose["services"].values()}
    assert {pod.container["image"] for pod in cluster.pods.values()} <= images


def test_probes_ask_what_they_should(cluster: Cluster) -> None:
    """A gateway must have been ready once; later nothing that all gateways share takes them out."""
    asked = {kind: probe["httpGet"]["path"] for kind, probe in probes(cluster.pods["gateway"]).items()}
    assert asked == {"startupProbe": "/readyz", "readinessProbe": "/healthz", "livenessProbe": "/healthz"}
    for probe in probes(cluster.pods["gateway"]).values():
        assert probe["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
    engine = probes(cluster.pods["engine"])
    assert set(engine) == {"startupProbe", "readinessProbe"}
    assert cluster.pods["engine"].ports["http"] == int(cluster.pods["engine"].variables["ZEPHYR_ENGINE_PORT"])
    for pod in (cluster.pods["engine"], cluster.pods["gateway"]):
        start = probes(pod)["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 1800


def test_stops_are_longer_than_drains(cluster: Cluster) -> None:
    """What has begun to answer ends before Kubernetes kills."""
    gateway = cluster.pods["gateway"]
    drain = int(gateway.variables["ZEPHYR_DRAIN_SECONDS"])
    commit = LogSettings.model_fields["log_commit_deadline"].default
    assert grace(gateway) > sleep(gateway) + drain + commit + LEAVING_SECONDS
    assert grace(cluster.pods["engine"]) > sleep(cluster.pods["engine"]) > drain
    assert (
        "router" not in cluster.pods or grace(cluster.pods["router"]) > sleep(cluster.pods["router"]) + drain
    )


def test_scaled_sets_exist_and_leave_their_number_to_the_autoscaler(overlay: str, cluster: Cluster) -> None:
    """Applying the manifests again must not undo what it did."""
    scalers = list(cluster.of("HorizontalPodAutoscaler"))
    assert {one["metadata"]["name"] for one in scalers} == {"gateway"} | (
        {"engine"} if overlay == "replicas" else set()
    )
    for one in scalers:
        target = one["spec"]["scaleTargetRef"]
        assert "replicas" not in cluster.one(target["kind"], target["name"])["spec"]
        for metric in one["spec"]["metrics"]:
            if metric["type"] == "External":
                given = {
                    family.name for family in AdmissionMetrics(Admission(Settings.read().access)).collect()
                }
                assert metric["external"]["metric"]["name"] in given
    budgets = {one["metadata"]["name"] for one in cluster.of("PodDisruptionBudget")}
    assert budgets == {name for name, pod in cluster.pods.items() if pod.kind != "Job"}


def test_prometheus_is_led_to_the_listener_that_has_the_figures(cluster: Cluster) -> None:
    """By the annotations that it goes by, at the port that the policies let it reach."""
    template = cluster.one("StatefulSet", "gateway")["spec"]["template"]
    led = template["metadata"]["annotations"]
    assert led == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(cluster.pods["gateway"].ports["admin"]),
        "prometheus.io/path": "/metrics",
    }


def test_router_looks_for_the_engines_that_there_are() -> None:
    """By their label, at their port, in their namespace."""
    cluster = Cluster(built(FOLDER / "replicas"))
    engine, router = cluster.pods["engine"], cluster.pods["router"]
    arguments: list[str] = router.container["args"]
    label, _, value = arguments[arguments.index("--selector") + 1].partition("=")
    assert engine.labels[label] == value
    assert f"--service-discovery-port={engine.ports['http']}" in arguments
    assert "--service-discovery-namespace=zephyr" in arguments
    account = cluster.one("ServiceAccount", router.spec["serviceAccountName"])
    (binding,) = cluster.of("RoleBinding")
    assert binding["subjects"][0]["name"] == account["metadata"]["name"]
    assert cluster.one("Role", binding["roleRef"]["name"])
    assert cluster.selected({"matchLabels": cluster.one("Service", "engine")["spec"]["selector"]}) == {
        "router"
    }


def probes(pod: Pod) -> dict[str, Json]:
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    return {kind: pod.container[kind] for kind in kinds if kind in pod.container}


def sleep(pod: Pod) -> int:
    seconds: int = pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    return seconds


def grace(pod: Pod) -> int:
    seconds: int = pod.spec["terminationGracePeriodSeconds"]
    return seconds


def mounts_of(workload: Json) -> list[Json]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    mounts: list[Json] = container["volumeMounts"]
    return mounts


def repr_of(value: Any) -> str:
    """The same text for the same object, whatever the order of its keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{repr_of(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)
