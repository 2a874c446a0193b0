"""whisper_child against Hugging Face's Seq2SeqTrainer: the same network, order and settings give the same losses."""

import numpy as np
import pytest
from synthetic_children import config, corpus
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from trainables.whisper_child.batches import Sampling, collate
from trainables.whisper_child.run import WhisperRun
from trainables.whisper_child.tokens import labels_of, tokenizer_of

CORPUS = corpus()
SEED = 3
TOLERANCE = 2e-5  # relative, of a loss; both compute in float32, and sum in other orders

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's own


def our_losses(settings, corpus=CORPUS):
    run = WhisperRun(settings, corpus, SEED)
    losses = []
    original = run.train_step

    def listening(batches, now):
        parts = original(batches, now)
        losses.append(float(parts["train_loss"]))
        return parts

    run.train_step = listening
    start = {name: weights.clone() for name, weights in run.network.state_dict().items()}
    run.train(settings.training.num_epochs)
    return losses, start, run


class Recorded(Seq2SeqTrainer):
    """Takes the batches in our order, and keeps the loss of each batch as the trainer computed it."""

    order: list

    def _get_train_sampler(self, train_dataset=None):  # noqa: ARG002 - the trainer's signature
        return self.order.pop(0)

    def training_step(self, *arguments, **named):
        loss = super().training_step(*arguments, **named)
        self.seen.append(float(loss))
        return loss


class Epochs:
    """A sampler that goes through another order each time it is asked."""

    def __init__(self, orders):
        self.orders, self.at = orders, 0

    def __iter__(self):
        self.at += 1
        return iter(self.orders[self.at - 1])

    def __len__(self):
        return len(self.orders[0])


def their_losses(settings, start, folder, corpus=CORPUS, scaled=False, clip=None):
    """Per optimizer step: what the trainer reports of each of its batches. scaled: the trainer as it comes, which takes
    Whisper's mean loss for one that is already scaled for accumulation; otherwise it divides by their number."""
    run = WhisperRun(settings, corpus, SEED)
    run.network.load_state_dict(start)
    training = settings.training
    labels = labels_of(corpus.utterances, tokenizer_of(settings.model), None, 24)
    sampling = Sampling(settings, corpus, SEED)

    def together(items):
        batch = collate(corpus, labels, items)
        return {"input_features": batch.features, "labels": batch.labels}

    arguments = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup_steps,
        lr_scheduler_type=training.lr_scheduler_type,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm if clip is None else clip,
        num_train_epochs=training.num_epochs,
        optim=training.optim,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Recorded(
        model=run.network, args=arguments, train_dataset=list(range(len(corpus.utterances))), data_collator=together
    )
    if not scaled:
        trainer.loss_is_scaled_for_ga = False
    trainer.seen, trainer.order = [], [Epochs([sampling.order(epoch) for epoch in range(training.num_epochs)])]
    trainer.train()
    grouped, at = [], 0
    for step in range(settings.total_steps):
        count = len(sampling.step(step))
        grouped.append(trainer.seen[at : at + count])
        at += count
    assert at == len(trainer.seen), "as many batches as the trainer took"
    return grouped, run.network


@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize("accumulation", [1, 2])  # 4 batches of 6, 6, 6 and 2; with 3, the last step has one
@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused"])
def test_losses_equal_those_of_the_seq2seq_trainer(tmp_path, shape, accumulation, optim):
    settings = config(
        training__lr_scheduler_type=shape,
        training__gradient_accumulation_steps=accumulation,
        training__optim=optim,
        training__weight_decay=0.1,
        training__max_grad_norm=0.5,
    )
    ours, start, run = our_losses(settings)
    theirs, network = their_losses(settings, start, tmp_path)
    assert len(ours) == settings.total_steps == len(theirs)
    np.testing.assert_allclose(ours, [sum(losses) for losses in theirs], rtol=TOLERANCE)
    assert ours[-1] < ours[0] - 0.3, "it has learnt"
    for name, weights in network.state_dict().items():
        np.testing.assert_allclose(run.network.state_dict()[name], weights, atol=2e-5, err_msg=name)


def test_an_uneven_last_step_of_an_epoch_counts_the_batches_it_has(tmp_path):
    settings = config(training__gradient_accumulation_steps=3, training__max_grad_norm=0.5)
    ours, start, _ = our_losses(settings)
    theirs, _ = their_losses(settings, start, tmp_path)
    assert [len(losses) for losses in theirs] == [3, 1] * 3
    np.testing.assert_allclose(ours, [sum(losses) for losses in theirs], rtol=TOLERANCE)


def test_the_trainer_as_it_comes_adds_the_batches_of_a_step_up(tmp_path):
    """transformers 5 believes that Whisper's loss is scaled for accumulation, as its forward takes any keyword: it
    leaves out the division. AdamW forgives it, a clip by norm does not: with the norm scaled alike, all is equal."""
    clip = 1.5  # between the norms of the steps
    settings = config(training__gradient_accumulation_steps=2, training__max_grad_norm=clip)
    ours, start, _ = our_losses(settings)
    theirs, _ = their_losses(settings, start, tmp_path, scaled=True, clip=2 * clip)
    np.testing.assert_allclose(ours, [np.mean(losses) for losses in theirs], rtol=1e-4)
    unscaled, _ = their_losses(settings, start, tmp_path, scaled=True)
    assert max(abs(a - np.mean(b)) for a, b in zip(ours, unscaled, strict=True)) > 1e-4


def test_another_seed_has_other_losses():
    """So that the comparison above can fail."""
    settings = config()
    ours, _, _ = our_losses(settings)
    other = WhisperRun(settings, CORPUS, SEED + 1)
    assert abs(other.train(1)["train_loss"] - np.mean(ours[:4])) > 1e-4
