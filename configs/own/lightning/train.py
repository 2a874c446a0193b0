"""A Lightning regression on a noisy sine. By hand: python configs/own/lightning/train.py"""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset


def wave(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, generator=g) * 6 - 3
    return TensorDataset(x, torch.sin(x) + 0.1 * torch.randn(n, 1, generator=g))


class Net(lightning.LightningModule):
    def __init__(self, lr, dropout, epochs):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(1, 24), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(24, 1)
        )

    def training_step(self, batch, _):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        self.log("val_loss", torch.nn.functional.mse_loss(self.net(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.hparams.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.hparams.epochs)]


def make(config):
    trainer = lightning.Trainer(max_epochs=config["epochs"], accelerator="cpu", enable_progress_bar=False, logger=False)
    module = Net(config["lr"], config["dropout"], config["epochs"])
    return trainer, module, DataLoader(wave(400, 1), 32, shuffle=True), DataLoader(wave(200, 2), 200)


if __name__ == "__main__":
    trainer, *fit = make({"lr": 1e-2, "dropout": 0.05, "epochs": 8})
    trainer.fit(*fit)
