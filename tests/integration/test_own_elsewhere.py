"""A user's own code in searches that are kept in S3, forked, compared, and submitted to a cluster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.history.events import WarmStarted
from search.history.journal import parse, read
from search.persistence.object_store_journal import journal, parts
from spaces import strict_yaml
from tests.integration.conftest import run, start
from tests.integration.s3_server import BUCKET, Server
from tests.integration.test_own_search import ONE_WORKER, project
from tests.integration.test_search import kill_tree, wait_for_reports
from tests.integration.test_submit_ray import TOKEN, TwoNodes
from tests.trainables.own.own_project import SEARCH, write_project
from trainables.objects import Prefix

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

Environment = dict[str, str]
FEW = ["--set", "budget.trials=3", "--set", "check=null"]


def test_kept_in_s3_it_goes_on_elsewhere_is_forked_with_other_code_and_compared(
    tmp_path: Path, environment: Environment, s3: Server
) -> None:
    user = {**environment, **s3.environment}
    lost, here = tmp_path / "lost", tmp_path / "here"
    project(lost, "function")
    words = ["mine.yaml", *ONE_WORKER, "--storage", f"s3://{BUCKET}/team", "--name", "s"]
    with start("search.run", words, lost, user) as process:
        wait_for_reports(lost / "results/s/journal.jsonl", 6, process, 240)
        kill_tree(process)
    shutil.rmtree(lost)
    project(here, "function")
    code, output = run("search.run", [*words, "--resume"], here, user)
    assert code == 0 and "verdict: " in output, output
    store = Prefix(f"s3://{BUCKET}/team/s")
    events = parse(journal(store, parts(store)), "the store")[0]
    assert events == read(here / "results/s/journal.jsonl")[0]
    assert store.get("code/train.py") == (here / "train.py").read_bytes()

    with (here / "train.py").open("a") as file:
        file.write("# changed\n")
    code, output = run("search.run", ["mine.yaml", *ONE_WORKER, "--name", "s", "--fork", "t"], here, user)
    assert code == 0 and "verdict: " in output, output
    first = read(here / "results/t/journal.jsonl")[0][0]
    assert isinstance(first, WarmStarted) and first.first and not first.observations  # other code: configs, no scores
    assert "by other code" in first.why
    code, output = run("search.compare", ["results/s", "results/t"], here, user)
    assert code == 0, output


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Iterator[TwoNodes]:
    made = TwoNodes(tmp_path_factory.mktemp("home"), environment)
    try:
        made.start()
        yield made
    finally:
        made.end()


def test_the_code_travels_with_the_job(nodes: TwoNodes, environment: Environment, tmp_path: Path) -> None:
    """Also from a folder of its own, and where git ignores it."""
    client = tmp_path / "client"
    write_project(client, search=SEARCH.replace("trainable:\n", "trainable:\n  folder: mycode\n"))
    (client / "mycode").mkdir()
    (client / "train.py").rename(client / "mycode" / "train.py")
    (client / ".gitignore").write_text("mycode/\n")
    (tmp_path / "home").mkdir()
    user = {
        **environment,
        "HOME": str(tmp_path / "home"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_API_SERVER_ADDRESS": nodes.address,
    }
    code, output = run("search.submit", ["mine.yaml", "--name", "s", "--no-install", *FEW], client, user)
    assert code == 0 and "verdict: " in output, output
    there = nodes.home / "schedule-search" / "s"
    assert (there / "code" / "train.py").read_bytes() == (client / "mycode" / "train.py").read_bytes()
    reference = strict_yaml.load(there / "search.yaml")["reference"]
    assert not Path(reference["folder"]).is_relative_to(client)
