"""Text to labels and back: Whisper's tokenizer, or a byte-level one made on the spot; and its English normaliser.

transformers is imported here without torch, so that transcripts can be checked before anything is trained.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import WhisperConfig, WhisperTokenizer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from spaces.problems import BadInput, Problem, cause, raise_any
from trainables.whisper_child.config import LONGEST_LABELS, Config, Network
from trainables.whisper_child.manifest import SHOWN, Utterance

Labels = NDArray[np.int64]

END, START = "<|endoftext|>", "<|startoftranscript|>"
SPECIAL = (END, START, "<|en|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")
"""Of the byte-level tokenizer; Whisper's own has the languages after the start, English first."""
NEEDED = ("config.json", "tokenizer_config.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def weights_folder(network: Network) -> Path | None:
    """The folder with the pretrained weights and the tokenizer; None for random weights.

    A name that is no folder is looked for on the hub: in its local cache first, then downloaded. Raises BadInput that
    says how to get it.
    """
    name = network.pretrained
    if name is None:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith(("/", ".", "~")) or name.count("/") > 1:
            raise BadInput.of("model.pretrained", f"{name} is no folder, where your script ends; {_remedy(name)}")
        folder = _from_hub(name)
    lacking = [file for file in NEEDED if not (folder / file).is_file()]
    lacking += [] if any((folder / file).is_file() for file in WEIGHTS) else [WEIGHTS[0]]
    if lacking:
        raise BadInput.of(
            "model.pretrained",
            f"{folder} lacks {', '.join(lacking)}, which alone are read here, whatever your script takes; "
            f"{_remedy(name)}",
        )
    return folder


def _from_hub(name: str) -> Path:
    wanted = ["*.json", "*.txt", "*.safetensors"]
    for offline in (True, False):
        try:
            folder = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=offline))
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
            if not offline:
                what = (
                    f"{name} is no folder here, and the hub does not give it, nor to your script: "
                    f"{_short(error)}; {_remedy(name)}"
                )
                raise BadInput.of("model.pretrained", what) from error
        else:
            if any((folder / file).is_file() for file in WEIGHTS):
                return folder
    return folder


def check_weights(folder: Path, config: Config) -> None:
    """The weights in `folder` can be read, by the heads of their files, and the network hears and says what `config`
    has. Raises BadInput."""
    try:
        network = WhisperConfig.from_pretrained(folder)
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "numpy"):
                pass
    except (OSError, ValueError, SafetensorError) as error:
        raise unreadable(folder, error) from error
    frames, bins, positions = 2 * network.max_source_positions, network.num_mel_bins, network.max_target_positions
    seconds, own, longest = config.data.target_length, config.data.num_mel_bins, config.inference.max_length
    faults = {
        "data.target_length": f"is {seconds:g} s, the pretrained encoder, also your script's, hears "
        f"{frames / 100:g} s; set it to that",
        "data.num_mel_bins": f"is {own}, the encoder takes {bins}, as in your script; set it so",
        "inference.max_length": f"is {longest}, the decoder has {positions} positions, beyond which your script ends; "
        "lower it",
    }
    fits = (config.data.frames == frames, own == bins, longest <= positions)
    if not all(fits):
        raise BadInput(Problem(*fault) for fault, right in zip(faults.items(), fits, strict=True) if not right)


def unreadable(folder: Path, error: Exception) -> BadInput:
    """That weights can't be loaded."""
    what = f"the weights in {folder} can't be read, by your script either: {_short(error)}; load them again"
    return BadInput.of("model.pretrained", what)


def _short(error: Exception) -> str:
    return cause(error)[:160]


def _remedy(name: str) -> str:
    model = name if name.count("/") == 1 and not name.startswith(("/", ".", "~")) else "openai/whisper-small"
    return (
        f"with a connection, run `hf download {model} --local-dir whisper-weights`, and set model.pretrained to that "
        "folder; or set pretrained: null and random_init: {} for a small network with random weights"
    )


def tokenizer_of(network: Network) -> WhisperTokenizer:
    """The tokenizer that belongs to the network. Raises BadInput."""
    folder = weights_folder(network)
    if folder is None:
        return _byte_level(network)
    try:
        found: WhisperTokenizer = WhisperTokenizer.from_pretrained(folder, language=network.language, task=network.task)
    except (ValueError, OSError, KeyError) as error:
        raise BadInput.of(
            "model", f"the tokenizer in {folder} can't be used, by your script either: {_short(error)}; save it anew"
        ) from error
    return found


def _byte_level(network: Network) -> WhisperTokenizer:
    """A token per byte of UTF-8, and the special ones."""
    if network.language != "en":
        raise BadInput.of(
            "model.language",
            f"{network.language!r} needs pretrained weights, as in your script; random ones know en alone: set it",
        )
    vocabulary = {token: number for number, token in enumerate([*sorted(ByteLevel.alphabet()), *SPECIAL])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[], pad_token=END)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.set_prefix_tokens(language=network.language, task=network.task)
    return tokenizer


def token_id(tokenizer: WhisperTokenizer, token: str) -> int:
    """The number of one token."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int), f"{token} is a single token"
    return found


def longest_labels(network: Network) -> int:
    """Labels that the decoder has positions for."""
    start = network.random_init
    return LONGEST_LABELS if start is None else min(LONGEST_LABELS, start.max_target_positions)


def normalizer_of(tokenizer: WhisperTokenizer) -> Callable[[str], str]:
    """Whisper's English normaliser (Radford et al. 2022, appendix C), with the tokenizer's list of spellings."""
    normalizer: Callable[[str], str] = EnglishTextNormalizer(  # type: ignore[no-untyped-call]
        tokenizer.english_spelling_normalizer or {}
    )
    return normalizer


def labels_of(
    utterances: Sequence[Utterance],
    tokenizer: WhisperTokenizer,
    normalizer: Callable[[str], str] | None,
    longest: int,
    where: str = "orthographic_text",
) -> list[Labels]:
    """The labels of each transcript: language, task, no timestamps, text, end.

    Without the start token that the tokenizer puts first: the network itself shifts labels right behind one, and would
    hear it twice. Raises BadInput at `where` naming the transcripts of more than `longest` labels, and those that the
    normaliser, if given, leaves empty.
    """
    texts = [utterance.text if normalizer is None else normalizer(utterance.text) for utterance in utterances]
    start = token_id(tokenizer, START)
    found = []
    for ids in tokenizer(texts).input_ids:
        assert ids[0] == start, "the tokenizer puts the start token first"
        found.append(np.array(ids[1:], dtype=np.int64))
    long = [f"{u.number} ({len(ids)})" for u, ids in zip(utterances, found, strict=True) if len(ids) > longest]
    empty = [u.number for u, text in zip(utterances, texts, strict=True) if not text.strip()]
    problems = []
    if long:
        what = (
            f"{len(long)} transcripts have more than {longest} labels, all that your decoder takes in any script: "
            f"{_some(long)}; "
        )
        problems.append(Problem(where, what + "cut them, and their audio"))
    if empty:
        what = f"{len(empty)} are empty after the normaliser, in your script, too: {_some(empty)}; leave them out, "
        problems.append(Problem(where, what + "or set normalize_text: false"))
    raise_any(problems)
    return found


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:SHOWN]) + (", …" if len(items) > SHOWN else "")
