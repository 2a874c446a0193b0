"""The files in configs/cluster: whole, in step with the pinned versions, and without anybody's secrets or paths."""

import configparser
import json
import re
import shlex
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click import Command

from search import run as search_run
from search.spec.resolve import resolve

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs" / "cluster"
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY")


def document(name: str) -> dict[str, Any]:
    found = yaml.safe_load((FOLDER / name).read_text())
    assert isinstance(found, dict)
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in a document that holds nothing more."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, inner in items:
        yield from leaves(inner, f"{path}.{key}")


def parses(command: Command, words: list[str]) -> dict[str, Any]:
    """The parameters that a click command takes from `words`; nothing is run."""
    with command.make_context("x", list(words), resilient_parsing=False) as context:
        return dict(context.params)


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_file_holds_a_secret_or_a_path_of_some_machine(path: Path) -> None:
    text = path.read_text()
    assert text.isascii() or path.suffix == ".yaml"
    assert not re.search(r"/(work|root|Users)\b|/home/(?!ray\b)", text)
    assert not re.search(r"\b[0-9a-f]{24,}\b|AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", text)
    for line in text.splitlines():
        name, _, value = line.strip().removeprefix("- ").partition(":")
        if path.suffix == ".yaml" and SECRET.search(name) and re.fullmatch("[A-Z_0-9]+", name):
            assert re.match(r" (\$\{[A-Z_0-9]+:\?.+\}|REPLACE)$", value), line
    if path.suffix == ".env":
        given = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
        assert {name for name, value in given.items() if value} == {"MLFLOW_HOSTS"}


# -- the tracking server


def tracking() -> dict[str, Any]:
    return document("tracking.yaml")


def test_the_compose_file_keeps_to_the_compose_specification() -> None:
    """The specification's essentials: known keys, references that lead somewhere, strings where strings are needed."""
    compose = tracking()
    assert set(compose) <= {"name", "services", "networks", "volumes", "configs", "secrets"}
    assert re.fullmatch("[a-z0-9][a-z0-9_-]*", compose["name"])
    known = {
        "image",
        "build",
        "restart",
        "environment",
        "volumes",
        "healthcheck",
        "command",
        "depends_on",
        "ports",
        "configs",
    }
    for name, service in compose["services"].items():
        assert set(service) <= known, name
        assert ("image" in service) != ("build" in service), name
        assert all(isinstance(value, str) for value in service.get("environment", {}).values()), name
        assert all(isinstance(word, str) for word in service.get("command", [])), name
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in {"service_healthy", "service_completed_successfully"}
            assert "healthcheck" in compose["services"][other] or how["condition"] != "service_healthy"
        for mount in service.get("volumes", []):
            assert mount.split(":")[0] in compose["volumes"], mount  # nothing of the host's own folders
        for used in service.get("configs", []):
            assert used["source"] in compose["configs"]
        assert all(re.fullmatch(r"\d+:\d+", port) for port in service.get("ports", []))
        check = service.get("healthcheck", {"test": ["CMD", "x"]})["test"]
        assert check[0] in {"CMD", "CMD-SHELL"} and len(check) > 1
        if "image" in service:
            assert re.fullmatch(r"[a-z/]+:\d[\w.]*", service["image"]), "a pinned version"


def test_every_variable_of_the_compose_file_is_asked_for() -> None:
    text = (FOLDER / "tracking.yaml").read_text()
    used = set(re.findall(r"\$\{([A-Z_0-9]+)", text))
    without = set(re.findall(r"\$\{([A-Z_0-9]+):-", text))
    asked = set(re.findall(r"^([A-Z_0-9]+)=", (FOLDER / "tracking.env").read_text(), re.MULTILINE))
    assert used - without == asked


@pytest.fixture(scope="module")
def mlflow_server() -> Command:
    """The command `mlflow server`. Importing MLflow's command line takes seconds, and warns of MLflow's own types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.cli import cli
    found = cli.commands["server"]
    assert isinstance(found, Command)
    return found


def test_the_tracking_server_is_the_pinned_mlflow_and_takes_its_words(mlflow_server: Command) -> None:
    service = tracking()["services"]["mlflow"]
    inline = service["build"]["dockerfile_inline"]
    assert f'"mlflow[auth]=={PINS["mlflow"]}"' in inline and "boto3" in inline
    assert f'"psycopg[binary]=={PINS["psycopg"]}"' in inline  # the driver that SQLAlchemy 2.1 takes for postgresql://
    program, command, *words = service["command"]
    assert (program, command) == ("mlflow", "server")
    found = parses(mlflow_server, words)
    assert (found["host"], found["port"]) == ("0.0.0.0", 5000)  # noqa: S104 - in its container
    assert (found["artifacts_destination"], found["app_name"]) == ("s3://mlflow", "basic-auth")


def test_the_servers_variables_are_ones_that_mlflow_reads(mlflow_server: Command) -> None:
    import mlflow.environment_variables as known

    read = {getattr(known, name).name for name in dir(known) if hasattr(getattr(known, name), "name")}
    read |= {str(option.envvar) for option in mlflow_server.params if option.envvar}
    given = {name for name in tracking()["services"]["mlflow"]["environment"] if name.startswith("MLFLOW_")}
    assert given and given <= read


def test_the_accounts_file_is_one_that_mlflow_reads() -> None:
    config = configparser.ConfigParser()
    config.read_string(tracking()["configs"]["accounts"]["content"])
    section = config["mlflow"]
    assert section["default_permission"] in {"READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS"}
    assert section["database_uri"] == "sqlite:////accounts/accounts.db"
    mounts = tracking()["services"]["mlflow"]["volumes"]
    assert "accounts:/accounts" in mounts and "admin_password" not in section


def test_the_bucket_is_made_by_a_program_that_compiles() -> None:
    program = tracking()["services"]["bucket"]["command"]
    assert program[:2] == ["python", "-c"]
    compile(program[2], "bucket", "exec")


# -- a cluster on one's own machines


def ray_up() -> dict[str, Any]:
    return document("ray-up.yaml")


def test_the_cluster_file_fulfils_rays_own_schema_and_checks() -> None:
    import ray.autoscaler
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(ray_up())
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(prepared, schema)
    validate_config(prepared)
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**prepared, "head_start_ray_command": []})


def test_the_nodes_start_the_pinned_ray_with_words_that_it_takes() -> None:
    from ray.scripts.scripts import start

    cluster = ray_up()
    assert any(f'"ray[default,tune]=={PINS["ray"]}"' in command for command in cluster["setup_commands"])
    found = {}
    for kind in ("head", "worker"):
        line = cluster[f"{kind}_start_ray_commands"][-1]
        assert "RAY_AUTH_MODE=token ray start " in line
        found[kind] = parses(start, shlex.split(line.split("ray start ")[1].replace("$RAY_HEAD_IP", "10.0.0.1")))
    assert found["head"]["head"] and found["head"]["num_cpus"] == 0 and found["head"]["dashboard_port"] == 8265
    assert found["worker"]["address"] == f"10.0.0.1:{found['head']['port']}" and not found["worker"]["head"]
    place = "~/.ray/auth_token"  # where Ray looks for it, here and there
    assert cluster["file_mounts"] == {place: place}


# -- a search on Kubernetes

SPEC = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
HEAD = {"rayStartParams", "template"}
WORKERS = {*HEAD, "groupName", "replicas", "minReplicas", "maxReplicas"}
CONTAINER = {"name", "image", "env", "envFrom", "ports", "resources", "volumeMounts"}


def test_the_ray_job_has_the_structure_that_kuberay_asks_for() -> None:
    claim, secret, job = document("rayjob.yaml")["items"]
    kinds = [(item["apiVersion"], item["kind"]) for item in (claim, secret)]
    assert kinds == [("v1", "PersistentVolumeClaim"), ("v1", "Secret")]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert set(spec) == SPEC
    cluster = spec["rayClusterSpec"]
    assert set(cluster) == CLUSTER and cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == PINS["ray"]
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert set(head) == HEAD and set(workers) == WORKERS
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert workers["minReplicas"] >= 1  # a search begins with the nodes that are there
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert set(container) <= CONTAINER and container["resources"]["requests"] == container["resources"]["limits"]
        assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
        (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert mount == {"name": volume["name"], "mountPath": "/shared"}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_ray_job_runs_a_search_that_exists_and_keeps_it_on_the_shared_folder() -> None:
    job = document("rayjob.yaml")["items"][-1]
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "search.run"]
    options = search_run._options(words[3:])
    assert options.results == Path("/shared/searches")
    inside = Path("/home/ray/schedule-search")
    assert resolve(ROOT / options.config.relative_to(inside), name=options.name).name == options.name


def test_the_image_holds_the_pinned_ray_and_the_projects_own_extras() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert set(re.findall(r"rayproject/ray:([\d.]+)-py311", text)) == {PINS["ray"]}
    (extras,) = re.findall(r'--editable "/home/ray/schedule-search\[([a-z,]+)\]"', text)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) == set(known) - {"dev", "docs", "lightning", "peers"}
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {".git", ".venv", "results", "**/.env"} <= set(ignored)


def test_every_leaf_is_of_a_kind_that_yaml_means() -> None:
    """No `on: yes` that became true, no version that became a number."""
    for name in ("tracking.yaml", "ray-up.yaml", "rayjob.yaml"):
        for path, value in leaves(document(name)):
            assert isinstance(value, str | int | bool), f"{name} {path}: {value!r}"
