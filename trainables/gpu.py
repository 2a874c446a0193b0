"""A trial's share of a GPU's memory: Ray's fractions are bookkeeping, torch holds a process to one."""

import math

from spaces.problems import BadInput

GIB = 2**30
CONTEXT = GIB // 2
"""What CUDA and its libraries take in each process beside torch's tensors, roughly; torch's limit doesn't count it."""


def limit(gpu: float, held: int | None) -> str | None:
    """Hold this process to its share of its GPU, where it has one. Returns a warning where the trials of a GPU together
    may hold more than it has.

    `gpu`: GPUs that a trial has. `held`: bytes of GPU memory that it may hold, CUDA's own included; None: its share.
    Raises BadInput as `share` does.
    """
    if gpu == 0 or (gpu >= 1 and held is None):
        return None
    import torch  # lazy: not where there is nothing to limit

    if not torch.cuda.is_available():
        return None
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(share(gpu, held, total))
    return crowded(gpu, held, total)


def share(gpu: float, held: int | None, total: int) -> float:
    """The share of a GPU's memory, of `total` bytes, that the tensors of one trial may take: what the trial may hold,
    less what CUDA takes in its process. Raises BadInput where nothing is left.
    """
    holds = held if held is not None else int(min(gpu, 1.0) * total)
    if holds <= CONTEXT:
        whose = "resources.gpu_memory" if held is not None else "resources.gpu"
        what = f"{holds / GIB:.2f} GiB of GPU memory per trial: CUDA alone takes {CONTEXT / GIB:g} GiB; give it more"
        raise BadInput.of(whose, what)
    return min(1.0, (holds - CONTEXT) / total)


def crowded(gpu: float, held: int | None, total: int) -> str | None:
    """Why trials that keep to their limits may run out of a GPU's memory, of `total` bytes; None where they can't."""
    if held is None:
        return None
    together = max(1, math.floor(1 / gpu + 1e-9))
    if together * held <= total:
        return None
    has = f"more than the {total / GIB:.3g} GiB that it has"
    if together == 1 or held > total:
        return f"resources.gpu_memory: a trial may hold {held / GIB:.3g} GiB of its GPU, {has}"
    fair = math.ceil(1000 * min(1.0, held / total)) / 1000
    return (
        f"resources.gpu_memory: {together} trials share a GPU and may hold {held / GIB:.3g} GiB each, {has}; "
        f"with gpu: {fair:g} they fit"
    )
