"""A trial's share of a GPU's memory, on a GPU of the test's own."""

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.problems import BadInput
from trainables.gpu import CONTEXT, GIB, crowded, limit, share

TOTAL = 80 * GIB


class Device:
    """A GPU of 80 GiB, as `torch.cuda` shows one."""

    def __init__(self) -> None:
        self.there = True
        self.fractions: list[float] = []

    def is_available(self) -> bool:
        return self.there

    def mem_get_info(self) -> tuple[int, int]:
        return TOTAL - 7, TOTAL

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        self.fractions.append(fraction)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = Device()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=found))
    return found


def test_a_fraction_of_a_gpu_gets_that_share_of_its_memory(device: Device) -> None:
    assert limit(0.25, None) is None
    assert device.fractions == [(20 * GIB - CONTEXT) / TOTAL]


@pytest.mark.parametrize("gpu", [0.0, 1.0, 4.0])
def test_a_whole_gpu_and_none_are_left_alone_and_torch_is_not_loaded(
    gpu: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it is an error
    assert limit(gpu, None) is None


def test_without_cuda_there_is_nothing_to_limit(device: Device) -> None:
    device.there = False
    assert limit(0.5, 10 * GIB) is None and not device.fractions


def test_a_given_amount_holds_on_a_whole_gpu_too(device: Device) -> None:
    assert limit(1.0, 10 * GIB) is None
    assert limit(0.125, 10 * GIB) is None
    assert device.fractions == [(10 * GIB - CONTEXT) / TOTAL] * 2


@pytest.mark.usefixtures("device")
def test_a_sum_that_does_not_fit_is_told() -> None:
    told = limit(0.25, 30 * GIB)
    assert told is not None
    assert "4 trials share a GPU and may hold 30 GiB each, more than the 80 GiB that it has; with gpu: 0.375" in told
    assert "a trial may hold 90 GiB of its GPU" in str(crowded(1.0, 90 * GIB, TOTAL))


@given(st.floats(0.001, 1.0), st.one_of(st.none(), st.integers(1, 100 * GIB)), st.integers(GIB, 200 * GIB))
def test_what_is_allowed_is_a_share_and_together_no_more_than_there_is(
    gpu: float, held: int | None, total: int
) -> None:
    try:
        one = share(gpu, held, total)
    except BadInput as error:
        assert "give it more" in str(error)
        return
    assert 0 < one <= 1
    if crowded(gpu, held, total) is None:
        together = int(1 / gpu + 1e-9)
        assert together * (one * total + CONTEXT) <= total * (1 + 1e-6) + CONTEXT * (held is not None and together == 1)


@given(st.floats(0.01, 1.0), st.integers(1, 100 * GIB))
def test_the_fraction_that_is_proposed_fits(gpu: float, held: int) -> None:
    told = crowded(gpu, held, TOTAL)
    if told is not None and "with gpu: " in told:
        proposed = float(told.partition("with gpu: ")[2].split()[0])
        assert proposed > gpu and crowded(proposed, held, TOTAL) is None


@pytest.mark.parametrize(("gpu", "held", "key"), [(0.001, None, "resources.gpu"), (0.5, GIB // 4, "gpu_memory")])
def test_too_little_for_cuda_itself_is_refused(gpu: float, held: int | None, key: str) -> None:
    with pytest.raises(BadInput, match=key):
        share(gpu, held, TOTAL)
