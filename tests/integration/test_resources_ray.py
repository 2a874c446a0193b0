"""What trials ask for, on a real cluster of unlike nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from search.execution.capacity import Asked, Room, alive
from search.history.events import Started
from search.spec.nodes import Need, label_fits
from tests.integration.conftest import run
from tests.integration.real_nodes import Nodes, happened, nodes, seen_by_all, wait_until, write_client

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

GIB = 2**30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_client(tmp_path_factory.mktemp("resources") / "client")


@pytest.fixture(scope="module")
def unlike(folder: Path) -> Iterator[tuple[Nodes, dict[str, str]]]:
    """Nodes by name: a head without CPUs, a plain one, one with GPUs (that nobody uses), one with a licence."""
    with nodes(folder, PACE="0") as cluster:
        cluster.add(num_cpus=0, memory=GIB)
        found = {
            "plain": cluster.add(num_cpus=1, memory=2 * GIB),
            "rack": cluster.add(num_cpus=2, num_gpus=1, memory=2 * GIB, labels={"pool": "a100"}),
            "desk": cluster.add(num_cpus=1, memory=4 * GIB, resources={"licence": 1}, labels={"pool": "l4"}),
        }
        yield cluster, found


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ("{gpu: 0, labels: {pool: l4}}", {"desk"}),
        ("{gpu: 0, labels: {pool: 'in(a100, h100)'}}", {"rack"}),
        ("{gpu: 0.5}", {"rack"}),
        ("{gpu: 0, memory: 3 GiB}", {"desk"}),
        ("{gpu: 0, custom: {licence: 1}}", {"desk"}),
    ],
)
def test_trials_run_where_they_are_meant_to(
    wanted: str, where: set[str], unlike: tuple[Nodes, dict[str, str]], folder: Path, environment: dict[str, str]
) -> None:
    cluster, ids = unlike
    name = f"s{abs(hash(wanted))}"
    words = ["search.yaml", "--name", name, "--address", cluster.address, "--set", f"resources={wanted}"]
    small = ["--set", "budget.trials=4", "--set", "confirm.seeds=0"]
    code, output = run("search.run", [*words, *small], folder, {**environment, **seen_by_all(folder)})
    assert code == 0, output
    began = [event for event in happened(folder, name) if isinstance(event, Started)]
    assert {event.node for event in began} == {ids[each] for each in where}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("{gpu: 2}", "no node has more than 1 GPU. The nearest is"),
        ("{gpu: 0, custom: {license: 1}}", "no node has any license; did you mean 'licence'?"),
        ("{gpu: 0, labels: {pool: h100}}", "no node has the label pool: h100, only a100, l4"),
        ("{gpu: 1, labels: {pool: l4}}", "no single node has it all"),
        ("{gpu: 0, memory: 3 GiB, cpu: 2}", "no single node has it all"),
    ],
)
def test_what_no_node_can_hold_is_refused_before_anything_is_written(
    wanted: str, said: str, unlike: tuple[Nodes, dict[str, str]], folder: Path, environment: dict[str, str]
) -> None:
    words = ["search.yaml", "--name", "refused", "--address", unlike[0].address, "--set", f"resources={wanted}"]
    code, output = run("search.run", words, folder, {**environment, **seen_by_all(folder)})
    assert code == 2 and said in output and "error: resources: " in output, output
    assert not (folder / "results" / "refused").exists()


def test_ray_reads_labels_as_we_do_and_a_place_asked_for_is_granted_by_a_node_that_joins(
    unlike: tuple[Nodes, dict[str, str]],
) -> None:
    cluster, ids = unlike
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        by_id = {node.id: node for node in alive()}
        for selector in ("a100", "!a100", "in(a100, l4)", "!in(a100, l4)"):
            for name, node_id in ids.items():
                asked = Asked(Need({"CPU": 0.01}, {"pool": selector, "ray.io/node-id": node_id}))
                asked.keep(1)
                fits = label_fits(selector, by_id[node_id].labels.get("pool"))
                (place,) = asked.waiting
                assert place.wait(5 if fits else 0.5) == fits, (selector, name)
                asked.keep(0)
        said: list[str] = []
        room = Room(Need({"CPU": 1.0, "late": 1.0}), 2, False, said.append)
        assert room() == 1 and "no node is up that could hold a trial" in said[0]
        now = [100.0]
        room.clock = lambda: now[0]
        now[0] += 1e6
        room.tend(lambda: True)
        assert len(room.asked.waiting) == 1
        cluster.add(num_cpus=2, resources={"late": 2})

        def joined() -> bool:
            now[0] += 1e6
            room.tend(lambda: True)
            return room() == 2

        wait_until(joined, "the node that was waited for")
        assert not room.asked.waiting and "2 trials at once, 0 before" in said[-1]
    finally:
        ray.shutdown()
