"""A user's own code travels with the search, also where git ignores it."""

import subprocess
from pathlib import Path

from own_project import SEARCH, TRAIN, write_project

from search.spec.resolve import resolve
from search.submit.submission import needed
from search.submit.tree import working_tree


def test_the_code_is_sent_with_the_search(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    path = write_project(folder, "import helper\n" + TRAIN, SEARCH)
    (folder / "helper.py").write_text("")
    (tmp_path / ".gitignore").write_text("helper.py\nconfig.yaml\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    tree = working_tree(path, needed(resolve(path), path.parent))
    assert {"mine/mine.yaml", "mine/config.yaml", "mine/train.py", "mine/helper.py"} <= set(tree.files)
