"""Validation: every held-out utterance once, unmasked, in batches that no knob changes, transcribed greedily."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from trainables.whisper_child.batches import IGNORED, Batch, collate
from trainables.whisper_child.config import Config
from trainables.whisper_child.data import Corpus
from trainables.whisper_child.metrics import Heard, validation_metrics
from trainables.whisper_child.tokens import Labels, normalizer_of

IN_MEMORY = 1 << 30  # bytes of batches that are kept between evaluations


class Validation:
    """The utterances of the children that are not trained on, longest first, so that batches end alike."""

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        labels: Sequence[Labels],
        tokenizer: WhisperTokenizer,
        device: torch.device,
    ) -> None:
        self._config, self._corpus, self._labels = config, corpus, labels
        self._tokenizer, self._device = tokenizer, device
        size = config.training.eval_batch_size
        held = sorted(corpus.validation, key=lambda index: -len(labels[index]))  # stable: by length, then as they came
        self._batches = [held[start : start + size] for start in range(0, len(held), size)]
        bytes_each = 4 * config.data.num_mel_bins * config.data.frames
        self._keep = bytes_each * len(held) <= IN_MEMORY
        self._kept: dict[int, Batch] = {}
        judged, plain = config.evaluation, _plain
        normalizer = normalizer_of(tokenizer)
        self._said: Callable[[str], str] = normalizer if judged.normalize_references else plain
        self._heard: Callable[[str], str] = normalizer if judged.normalize_predictions else plain

    def metrics(self, network: WhisperForConditionalGeneration) -> dict[str, float]:
        """All metrics of the network, which is in evaluation mode; only the loss where that is not finite."""
        heard: list[Heard] = []
        losses: list[tuple[float, int]] = []
        for number in range(len(self._batches)):
            batch = self._batch(number)
            losses.append(_loss(network, batch))
            if not math.isfinite(losses[-1][0]):
                return {"val_loss": losses[-1][0]}
            heard += self._transcribed(network, batch)
        judged = self._config.evaluation
        groups = judged.analyze_by_groups
        per_age = groups is True or (isinstance(groups, tuple) and "age_bucket" in groups)
        found = validation_metrics(heard, judged.compute_cer, per_age)
        return {**found, "val_loss": math.fsum(loss for loss, _ in losses) / sum(count for _, count in losses)}

    def _batch(self, number: int) -> Batch:
        """A batch on the device."""
        if number in self._kept:
            return self._kept[number]
        batch = collate(self._corpus, self._labels, self._batches[number]).to(self._device)
        if self._keep:
            self._kept[number] = batch
        return batch

    def _transcribed(self, network: WhisperForConditionalGeneration, batch: Batch) -> list[Heard]:
        """What the network makes of a batch: the likeliest token each time, as evaluation in training does."""
        model, inference = self._config.model, self._config.inference
        tokens = network.generate(
            input_features=batch.features,
            language=model.language,
            task=model.task,
            max_length=inference.max_length,
            num_beams=1,
            do_sample=False,
            use_cache=True,
            return_timestamps=False,
        )  # (B, tokens)
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [
            Heard(utterance.age, self._said(utterance.text), self._heard(text))
            for utterance, text in zip((self._corpus.utterances[i] for i in batch.indices), texts, strict=True)
        ]


def _loss(network: WhisperForConditionalGeneration, batch: Batch) -> tuple[float, int]:
    """The sum over labels of the cross-entropy, and how many labels there are."""
    logits: Tensor = network(input_features=batch.features, labels=batch.labels).logits  # (B, L, tokens)
    total = functional.cross_entropy(
        logits.float().flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return float(total), int((batch.labels != IGNORED).sum())


def _plain(text: str) -> str:
    """Without the normaliser: only spaces are made even."""
    return " ".join(text.split())
