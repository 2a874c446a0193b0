"""A pipe or a device in the place of a data file is refused at once; reading one may never end."""

import os
from pathlib import Path

import pytest

from spaces.problems import BadInput
from trainables.diphone_rnn.trials import trials_in
from trainables.early_inference.pickled_npz import members
from trainables.sequence_generator.data import read_file
from trainables.tts import sound
from trainables.tts.metadata import read_metadata
from trainables.whisper_child import audio
from trainables.whisper_child.manifest import read_manifest

READERS = {
    "diphone_rnn": lambda path: trials_in(path, 0, 512),
    "early_inference": members,
    "sequence_generator": read_file,
    "tts sound": sound.head,
    "tts metadata": read_metadata,
    "whisper_child sound": lambda path: audio.read(path, 16000, 1.0, normalize=False),
    "whisper_child manifest": lambda path: read_manifest(path, []),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("how", ["itself", "through a link"])
@pytest.mark.timeout(20)
def test_a_pipe_or_device_is_refused_unread(tmp_path: Path, reader: str, how: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, Path("/dev/zero")) if how == "itself" else (tmp_path / "link",):
        with pytest.raises(BadInput, match="no regular file"):
            READERS[reader](path)


@pytest.mark.parametrize("reader", READERS)
def test_links_that_lead_nowhere_are_refused(tmp_path: Path, reader: str) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "away").symlink_to("nothing")
    for name in ("one", "away"):
        with pytest.raises(BadInput, match=name):
            READERS[reader](tmp_path / name)
