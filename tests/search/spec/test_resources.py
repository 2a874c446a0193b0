"""The `resources:` of a search: what is refused, and what Ray is asked for."""

import re
import socket
from typing import Any

import pytest

from search.execution.capacity import Room
from search.execution.cluster import Cluster, connected
from search.spec.nodes import Node
from search.spec.resources import Resources, need_of, refusal
from spaces.problems import BadInput
from spaces.schema import parse

CPU_NODE = Node("1", "box", {"CPU": 4.0, "memory": 8e9})
GPU_NODE = Node("2", "rack", {"CPU": 4.0, "GPU": 2.0, "memory": 8e9}, {"pool": "a100"})


def resources(**given: Any) -> Resources:
    return parse(Resources, given, "search.yaml", "resources")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cpu": -1}, "resources.cpu: .*greater than 0"),
        ({"gpu": -0.5}, "resources.gpu: .*greater than or equal to 0"),
        ({"gpu": 1.5}, "gpu is 1.5; above one it must be a whole number"),
        ({"gpu": "all"}, "resources.gpu"),
        ({"custom": {"licence": -1}}, "resources.custom.*greater than 0, got -1"),
        ({"custom": {"licence": "two"}}, "resources.custom.*number, got 'two'"),
        ({"custom": {"GPU": 1}}, "custom.GPU is no custom resource; give gpu instead"),
        ({"custom": {"object_store_memory": 1}}, "no custom resource"),
        ({"cpu": 1e-5}, "cpu is 1e-05; the least that Ray can count"),
        ({"labels": {"pool": "a100, h100"}}, r"labels.pool is 'a100, h100'; expected a value, !value, in\(one, two\)"),
        ({"labels": {"pool": 1}}, "resources.labels.*string, got 1"),
        ({"max_concurrent": 0}, "resources.max_concurrent: .*greater than or equal to 1"),
        ({"gpu": 0, "gpu_memory": "8 GiB"}, "gpu_memory is given, but gpu is 0"),
        ({"gpus": 1}, "did you mean 'gpu'"),
    ],
)
def test_what_no_cluster_could_give_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        resources(**given)


@pytest.mark.parametrize(
    ("given", "nodes", "asked"),
    [
        ({}, [CPU_NODE], {"CPU": 1}),
        ({}, [CPU_NODE, GPU_NODE], {"CPU": 1, "GPU": 1}),
        ({"gpu": 0}, [GPU_NODE], {"CPU": 1}),
        ({"gpu": 0.25}, [CPU_NODE], {"CPU": 1, "GPU": 0.25}),
        ({"cpu": 2, "memory": "2 GB"}, [CPU_NODE], {"CPU": 2, "memory": 2e9}),
        ({"custom": {"licence": 2}}, [CPU_NODE], {"CPU": 1, "licence": 2}),
    ],
)
def test_what_a_trial_asks_of_a_node(given: dict[str, Any], nodes: list[Node], asked: dict[str, float]) -> None:
    assert need_of(resources(**given), nodes).resources == asked


@pytest.mark.parametrize(
    ("given", "nodes", "said"),
    [
        ({"cpu": 4}, [CPU_NODE], None),
        (
            {"cpu": 8},
            [CPU_NODE],
            "no node has more than 4 CPU.*Ask for less, or add such a node; on a cluster",
        ),
        ({"gpu": 1}, [CPU_NODE], r"no node has any GPU.*Ask for less \(gpu: auto takes what there is\)"),
        ({"gpu": 0.5}, [CPU_NODE, GPU_NODE], None),
        ({"gpu": "auto"}, [CPU_NODE], None),
        ({}, [], "the cluster has no node"),
        ({"gpu": 8, "max_concurrent": 3}, [CPU_NODE], None),  # the cluster will be asked for such nodes
    ],
)
def test_what_no_node_can_run_is_refused(given: dict[str, Any], nodes: list[Node], said: str | None) -> None:
    found = refusal(resources(**given), nodes)
    assert (found is None) if said is None else re.search(said, found or "") is not None


def test_a_cluster_of_our_own_never_grows() -> None:
    found = refusal(resources(gpu=8, max_concurrent=3), [CPU_NODE], own=True)
    assert found is not None and "max_concurrent" not in found


def test_ray_is_asked_for_all_of_it_on_one_node() -> None:
    need = need_of(resources(memory="1 GiB", custom={"licence": 1}, labels={"pool": "!spot"}), [GPU_NODE])
    cluster = Cluster(need, Room(need, None, True, lambda _: None, lambda: [GPU_NODE]))
    request = cluster.request()
    (bundle,) = request.bundles
    assert bundle == {"CPU": 1, "GPU": 1, "memory": 2**30, "licence": 1}
    assert request == cluster.request() and hash(request) == hash(cluster.request())  # Ray groups trials by it
    assert request != Cluster(need_of(resources(), [GPU_NODE]), cluster.room).request()


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else gets it meanwhile
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BadInput, match=f"--address {address}: nothing answers there within 5 s"):
            connected(address, resources()).__enter__()
