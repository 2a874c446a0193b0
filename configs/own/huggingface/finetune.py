"""A tiny BERT learns which symbols are more frequent. By hand: python configs/own/huggingface/finetune.py"""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments


class Counting(torch.utils.data.Dataset):
    def __init__(self, n, seed):
        self.x = torch.randint(5, 9, (n, 13), generator=torch.Generator().manual_seed(seed))
        self.y = ((self.x < 7).sum(1) > 6).long()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"input_ids": self.x[i], "labels": self.y[i]}


def accuracy(p):
    return {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())}


def make_trainer(config):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(vocab_size=16, num_labels=2, **shape))
    args = TrainingArguments(eval_strategy="epoch", save_strategy="epoch", report_to="none", use_cpu=True, **config)
    return Trainer(model, args, train_dataset=Counting(256, 1), eval_dataset=Counting(128, 2), compute_metrics=accuracy)


if __name__ == "__main__":
    make_trainer({"learning_rate": 2e-3, "num_train_epochs": 4}).train()
