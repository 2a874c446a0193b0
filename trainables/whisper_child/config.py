"""The native config of whisper_child: the nesting and key names of the user's baseline_whisper_small.yaml. No torch.

A key's default is what the user's script does without it; `Documented` is the recipe, where that differs. Where both
leave one open, and for what only that script reads, it is Hugging Face's default or null. The script doesn't know keys
marked `Ours`; their defaults are its behaviour.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spaces.schema import Fault, Flag, NativeSection, Real, Script, Text, Whole, refuse
from trainables.keys import Documented, Ours, Unsettled
from trainables.kinds import (
    Count,
    Decay,
    Dropout,
    MaybeClip,
    Natural,
    NotNegative,
    Positive,
    Rate,
    Seed,
    Split,
    Steps,
    Workers,
)

TRAINER = "Hugging Face's Trainer refuses it in your script, too"
SHARE = "in your script, and reads a number below 1 as a share of all steps; write the steps"

HOP_SECONDS = 0.01  # of a log-mel frame (Radford et al. 2022, section 2.2)
LONGEST_LABELS = 448  # positions of Whisper's decoder


class RandomInit(NativeSection):
    """A small Whisper with random weights and a byte-level tokenizer, instead of pretrained ones."""

    d_model: Count = 64
    layers: Count = 2  # of the encoder, and of the decoder
    heads: Count = 4
    ffn_dim: Count = 256
    max_target_positions: Annotated[Whole, Field(ge=8, le=LONGEST_LABELS)] = 64  # tokens
    init_std: Positive = (
        0.08  # of the weights; Hugging Face's 0.02 suits wider networks, and learns late in narrow ones
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.d_model % (2 * self.heads):
            what = f"d_model {self.d_model} must be a multiple of 2 × heads = {2 * self.heads}"
            refuse([Fault(what, "your script doesn't know random_init", "take one of its multiples")])
        return self


class Network(NativeSection):
    """Which Whisper, and how much of it trains."""

    name: Annotated[Literal["whisper"], Script("your script may train another model; this one is Whisper")] = "whisper"
    variant: Text = "small"
    pretrained: Text | None = "openai/whisper-small"  # on the hub, or a local folder
    random_init: Annotated[RandomInit | None, Ours()] = None  # with `pretrained: null`
    language: Text = "en"
    task: Annotated[Literal["transcribe", "translate"], Script("Whisper knows no other, in your script either")] = (
        "transcribe"
    )
    forced_decoder_ids: tuple[tuple[Natural, Natural | None], ...] | None = None
    dropout: Dropout = 0.1
    freeze_encoder: Flag = False  # for good
    gradient_checkpointing: Annotated[Flag, Documented(True)] = False
    freeze_encoder_steps: Annotated[Steps, Documented(1000)] = 0  # optimizer steps; 0: never frozen
    unfreeze_warmup_steps: Annotated[Natural, Ours()] = (
        0  # optimizer steps until the thawed encoder learns at full rate
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.pretrained is None) == (self.random_init is None):
            had = "neither" if self.pretrained is None else "both"
            what = f"expected one of pretrained and random_init, got {had}"
            script = "your script ends without pretrained weights, and doesn't know random_init"
            refuse([Fault(what, script, "name the weights, or set pretrained to null beside random_init")])
        if self.forced_decoder_ids:
            what = f"forced_decoder_ids {[list(pair) for pair in self.forced_decoder_ids]} is not supported here"
            script = "your script begins each transcript with them"
            refuse([Fault(what, script, "set it to null, and say the same with language and task")])
        return self


class DataKeys(NativeSection):
    """What is heard, how it is split, masked and ordered."""

    train_manifest: Text | None = None
    audio_dirs: tuple[Text, ...] = ()
    val_ratio: Split = 0.1
    stratify_by: Annotated[
        Literal["age_bucket"] | None, Script("your script splits by it; here are age_bucket and null")
    ] = "age_bucket"
    sample_rate: Annotated[
        Whole,
        Field(ge=16000, le=16000),
        Script("Whisper's feature extractor refuses it in your script, too; sound at another rate is resampled here"),
    ] = 16000  # Hz
    normalize_audio: Flag = False  # scale each clip to a peak of 1
    target_length: Annotated[
        Real, Field(ge=0.1, le=30), Script("Whisper's encoder takes windows up to 30 s, in your script, too")
    ] = 30.0  # s of the window; longer clips are cut
    num_mel_bins: Annotated[Count, Ours()] = 80  # large-v3 has 128
    normalize_text: Flag = False  # train on transcripts after Whisper's English normaliser
    train_utterances: Annotated[Count, Ours(data=True)] = (
        48_000  # to train on, set from the data; a plan needs it sooner
    )
    specaugment: Annotated[Flag, Documented(True)] = False
    freq_mask_param: Natural = 27  # mel bins, the widest mask
    time_mask_param: Natural = 100  # frames of 10 ms, the widest mask
    freq_mask_count: Annotated[Natural, Ours()] = 1
    time_mask_count: Annotated[Natural, Ours()] = 1
    curriculum_learning: Annotated[Flag, Documented(True)] = False
    curriculum_epochs: Annotated[Count, Ours()] = 1  # how long the youngest come first

    @property
    def frames(self) -> int:
        """Log-mel frames of the window."""
        return round(self.target_length / HOP_SECONDS)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.frames % 2 or not math.isclose(self.frames * HOP_SECONDS, self.target_length):
            what = f"target_length {self.target_length} must be a multiple of 0.02 s"
            script = "your script's encoder takes whole pairs of frames of 10 ms, too"
            refuse([Fault(what, script, f"try {(self.frames + 1) // 2 * 2 * HOP_SECONDS:g}")])
        return self


class Training(NativeSection):
    """The loop; names are those of Hugging Face's TrainingArguments where it has one."""

    output_dir: Text | None = None
    save_strategy: Annotated[Literal["no", "steps"], Ours()] = "no"  # steps: each run writes folders to output_dir
    save_steps: Annotated[Count, Documented(500), Script(f"Hugging Face's Trainer saves nothing at 0 {SHARE}")] = 1000
    save_total_limit: Annotated[Count, Documented(5)] = 3  # most recent checkpoints that are kept, beside the best
    logging_dir: Text | None = None
    logging_steps: Annotated[Count, Documented(25), Script(f"Hugging Face's Trainer refuses 0 {SHARE}")] = 100
    num_epochs: Annotated[Count, Documented(20), Script("your script trains nothing then")] = (
        10  # after which the learning rate has reached 0, and the run ends
    )
    max_epochs: Annotated[Count, Documented(20), Ours("num_epochs")] = 10  # the budget; a run stops here at the latest
    early_stopping_patience: Annotated[Natural, Documented(5)] = 0  # evaluations without a lower WER; 0: off
    lr_scheduler_type: Annotated[
        Literal["linear", "cosine"],
        Documented("cosine"),
        Script("Hugging Face's Trainer may have it in your script; of its schedules, these two are built"),
    ] = "linear"
    batch_size: Annotated[Count, Documented(48)] = 8  # utterances
    gradient_accumulation_steps: Annotated[Count, Documented(2)] = 4  # batches per optimizer step
    learning_rate: Rate = 1e-5
    warmup_steps: Annotated[Natural, Script(TRAINER)] = 500  # optimizer steps, linear from 0
    weight_decay: Annotated[
        Decay,
        Unsettled("it is 0.01 in the training document and 0 in Hugging Face's Trainer: add yours", "0 or 0.01, taken"),
    ] = 0.01  # biases and layer norms have none
    fp16: Flag = True  # autocast with a gradient scaler, on a GPU; no effect on a CPU
    bf16: Annotated[Flag, Ours()] = False  # autocast without a scaler, on a GPU that has it
    optim: Annotated[
        Literal["adamw_torch", "adamw_torch_fused"],
        Script("Hugging Face's Trainer has other optimisers in your script; of them, AdamW is built here"),
    ] = "adamw_torch"
    max_grad_norm: MaybeClip = 1.0  # of the global L2 norm; 0: no clipping
    evaluation_strategy: Annotated[
        Literal["steps"],
        Script("your script evaluates after epochs, or never; a search evaluates after steps: set eval_steps, too"),
    ] = "steps"
    eval_steps: Annotated[
        Count, Documented(500), Script(f"Hugging Face's Trainer takes logging_steps for 0 {SHARE}")
    ] = 1000  # optimizer steps between the evaluations that patience counts
    per_device_eval_batch_size: Annotated[Count, Documented(96)] = 8
    eval_batch_size: Annotated[Count, Documented(96)] = 8
    dataloader_num_workers: Workers = 8  # threads that read ahead for a GPU
    dataloader_prefetch_factor: Count = 4  # batches read ahead per thread
    dataloader_pin_memory: Flag = True
    seed: Seed = 42  # of the split into training and validation; a run's own seed is given where it is built
    load_best_model_at_end: Flag = True
    metric_for_best_model: Annotated[
        Literal["wer"], Script("your script keeps the checkpoint that is best by it; a search judges by WER")
    ] = "wer"
    greater_is_better: Annotated[
        Literal[False], Script("your script keeps the checkpoint with the highest WER then, which is the worst")
    ] = False
    remove_unused_columns: Flag = False
    prediction_loss_only: Flag = False

    @model_validator(mode="before")
    @classmethod
    def _whole_schedule(cls, given: Any) -> Any:
        """Without a budget of our own, a run is as long as its schedule."""
        if not isinstance(given, Mapping) or "max_epochs" in given:
            return given
        epochs = given.get("num_epochs")
        return {**given, "max_epochs": epochs} if type(epochs) is int and epochs > 0 else given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.save_steps % self.eval_steps:
            near = max(1, self.save_steps // self.eval_steps) * self.eval_steps
            what = f"save_steps {self.save_steps} must be a multiple of eval_steps {self.eval_steps}"
            faults.append(Fault(f"{what}, so that a saved checkpoint has a WER", TRAINER, f"try {near}"))
        if self.save_strategy == "steps" and self.output_dir is None:
            what = "save_strategy steps needs output_dir, which is null"
            script = "your script doesn't know save_strategy"
            faults.append(Fault(what, script, "name a folder, or set save_strategy to 'no'"))
        if self.fp16 and self.bf16:
            faults.append(Fault("fp16 and bf16 are both true", TRAINER, "set one of them to false"))
        refuse(faults)
        return self


class Evaluation(NativeSection):
    """How transcripts are judged."""

    primary_metric: Annotated[Literal["wer"], Script("your script reports it; a search judges by WER")] = "wer"
    compute_cer: Flag = True
    normalize_predictions: Flag = True
    normalize_references: Flag = True
    save_predictions: Flag = False
    predictions_file: Text | None = None
    analyze_by_groups: tuple[Text, ...] | Flag | None = ("age_bucket",)


class Inference(NativeSection):
    """Generation; of these, validation uses max_length, and is greedy as evaluation in training is."""

    max_length: Annotated[
        Whole,
        Field(ge=8, le=LONGEST_LABELS),
        Script("your script has no room for a transcript below 8 tokens, and Whisper's decoder ends at 448"),
    ] = LONGEST_LABELS  # tokens, the prompt's included
    num_beams: Count = 5
    temperature: Annotated[NotNegative, Script("Hugging Face's generate refuses it in your script, too")] = 0.0
    batch_size: Count = 16
    device: Text | None = None
    return_timestamps: Flag = False
    return_language: Flag = False


class System(NativeSection):
    """What only the user's own script reads."""

    log_level: Text = "INFO"
    verbose: Flag = False
    deterministic: Flag = False
    benchmark: Flag = False


class Config(NativeSection):
    """One training of whisper_child; a key it doesn't know is carried through unchanged."""

    model: Network = Network()
    data: DataKeys = DataKeys()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    inference: Inference = Inference()
    system: System = System()

    @property
    def batches_per_epoch(self) -> int:
        """Batches that hold every training utterance once; the last may be smaller."""
        return -(-self.data.train_utterances // self.training.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; the last may accumulate fewer batches, as in the Seq2SeqTrainer."""
        return -(-self.batches_per_epoch // self.training.gradient_accumulation_steps)

    @property
    def total_steps(self) -> int:
        """Optimizer steps until the learning rate has reached 0."""
        return self.training.num_epochs * self.steps_per_epoch

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        start = self.model.random_init
        if start is not None and self.inference.max_length > start.max_target_positions:
            most = start.max_target_positions
            what = f"inference.max_length {self.inference.max_length} is above model.random_init.max_target_positions"
            refuse([Fault(f"{what} {most}", "your script doesn't know random_init", "set it at or below")])
        return self
