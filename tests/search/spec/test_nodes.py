"""What fits a node, and what is said where nothing fits."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.spec.nodes import Need, Node, fitting, is_selector, label_fits, misfit, slots

GIB = 2.0**30


def node(labels: Mapping[str, str] | None = None, host: str = "box", **resources: float) -> Node:
    return Node("id-" + host, host, resources, labels or {})


@pytest.mark.parametrize(
    ("need", "has", "count"),
    [
        ({"CPU": 1}, {"CPU": 4}, 4),
        ({"CPU": 1.5}, {"CPU": 4}, 2),
        ({"CPU": 1, "GPU": 1}, {"CPU": 4}, 0),
        ({"CPU": 1, "GPU": 0.1}, {"CPU": 64, "GPU": 1}, 10),  # 1 / 0.1 is no whole number
        ({"CPU": 0.1, "GPU": 0.3}, {"CPU": 64, "GPU": 1}, 3),
        ({"CPU": 1, "memory": 3 * GIB}, {"CPU": 8, "memory": 8 * GIB}, 2),
        ({"CPU": 1, "licence": 1}, {"CPU": 8, "licence": 3}, 3),
    ],
)
def test_the_scarcest_of_all_decides(need: dict[str, float], has: dict[str, float], count: int) -> None:
    assert slots(Need(need), node(**has)) == count


amounts = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory", "x"]), st.floats(0.01, 100), min_size=1)


@given(amounts, amounts)
def test_so_many_fit_and_no_more(need: dict[str, float], has: dict[str, float]) -> None:
    count = slots(Need(need), node(**has))
    assert all(count * amount <= has.get(name, 0) * (1 + 1e-6) + 1e-6 for name, amount in need.items())
    assert any((count + 1) * amount > has.get(name, 0) for name, amount in need.items())


@given(st.lists(amounts, max_size=4), amounts)
def test_trials_are_counted_node_by_node_and_explained_where_there_are_none(
    nodes: list[dict[str, float]], need: dict[str, float]
) -> None:
    made = [node(host=str(n), **has) for n, has in enumerate(nodes)]
    count = fitting(Need(need), made)
    assert count == sum(slots(Need(need), each) for each in made)
    assert (misfit(Need(need), made) is None) == (count > 0)


@pytest.mark.parametrize(
    ("selector", "value", "fits"),
    [
        ("a100", "a100", True),
        ("a100", "h100", False),
        ("a100", None, False),
        ("!spot", "spot", False),
        ("!spot", "kept", True),
        ("!spot", None, True),
        ("in(a100, h100)", "h100", True),
        ("in(a100,h100)", "l4", False),
        ("!in(a100, h100)", "l4", True),
        ("!in(a100, h100)", "a100", False),
    ],
)
def test_labels(selector: str, value: str | None, fits: bool) -> None:
    assert label_fits(selector, value) == fits
    assert is_selector(selector)
    has = node({"pool": value} if value is not None else {}, CPU=2)
    assert slots(Need({"CPU": 1}, {"pool": selector}), has) == 2 * fits


@pytest.mark.parametrize("text", ["", "a b", "in()", "in(a", "-a", "a,b", "!!a", "a|b"])
def test_what_ray_would_not_take_is_no_selector(text: str) -> None:
    assert not is_selector(text)


BIG = node({"pool": "a100"}, host="big", CPU=8, GPU=2, memory=16 * GIB)
SMALL = node({"pool": "cpu", "zone": "1"}, host="small", CPU=64, licence=1, memory=64 * GIB)


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (Need({"CPU": 1, "GPU": 4}), ["4 GPU", "no node has more than 2 GPU", "nearest is big", "8 CPU, 2 GPU"]),
        (Need({"CPU": 1, "licences": 1}), ["no node has any licences", "did you mean 'licence'?"]),
        (Need({"CPU": 1}, {"pool": "h100"}), ["no node has the label pool: h100, only a100, cpu"]),
        (Need({"CPU": 1}, {"zones": "1"}), ["no node has a label zones", "did you mean 'zone'?"]),
        (Need({"CPU": 1, "memory": 128 * GIB}), ["128 GiB memory", "no node has more than 64 GiB memory"]),
        (Need({"CPU": 16, "GPU": 1}), ["no single node has it all", "nearest is big"]),
        (Need({"CPU": 1, "GPU": 1}, {"pool": "cpu"}), ["no single node has it all", "label pool: cpu"]),
    ],
)
def test_it_is_said_what_is_missing_and_which_node_comes_nearest(need: Need, said: list[str]) -> None:
    told = misfit(need, [BIG, SMALL])
    assert told is not None and all(text in told for text in said), told


def test_a_gpu_on_a_cluster_without_any_and_a_cluster_without_nodes() -> None:
    assert "no node has any GPU. The nearest is small" in str(misfit(Need({"CPU": 1, "GPU": 1}), [SMALL]))
    assert misfit(Need({"CPU": 1}), []) == "the cluster has no node"
