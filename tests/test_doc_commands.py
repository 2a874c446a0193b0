"""The commands in README and docs: each is run in a test, or stands in a table with the reason why not."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli.command import MODULES

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "cli.md"),  # made from --help
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = {"", "sh", "bash", "shell", "console"}
PROGRAMS = ("python", "schedule-search", "make", "ray", "mlflow", "pip", "export", ".")
INLINE = re.compile(r"`((?:python|schedule-search|make|ray|mlflow|pip) [^`]+)`")

RUN = (
    "schedule-search plan mine.yaml",
    "schedule-search run mine.yaml",
    "schedule-search list",
    "schedule-search show x",
    "schedule-search schema > search.schema.json",
    "schedule-search report results/x",
    "python -m search.report results/x",
    "schedule-search compare results/a results/b",
    "schedule-search run mine.yaml --fork second",
    "python -m trainables.train results/x/best.yaml",
    "python -m trainables.train best.yaml",
    "schedule-search delete x",
    "python -m search.check configs/own/function/spiral.yaml",
    "python -m search.run configs/own/function/spiral.yaml --name spiral --plan",
    "python -m search.run configs/own/function/spiral.yaml --name spiral",
    "python -m trainables.train results/spiral/best.yaml",
    "python -m search.check configs/own/model/faded/spec.py",
)
"""In this order, in a folder with searches called x, a and b."""

NOT_RUN = {
    "make": "installs anew, or is the suite itself; its target is looked for",
    "python benchmarks/": "measures for minutes; its file is looked for",
    "python -m benchmarks.": "measures for minutes; its file is looked for",
    "pip install": "fetches packages: tests/integration/test_wheel.py installs the wheel",
    "ray ": "starts a cluster's processes: tests/integration/test_submit_ray.py starts its own",
    ". .venv/bin/activate": "for the shell of the lines that follow",
    "export RAY_API_SERVER_ADDRESS": "for the shell of the lines that follow",
    "python -m search.submit": "needs a cluster: tests/integration/test_submit_ray.py",
    "schedule-search submit": "needs a cluster: tests/integration/test_submit_ray.py",
    "schedule-search dashboard": "serves until it is ended: tests/integration/test_dashboard.py",
    "python -m mlflow ui": "MLflow's own, serves until it is ended",
    "mlflow gc": "MLflow's own, named only",
    "schedule-search demo": "minutes: tests/integration/test_wheel.py runs a demo",
    "schedule-search demo --model tts": "minutes: tests/integration/test_wheel.py runs a demo",
    "python -m search.run configs/early_inference/demo.yaml": "minutes: tests/integration/test_wheel.py runs a demo",
    "python -m search.run configs/sequence_generator/continue.yaml": "minutes: planned by tests/test_configs.py",
    "python -m search.run configs/tts/plateau.yaml": "minutes: planned by tests/test_configs.py",
    "python -m search.check mine.yaml": "run as python -m search.check configs/own/function/spiral.yaml",
    "schedule-search check mine.yaml": "run as python -m search.check configs/own/function/spiral.yaml",
    "schedule-search show mine": "run as schedule-search show x",
    "python -m search.cli.reference docs": "writes the pages whose content tests/test_docs.py compares",
}
"""Beginning of a command → why it is not run here."""

PART = {
    "python -m search.run",
    "python -m search.check",
    "python -m trainables.train",
    "schedule-search plan",
    "schedule-search check",
}
"""Names of commands, without what they are given."""


def commands(page: Path) -> Iterator[str]:
    """The commands on a page: lines of its shell blocks, and text in the line that begins with a program."""
    text = page.read_text(encoding="utf-8")
    rest = FENCE.sub("", text)
    lines = [line for kind, block in FENCE.findall(text) if kind in SHELLS for line in block.splitlines()]
    lines += [line[4:] for line in rest.splitlines() if line.startswith("    ")]
    for line in lines:
        told = re.split(r"\s+#\s", line.strip())[0].strip()
        if told.split(" ")[0] in PROGRAMS and " " in told:
            yield told
    yield from INLINE.findall(rest)


FOUND = sorted({command for page in PAGES for command in commands(page)})


def is_part(command: str) -> bool:
    """Whether a command is only named, or has a placeholder: NAME, FILE, <name>."""
    return command in PART or re.search(r"\b[A-Z]{4,}\b|<\w+>", command) is not None


def test_every_command_is_run_or_has_its_reason() -> None:
    assert len(FOUND) > 40
    unknown = [
        c for c in FOUND if c not in RUN and not is_part(c) and not any(c.startswith(begin) for begin in NOT_RUN)
    ]
    assert unknown == []
    assert set(RUN) <= set(FOUND), "no page has it any more"
    assert not [begin for begin in NOT_RUN if not any(c.startswith(begin) for c in FOUND)], "no page has it any more"


@pytest.mark.parametrize("command", FOUND)
def test_what_a_command_names_is_there(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif words[0] == "schedule-search":
        assert words[1] in {*MODULES, "plan", "list", "show", "note", "delete", "schema", "demo"}
    elif words[:2] == ["python", "-m"] and words[2] != "mlflow":
        module = ROOT / words[2].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
    elif words[0] == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    assert all((ROOT / word).exists() for word in words if word.startswith(("configs/", "benchmarks/")))


SMALL = {
    "my_config.py": 'CONFIG = {"prefix_length": 30, "epochs": 8, "lr": 1e-3, "warmup_epochs": 1, "batch_size": 64,\n'
    '    "tcn_channels": [4], "tcn_kernel_size": 3, "mlp_hidden_dims": [4]}\n',
    "mine.yaml": "model: early_inference\nbase: my_config.py\ndata: {generate: {samples: 100, seed: 0, n_points: 20}}\n"
    "budget: {trials: 3, steps: 4 epochs, evaluate_every: 1 epoch}\nconfirm: {top: 1, seeds: 2}\n",
}


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_commands_run(tmp_path: Path) -> None:
    for name, text in SMALL.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (programs / "schedule-search").write_text(f'#!/bin/sh\nexec {sys.executable} -m search "$@"\n', encoding="utf-8")
    for program in programs.iterdir():
        program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_", "TUNE_"))}
    environment = {**kept, "PATH": f"{programs}:{kept['PATH']}", "SCHEDULE_SEARCH_CACHE": str(tmp_path / "cache")}

    def run(command: str) -> None:
        words = ["/bin/sh", "-c", command]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, input="y\n"
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    for number, name in enumerate("xab"):
        run(f"schedule-search run mine.yaml --name {name} --seed {number} --set budget.trials=2")
    shutil.copy(tmp_path / "results/x/best.yaml", tmp_path / "best.yaml")
    for command in RUN:
        run(command)
