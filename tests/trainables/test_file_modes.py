import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
os.umask(int(sys.argv[2], 8))
from pathlib import Path
from trainables.files import write_text
write_text(Path(sys.argv[1]), "content")
assert os.umask(0) == int(sys.argv[2], 8)
"""


@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("077", 0o600), ("002", 0o664)])
def test_files_are_as_open_as_the_user_wants_them(tmp_path: Path, umask: str, mode: int) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "file"), umask], check=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
