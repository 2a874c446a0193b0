"""The network: an encoder of the first frame and a decoder that rolls the rest out, one frame from the one before.

Sequence to sequence after Sutskever, Vinyals & Le (NIPS 2014); attention on the encoder and on the decoder's own past
after Luong, Pham & Manning (EMNLP 2015), general score. The encoder sees the given frame and nothing after it.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.sequence_generator.config import Config
from trainables.sequence_generator.layout import FEATURES, N_COMPONENTS

State = tuple[Tensor, Tensor]


class SequenceGenerator(nn.Module):
    """Features (B, T, 7) → predicted components (B, T − 1, 5) of the frames after the first."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, layers = config.hidden_size, config.num_layers
        dropout = config.dropout if layers > 1 else 0.0
        both = config.bidirectional
        inputs = len(FEATURES)
        self.encoder = nn.LSTM(inputs, hidden, layers, batch_first=True, dropout=dropout, bidirectional=both)
        self.decoder = nn.LSTM(inputs, hidden, layers, batch_first=True, dropout=dropout)
        # Documented: back to all 7 features. The two constants are held at their values instead of being predicted.
        self.out = nn.Linear(hidden, inputs)
        # Both directions' states and outputs, each into one of the decoder's width.
        self.join_h, self.join_c, self.join_out = (
            (nn.Linear(2 * hidden, hidden) if both else nn.Identity()) for _ in range(3)
        )
        self.score = nn.Linear(hidden, hidden, bias=False) if config.attention else None
        self.mix = nn.Linear(2 * hidden, hidden) if config.attention else None

    def forward(self, shown: Tensor, forced: Tensor | None = None) -> Tensor:
        """Roll out as many frames as `shown` (B, T, 7) has after its first.

        forced: which frames' true features the decoder gets as its inputs, (T − 1,) bool on the CPU; the first always.
        None: only the first (free-running), and nothing of `shown` after its first frame is read. Where a stretch of
        inputs is forced, no prediction is waited for, and it runs as one call.
        """
        memory, state = self._encoded(shown[:, :1])
        constants = shown[:, :1, N_COMPONENTS:]  # (B, 1, 2), of the given frame: they never change
        steps = shown.shape[1] - 1
        free = [0, *(step for step in range(1, steps) if forced is None or not forced[step]), steps]
        predicted: list[Tensor] = []
        for start, end in pairwise(free):
            inputs = shown[:, :1] if start == 0 else torch.cat([predicted[-1][:, -1:], constants], dim=2)
            if end > start + 1:
                inputs = torch.cat([inputs, shown[:, start + 1 : end]], dim=1)  # (B, end − start, 7)
            hidden, state = self.decoder(inputs, state)
            if self.score is not None:
                memory = torch.cat([memory, hidden], dim=1)
                hidden = self._attended(hidden, memory)
            predicted.append(self.out(hidden)[:, :, :N_COMPONENTS])
        return torch.cat(predicted, dim=1)  # (B, T − 1, 5)

    def _encoded(self, first: Tensor) -> tuple[Tensor, State]:
        """The encoder's output (B, 1, H) and its last states, (layers, B, H) each, of the first frame (B, 1, 7)."""
        output, (h, c) = self.encoder(first)
        if self.encoder.bidirectional:
            layers, batch = self.encoder.num_layers, len(first)
            h, c = (x.view(layers, 2, batch, -1).transpose(1, 2).flatten(2) for x in (h, c))  # (layers, B, 2H)
        return self.join_out(output), (self.join_h(h).contiguous(), self.join_c(c).contiguous())

    def _attended(self, hidden: Tensor, memory: Tensor) -> Tensor:
        """Hidden states (B, n, H) mixed with what they attend to in `memory` (B, m, H), whose last n they are.

        Each sees the memory up to itself.
        """
        assert self.score is not None
        assert self.mix is not None
        n, m = hidden.shape[1], memory.shape[1]
        scores = self.score(hidden) @ memory.transpose(1, 2)  # (B, n, m)
        if n > 1:
            future = torch.ones(n, m, dtype=torch.bool, device=hidden.device).triu(m - n + 1)
            scores = scores.masked_fill(future, float("-inf"))
        context = functional.softmax(scores, dim=2) @ memory  # (B, n, H)
        mixed: Tensor = torch.tanh(self.mix(torch.cat([hidden, context], dim=2)))
        return mixed
