"""The composite loss: CTC over phonemes and over diphones, the former by marginalising the latter exactly.

CTC: Graves et al., ICML 2006. The mix: Li et al., arXiv 2411.10657 (DCoND).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainables.diphone_rnn.phonemes import BLANK, N_DIPHONES, N_PHONEMES

LEAST = 1e-30
"""A phoneme's probability above which its diphones' can be summed as they are: in float32, what underflows then is
below 1e-15 of the sum."""


class LogProbs(NamedTuple):
    """Log-probabilities per frame, float32; without diphones the network's classes are the phonemes."""

    phoneme: Tensor  # (B, T', 41)
    diphone: Tensor | None  # (B, T', 1681)


def log_probs(logits: Tensor) -> LogProbs:
    """Normalised log-probabilities of both alphabets, from logits of either."""
    if logits.shape[-1] != N_DIPHONES:
        return LogProbs(functional.log_softmax(logits.float(), dim=-1), None)
    diphone, phoneme = _Marginal.apply(logits.float())  # type: ignore[no-untyped-call]
    return LogProbs(phoneme, diphone)


class _Marginal(torch.autograd.Function):
    """Log-softmax over diphones, and log P(current) = logsumexp over previous of log P(previous → current): exact, and
    normalised already.

    As one function of the logits x it costs a pass of exp over log-softmax alone. With shifts m (B, T', 1, current) of
    the logarithms, terms e = exp(log P(previous → current) − m) and sums S = Σ e over previous:

        log P(current) = m + log S
        dL/dx = g_diphone + e·(g_phoneme/S − exp(m)·Σ all g)

    where e/S is P(previous | current) and e·exp(m) is P(previous → current). m = 0 serves unless a phoneme is so
    unlikely that its terms underflow; then it is the largest logarithm over previous.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
        normal = functional.log_softmax(logits, dim=-1)
        by_previous = normal.view(*normal.shape[:-1], N_PHONEMES, N_PHONEMES)  # (B, T', previous, current)
        shift = torch.zeros((), dtype=normal.dtype, device=normal.device)
        terms = by_previous.exp()
        sums = terms.sum(dim=-2, keepdim=True)  # (B, T', 1, current)
        if sums.is_cuda or not bool((sums > LEAST).all()):  # a GPU would have to be waited for to know
            shift = by_previous.amax(dim=-2, keepdim=True)
            terms = (by_previous - shift).exp_()
            sums = terms.sum(dim=-2, keepdim=True)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(terms, sums, shift)
        return normal, (shift + sums.log()).squeeze(-2)

    @staticmethod
    def backward(ctx: Any, diphone: Tensor | None, phoneme: Tensor | None) -> Tensor:
        terms, sums, shift = ctx.saved_tensors
        total: Tensor | float = 0.0  # (B, T', 1, 1)
        if diphone is not None:
            total = total + diphone.sum(dim=-1, keepdim=True).unsqueeze(-1)
        if phoneme is not None:
            total = total + phoneme.sum(dim=-1, keepdim=True).unsqueeze(-1)
        factor = -shift.exp() * total  # (B, T', 1, current) or (B, T', 1, 1)
        if phoneme is not None:
            factor = factor + phoneme.unsqueeze(-2) / sums
        gradient: Tensor = (terms * factor).flatten(-2)  # (B, T', previous, current) → (B, T', 1681)
        return gradient if diphone is None else gradient.add_(diphone)


def ctc(log_probabilities: Tensor, labels: Tensor, frames: Tensor, counts: Tensor) -> Tensor:
    """Minus the log-likelihood of each trial's labels, summed over its frames: (B, T', classes) → (B,).

    `labels` (B, N) are padded beyond `counts` (B,); `frames` (B,) are each trial's own. Infinite where no path exists.
    """
    if labels.shape[1] + 1 < log_probabilities.shape[2]:
        loss: Tensor = _OwnClasses.apply(log_probabilities, labels, frames, counts)  # type: ignore[no-untyped-call]
        return loss
    return _ctc(log_probabilities, labels, frames, counts)


def _ctc(log_probabilities: Tensor, labels: Tensor, frames: Tensor, counts: Tensor) -> Tensor:
    by_time = log_probabilities.transpose(0, 1)  # (T', B, classes)
    return functional.ctc_loss(by_time, labels, frames, counts, blank=BLANK, reduction="none")


class _OwnClasses(torch.autograd.Function):
    """CTC over the classes that a trial's labels name, instead of all 1681: the others have no part in it.

    Class 0 is the blank, class j + 1 is what label j says where it says that first. torch's gradient is the one before
    the log-softmax that it assumes, exp(log p) − γ with the posteriors γ of Graves et al., eq. 16; here −γ is needed.
    """

    @staticmethod
    def forward(ctx: Any, log_probabilities: Tensor, labels: Tensor, frames: Tensor, counts: Tensor) -> Tensor:
        first = (labels.unsqueeze(2) == labels.unsqueeze(1)).int().argmax(dim=2)  # (B, N): where each label is first
        classes = functional.pad(labels, (1, 0), value=BLANK)  # (B, N + 1)
        classes = classes.unsqueeze(1).expand(-1, log_probabilities.shape[1], -1)  # (B, T', N + 1)
        with torch.enable_grad():
            own = log_probabilities.detach().gather(-1, classes).requires_grad_(ctx.needs_input_grad[0])
            loss = _ctc(own, first + 1, frames, counts)
        if ctx.needs_input_grad[0]:
            (gradient,) = torch.autograd.grad(loss, own, torch.ones_like(loss))
            spoken = torch.arange(own.shape[1]) < frames.unsqueeze(1)  # (B, T')
            minus_posteriors = gradient - own.detach().exp() * spoken.to(own.device, non_blocking=True).unsqueeze(2)
            ctx.save_for_backward(minus_posteriors, classes)
            ctx.shape = log_probabilities.shape
        return loss.detach()

    @staticmethod
    def backward(ctx: Any, loss: Tensor) -> tuple[Tensor, None, None, None]:
        minus_posteriors, classes = ctx.saved_tensors
        gradient = loss.new_zeros(ctx.shape)
        return gradient.scatter_add_(-1, classes, minus_posteriors * loss[:, None, None]), None, None, None


class Losses(NamedTuple):
    """The batch's mean loss and the parts that are in it."""

    total: Tensor
    phoneme: Tensor
    diphone: Tensor | None


class Targets(NamedTuple):
    """What the trials of a batch say; labels are padded with 0, counts lie on the CPU."""

    frames: Tensor  # (B,) T' of each trial
    phonemes: Tensor  # (B, N)
    phoneme_counts: Tensor  # (B,)
    diphones: Tensor  # (B, 2N + 1)
    diphone_counts: Tensor  # (B,)


def composite_loss(logits: Tensor, targets: Targets, alpha: float) -> Losses:
    """α·CTC(phoneme) + (1 − α)·CTC(diphone), each the mean over the batch of the trials' sums.

    A part of weight 0 adds neither to the loss nor to its gradient: it is only told.
    """
    found = log_probs(logits)
    assert found.diphone is not None or alpha == 1, "phonemes alone are α = 1"
    diphone = None
    total = torch.zeros((), device=logits.device)
    with torch.set_grad_enabled(torch.is_grad_enabled() and alpha > 0):
        phoneme = ctc(found.phoneme, targets.phonemes, targets.frames, targets.phoneme_counts).mean()
    if alpha > 0:
        total = total + alpha * phoneme
    if found.diphone is not None:
        with torch.set_grad_enabled(torch.is_grad_enabled() and alpha < 1):
            diphone = ctc(found.diphone, targets.diphones, targets.frames, targets.diphone_counts).mean()
        if alpha < 1:
            total = total + (1 - alpha) * diphone
    return Losses(total, phoneme, diphone)
