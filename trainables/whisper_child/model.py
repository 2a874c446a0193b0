"""The network: Hugging Face's Whisper, pretrained or small and random, and its parameter groups."""

from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer

from trainables.whisper_child.config import Config
from trainables.whisper_child.tokens import END, START, check_weights, token_id, unreadable, weights_folder

NO_DECAY = ("bias", "layer_norm")  # parts of names; Seq2SeqTrainer decays neither biases nor layer norms


def network_of(config: Config, tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    """The network in its initial state; random weights come from torch's generator. Raises BadInput."""
    folder = weights_folder(config.model)
    if folder is None:
        network = WhisperForConditionalGeneration(_small(config, tokenizer))
        network.generation_config = _generation(tokenizer)
    else:
        check_weights(folder, config)
        try:
            network = WhisperForConditionalGeneration.from_pretrained(
                folder, dropout=config.model.dropout, use_cache=False, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise unreadable(folder, error) from error
    network.config.use_cache = False
    # Language and task are given with each call.
    network.generation_config.update(forced_decoder_ids=None)  # type: ignore[no-untyped-call]
    if config.model.gradient_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    return network


def groups(network: WhisperForConditionalGeneration) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: the encoder and the rest, each with and without weight decay.

    The encoder's positions are constants, and in no group.
    """
    constants = {id(network.model.encoder.embed_positions.weight)}
    split: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, weights in network.named_parameters():
        if id(weights) not in constants:
            key = name.startswith("model.encoder."), not any(part in name for part in NO_DECAY)
            split.setdefault(key, []).append(weights)
    return [
        {"params": params, "encoder": encoder, "decays": decays, "weight_decay": 0.0}
        for (encoder, decays), params in split.items()
    ]


def set_frozen(network: WhisperForConditionalGeneration, frozen: bool) -> None:
    """Let the encoder take gradients, or not; its positions never do."""
    for weights in network.model.encoder.parameters():
        weights.requires_grad_(not frozen)
    network.model.encoder.embed_positions.requires_grad_(False)


def _small(config: Config, tokenizer: WhisperTokenizer) -> WhisperConfig:
    start = config.model.random_init
    assert start is not None, "without pretrained weights there is random_init"
    end = token_id(tokenizer, END)
    return WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=config.data.num_mel_bins,
        d_model=start.d_model,
        encoder_layers=start.layers,
        decoder_layers=start.layers,
        encoder_attention_heads=start.heads,
        decoder_attention_heads=start.heads,
        encoder_ffn_dim=start.ffn_dim,
        decoder_ffn_dim=start.ffn_dim,
        init_std=start.init_std,
        max_source_positions=config.data.frames // 2,
        max_target_positions=start.max_target_positions,
        dropout=config.model.dropout,
        decoder_start_token_id=token_id(tokenizer, START),
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        use_cache=False,
    )


def _generation(tokenizer: WhisperTokenizer) -> GenerationConfig:
    """What Whisper's generation needs to know of the byte-level tokenizer."""
    ids = partial(token_id, tokenizer)
    return GenerationConfig(  # type: ignore[no-untyped-call]
        decoder_start_token_id=ids(START),
        bos_token_id=ids(END),
        eos_token_id=ids(END),
        pad_token_id=ids(END),
        is_multilingual=True,
        lang_to_id={"<|en|>": ids("<|en|>")},
        task_to_id={"transcribe": ids("<|transcribe|>"), "translate": ids("<|translate|>")},
        no_timestamps_token_id=ids("<|notimestamps|>"),
        return_timestamps=False,
    )
