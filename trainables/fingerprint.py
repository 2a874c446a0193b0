"""The machine type that computed a number: what may change its last digits with everything else equal."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

WIDTH = 3.1e-6
"""Relative difference of an objective between machine types, at most, as it was seen for the models here."""
SEEN = "2.7e-8 to 3.1e-6"
_HELD = ("MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables by which a library is held to other instructions than the processor has."""


def fingerprint() -> dict[str, Any]:
    """Of this process now, by what it has imported: call it after a training has been built.

    Keys: `processor`, `python`, `instructions` (torch's), `held` (libraries that are held to other ones), `torch`,
    `numpy`, `blas` (numpy's), `threads`, `device`.
    """
    found: dict[str, Any] = {"processor": _processor(), "python": platform.python_version()}
    if held := " ".join(f"{name}={os.environ[name]}" for name in _HELD if name in os.environ):
        found["held"] = held
    if torch := sys.modules.get("torch"):
        found["instructions"] = torch.backends.cpu.get_cpu_capability()
        found["torch"], found["threads"] = str(torch.__version__), torch.get_num_threads()
        found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if numpy := sys.modules.get("numpy"):
        found["numpy"], found["blas"] = str(numpy.__version__), _blas()
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What tells two machine types apart, for people; empty for equal ones. Only what both know is compared."""
    keys = sorted(before.keys() & now.keys() | ({"held"} & (before.keys() | now.keys())))
    return ", ".join(f"{k} {before.get(k, '-')} -> {now.get(k, '-')}" for k in keys if before.get(k) != now.get(k))


@cache
def code_digest(module: str) -> str:
    """Of the Python files beside the one that defines `module`, such as a model's; empty where it has no file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(Path(file).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return os.uname().machine
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.uname().machine)


@cache
def _blas() -> str:
    """Numpy's, with the kind of processor whose kernels it has taken."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    pools = [pool for pool in pools if "numpy" in pool["filepath"]] or pools
    return " ".join(f"{p['internal_api']} {p['version']} {p.get('architecture', '')}".strip() for p in pools[:1])
