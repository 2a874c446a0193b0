"""What a worker says that it takes of its machine."""

import subprocess
import sys
import time

from trainables.usage import CORES, MEMORY, Usage


def test_work_here_and_in_children_is_counted() -> None:
    used = Usage()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    own = used.taken()
    assert own[CORES] > 0 and own[MEMORY] > 10 * 2**20
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        until = time.monotonic() + 30
        with_child = used.taken()
        while with_child[MEMORY] <= own[MEMORY] + 2**20 and time.monotonic() < until:  # looked for now and then only
            time.sleep(0.05)
            with_child = used.taken()
        child.stdin.close()
    assert with_child[CORES] > 0 and with_child[MEMORY] > own[MEMORY]


def test_a_process_that_has_gone_is_no_trouble() -> None:
    assert Usage(lambda: [2**22 + 1]).taken()[MEMORY] > 0
