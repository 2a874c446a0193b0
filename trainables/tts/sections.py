"""The sections `model:` and `data:` of the native config of tts; see `config`. No torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spaces.schema import Fault, NativeSection, Real, Script, Text, Whole, refuse
from trainables.keys import Documented, Ours, Unsettled
from trainables.kinds import Count, Dropout, Natural, Positive

Smoothing = Annotated[
    Real, Field(ge=0, lt=0.5), Script("from half on your script's targets say the opposite, and below 0 they overshoot")
]

SIZES = {"demo": (48, 2, 64, 2), "tiny": (256, 4, 768, 8), "small": (384, 6, 1024, 12), "normal": (512, 8, 1536, 16)}
"""Size → text width, text layers, decoder width, decoder layers. All but `demo` are documented."""


Width = Annotated[
    Whole,
    Field(ge=2, multiple_of=2),
    Script("your script ends where it adds the positions, half of which are sines and half cosines"),
]


def _depth(part: str, index: int) -> Unsettled:
    """Of the layers of a part whose width the file gives."""
    newest = SIZES["normal"][index]
    return Unsettled(
        f"your class has had other depths at this width; if it is the newest, which has {newest} layers at any width, "
        f"add model.{part}_layers: {newest}",
        "that of the width",
        lambda network: network.shape[index] if _narrower(network, part) else None,
    )


def _heads_of(part: str, index: int) -> Unsettled:
    return Unsettled(
        f"heads of 64 are taken at this width; if yours are others, add model.{part}_heads",
        "64 wide each",
        lambda network: network.heads[index] if _narrower(network, part) else None,
    )


def _narrower(network: "Network", part: str) -> bool:
    """Whether the file itself gives the width of `part`, and another than that of the class."""
    return getattr(network, f"{part}_dim") not in (None, SIZES["normal"][0 if part == "text_encoder" else 2])


class Network(NativeSection):
    """The transformer. What is absent of its shape follows from the rest, or is that of the size."""

    size: Annotated[Literal["demo", "tiny", "small", "normal"], Documented("small"), Ours()] = "normal"
    text_encoder_dim: Width | None = None
    text_encoder_layers: Annotated[Count | None, _depth("text_encoder", 1)] = None
    text_encoder_heads: Annotated[Count | None, _heads_of("text_encoder", 0)] = None
    decoder_dim: Width | None = None
    decoder_layers: Annotated[Count | None, _depth("decoder", 3)] = None
    decoder_heads: Annotated[Count | None, _heads_of("decoder", 1)] = None
    latent_dim: Annotated[Count, Ours()] = 16
    dropout: Annotated[Dropout, Ours()] = 0.1
    prenet_dropout: Annotated[Dropout, Ours()] = 0.5  # of the previous frames, in training: Shen et al., Tacotron 2

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Text width, text layers, decoder width, decoder layers."""
        text_dim, text_layers, decoder_dim, decoder_layers = SIZES[self.size]
        # A width of a documented size goes with that size's depth: the class had 1024/12 before 1536/16.
        if self.text_encoder_dim not in (None, text_dim):
            text_dim = self.text_encoder_dim or text_dim
            text_layers = next((size[1] for size in SIZES.values() if size[0] == text_dim), text_layers)
        if self.decoder_dim not in (None, decoder_dim):
            decoder_dim = self.decoder_dim or decoder_dim
            decoder_layers = next((size[3] for size in SIZES.values() if size[2] == decoder_dim), decoder_layers)
        return text_dim, self.text_encoder_layers or text_layers, decoder_dim, self.decoder_layers or decoder_layers

    @property
    def as_size(self) -> str:
        """The documented size that the decoder's width has reached: levels differ for the largest."""
        width = self.shape[2]
        return max((name for name in SIZES if SIZES[name][2] <= width), key=lambda name: SIZES[name][2], default="demo")

    @property
    def heads(self) -> tuple[int, int]:
        """Attention heads of the text encoder and of the decoder; where none are given, a head is 64 wide."""
        text, _, decoder, _ = self.shape
        return self.text_encoder_heads or _heads(text), self.decoder_heads or _heads(decoder)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        pairs = zip(("text_encoder", "decoder"), (self.shape[0], self.shape[2]), self.heads, strict=True)
        refuse(
            [
                Fault(
                    f"{part}_heads {heads} does not divide {part}_dim {width}",
                    "torch's attention refuses it in your script, too",
                    "choose one that does",
                )
                for part, width, heads in pairs
                if width % heads
            ]
        )
        return self


def _heads(width: int) -> int:
    return next(n for n in (max(4, width // 64), 4, 2, 1) if width % n == 0)


class Dataset(NativeSection):
    """The recordings, and what the network hears and reads of them."""

    dataset_path: Text | None = None  # kept for the user's own script: a search names its data in `data:`
    metadata_train_file: Text = "metadata_train.csv"
    metadata_eval_file: Text = "metadata_eval.csv"
    wavs_train_dir: Text | None = None  # null: wavs_dir
    wavs_eval_dir: Text | None = None
    wavs_dir: Annotated[Text, Ours()] = "wavs"
    sample_rate: Count = 22050  # Hz; files at another rate are resampled
    n_fft: Count = 1024  # samples
    win_length: Count = 1024  # samples
    hop_length: Count = 256  # samples from frame to frame
    n_mels: Count = 80
    mel_fmin: Annotated[Real, Field(ge=0), Ours()] = 0.0  # Hz
    mel_fmax: Annotated[Positive, Ours()] = 8000.0  # Hz
    text_input: Annotated[Literal["characters", "phonemes"], Ours()] = "characters"
    max_mel_frames: Count = 1024  # 11.9 s: longer clips are cut or dropped
    max_text_length: Annotated[Count, Ours()] = 250  # symbols
    too_long: Annotated[Literal["drop", "cut"], Ours()] = "drop"
    batch_size: Annotated[Count, Documented(24)] = 56  # clips
    train_clips: Annotated[Count, Ours(data=True)] = 12_500
    """Training clips that lengths in optimiser steps are planned with; a run counts its own. LJSpeech has 13,100."""
    mcd_sentences: Annotated[Natural, Ours()] = 3  # validation clips that are synthesised freely, the first ones

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.win_length > self.n_fft:
            what = f"win_length {self.win_length} is above n_fft {self.n_fft}"
            faults.append(Fault(what, "torch's transform refuses it in your script, too", "set it at or below"))
        if not self.mel_fmin < self.mel_fmax <= self.sample_rate / 2:
            what = f"mel_fmax {self.mel_fmax} does not lie between mel_fmin {self.mel_fmin} and half the sample rate"
            script = "your script, which doesn't know these keys, has no such band"
            faults.append(Fault(what, script, f"set it to {self.sample_rate / 2} at most"))
        refuse(faults)
        return self


AUDIO = ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels")
"""Keys that stand under `model:` in older files and under `data:` in newer ones."""


def present(raw: Mapping[str, Any], sections: Mapping[str, type[NativeSection]]) -> dict[str, Any]:
    """The sections of `raw` without nulls; what is null is absent, a section, too."""
    found: dict[str, Any] = {}
    for name, section in sections.items():
        value = raw.get(name, {})
        if not isinstance(value, Mapping):
            found[name] = {} if value is None else value
            continue
        known = section.model_fields
        kept = {key: item for key, item in value.items() if item is not None or key not in known}
        inner = {key: f.default for key, f in known.items() if isinstance(f.default, NativeSection)}
        kept |= present(
            kept, {key: type(default) for key, default in inner.items() if isinstance(kept.get(key), Mapping)}
        )
        found[name] = kept
    return found
