"""A step with a gradient that is NaN or infinite: stop, skip, continue."""

import logging
import math

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatspot.errors import BadInput
from flatspot.monitors import GradientNormMonitor, finite_steps
from flatspot.monitors.finite_steps import FiniteSteps

BATCHES = 6


class Net(LightningModule):
    """Its loss, or (with `gradient`) only its gradient, is not finite at the optimizer steps named, from 1."""

    def __init__(self, at=(), value=math.nan, optimizer=torch.optim.AdamW, *, gradient=False):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)
        self.at, self.value, self.optimizer, self.gradient = at, value, optimizer, gradient
        self.calls = 0

    def training_step(self, batch, batch_idx):
        self.calls += 1
        loss = nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        if self.calls not in self.at:
            return loss
        if not self.gradient:
            return loss * self.value
        return loss + (self.layer.weight.sum() * 0).sqrt()  # 0, with the gradient 1/0 · 0

    def validation_step(self, batch, batch_idx):
        self.log("loss/val", nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), lr=0.1, weight_decay=0.1)


def loader():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(BATCHES * 4, 3, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=4)


def fit(module, *callbacks, folder, epochs=2, accelerator="cpu", ckpt_path=None, **options):
    saved = ModelCheckpoint(folder, monitor="loss/val", filename="best")
    trainer = Trainer(
        accelerator=accelerator,
        max_epochs=epochs,
        callbacks=[*callbacks, saved],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=2,
        **options,
    )
    trainer.fit(module, loader(), loader(), ckpt_path=ckpt_path, weights_only=True)
    return trainer


def by_hand(module, left_out, steps):
    """The obvious twin: the optimizer is not called at all at these steps."""
    optimizer = module.configure_optimizers()
    batches = list(loader())
    for step in range(1, steps + 1):
        x, y = batches[(step - 1) % BATCHES]
        optimizer.zero_grad()
        nn.functional.mse_loss(module.layer(x), y).backward()
        if step not in left_out:
            optimizer.step()
    return module.layer


def same(one, other):
    return all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_skip_leaves_out_these_steps_and_no_other(optimizer, value, tmp_path):
    at = (1, 3, 4, 9)
    module, guard = Net(at, value, optimizer), FiniteSteps("skip")
    fit(module, guard, folder=tmp_path)
    assert same(module.layer, by_hand(Net(optimizer=optimizer), at, 2 * BATCHES))
    assert guard.figures() == {
        "training/not_finite": 4.0,
        "training/first_not_finite": 1.0,
        "training/not_finite_share": 4 / (2 * BATCHES),
        "training/left_out": 4.0,
    }
    assert guard.taken == 2 * BATCHES - 4


@pytest.mark.parametrize("gradient", [False, True])
def test_stop_ends_before_the_step_with_the_weights_as_they_were(gradient, tmp_path, caplog):
    module, guard = Net((9,), gradient=gradient), FiniteSteps("stop")
    with caplog.at_level(logging.WARNING):
        trainer = fit(module, guard, folder=tmp_path, epochs=5)
    assert module.calls == 9
    assert same(module.layer, by_hand(Net(), (9,), 9))
    assert math.isfinite(trainer.callback_metrics["loss/val"])  # it was validated once more, before the step
    assert "gradient of optimizer step 9 is NaN or infinite: training stops" in caplog.text
    assert guard.figures() == {
        "training/not_finite": 1.0,
        "training/first_not_finite": 9.0,
        "training/not_finite_share": 1.0,
        "training/left_out": 1.0,
    }
    assert guard.taken == 8
    best = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)["state_dict"]
    assert all(each.isfinite().all() for each in best.values())


NEAR_AND_FAR = pytest.mark.parametrize("at_hand", [("cpu",), ()], ids=["near", "far"])


@NEAR_AND_FAR
def test_continue_takes_every_step_and_counts(at_hand, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(finite_steps, "AT_HAND", at_hand)
    module, guard = Net((5,)), FiniteSteps("continue")
    fit(module, guard, folder=tmp_path)
    assert module.calls == 2 * BATCHES
    assert module.layer.weight.isnan().all()
    assert guard.figures() == {
        "training/not_finite": 8.0,  # all that came after, too
        "training/first_not_finite": 5.0,
        "training/not_finite_share": 1.0,
        "training/left_out": 0.0,
    }
    assert guard.taken == 2 * BATCHES
    told = "the gradient of optimizer step 5 is NaN or infinite: it is taken (on_not_finite=continue)"
    assert [each for each in caplog.messages if "NaN" in each] == [told]


@NEAR_AND_FAR
@pytest.mark.parametrize("action", ["stop", "skip", "continue"])
def test_a_healthy_fit_is_bitwise_the_same(action, at_hand, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(finite_steps, "AT_HAND", at_hand)
    watched, free = Net(), Net()
    guard = FiniteSteps(action)
    fit(watched, guard, folder=tmp_path / "a", gradient_clip_val=0.5)
    fit(free, folder=tmp_path / "b", gradient_clip_val=0.5)
    assert same(watched, free)
    assert guard.figures() == {}
    assert "NaN" not in caplog.text


def test_large_gradients_are_finite(tmp_path):
    """Their squares are no float32s, nor is the loss of what comes of them: the steps are taken all the same."""
    module, guard = Net((2,), 1e25, torch.optim.SGD), FiniteSteps("stop")
    fit(module, guard, folder=tmp_path, epochs=1)
    assert guard.figures() == {}
    assert module.calls == BATCHES
    assert module.layer.weight.abs().max() > 1e20


def test_the_monitors_see_what_was_left_out(tmp_path):
    monitor = GradientNormMonitor()
    trainer = fit(Net((3, 5)), monitor, FiniteSteps("skip"), folder=tmp_path, epochs=1)
    assert trainer.callback_metrics["gradient/not_finite"] == 2


def test_clipping_and_accumulation_meet_no_gradient(tmp_path):
    module, guard = Net((3,)), FiniteSteps("skip")
    fit(module, guard, folder=tmp_path, epochs=1, gradient_clip_val=1.0, accumulate_grad_batches=2)
    assert guard.seen == 1
    assert guard.figures()["training/first_not_finite"] == 2  # of batches 3 and 4
    assert module.layer.weight.isfinite().all()


@pytest.fixture
def far(monkeypatch):
    """As on a device of whose numbers the host does not ask in every step."""
    monkeypatch.setattr(finite_steps, "AT_HAND", ())


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize(("at", "seen_after"), [(9, 10), (11, 12), (12, 12)])
def test_on_an_accelerator_stop_holds_the_weights_until_the_host_looks(at, seen_after, optimizer, tmp_path):
    """With momentum and weight decay, which move weights whose gradient is 0."""
    module, guard = Net((at,), optimizer=optimizer), FiniteSteps("stop")
    fit(module, guard, folder=tmp_path, epochs=5)
    assert module.calls == seen_after  # `log_every_n_steps` is 2
    assert same(module.layer, by_hand(Net(optimizer=optimizer), range(at, 99), seen_after))
    assert guard.figures() == {
        "training/not_finite": 1.0,
        "training/first_not_finite": float(at),
        "training/not_finite_share": 1.0,
        "training/left_out": 1.0 + seen_after - at,
    }


@pytest.mark.usefixtures("far")
def test_on_an_accelerator_skip_asks_in_every_step(tmp_path):
    module, guard = Net((2, 7)), FiniteSteps("skip")
    fit(module, guard, folder=tmp_path)
    assert same(module.layer, by_hand(Net(), (2, 7), 2 * BATCHES))


class Scaler:
    """Of 16-bit precision, quartering its scale whenever it is looked at: on a CPU there is none."""

    def __init__(self):
        self.scale = 2.0**16

    def get_scale(self):
        self.scale /= 4
        return self.scale


@pytest.mark.parametrize(("action", "calls"), [("stop", 30), ("skip", 10 * BATCHES)])
def test_a_scaler_is_left_alone_until_nothing_is_left_of_its_scale(action, calls, tmp_path, monkeypatch):
    scaler = Scaler()
    monkeypatch.setattr(finite_steps, "_scaler", lambda trainer: scaler)
    module, guard = Net(), FiniteSteps(action)
    fit(module, guard, folder=tmp_path, epochs=10)
    assert module.calls == calls  # nineteen looks: four an epoch of six, one as it ends
    assert guard.seen == (action == "stop")


@pytest.mark.gpu
@pytest.mark.parametrize("action", ["stop", "skip"])
def test_on_a_gpu(action, tmp_path):
    module, guard = Net((9,)), FiniteSteps(action)
    fit(module, guard, folder=tmp_path, epochs=3, accelerator="gpu", devices=1)
    assert guard.figures()["training/first_not_finite"] == 9.0
    assert module.layer.weight.isfinite().all()
    assert module.calls == (10 if action == "stop" else 3 * BATCHES)  # `log_every_n_steps` is 2


def test_a_fit_that_goes_on_counts_on(tmp_path):
    first = fit(Net((2, 3)), FiniteSteps("skip"), folder=tmp_path / "one", epochs=1)
    first.save_checkpoint(tmp_path / "last.ckpt")
    guard = FiniteSteps("skip")
    with pytest.warns(UserWarning, match="The dirpath has changed"):
        fit(Net((2,)), guard, folder=tmp_path / "two", epochs=2, ckpt_path=tmp_path / "last.ckpt")
    assert guard.seen == 3
    assert guard.figures()["training/first_not_finite"] == 2


def test_another_word():
    with pytest.raises(BadInput, match="on_not_finite=skipp: did you mean 'skip'"):
        FiniteSteps("skipp")


def test_an_early_stopping_beside_it_is_left_alone(tmp_path):
    stopper = EarlyStopping("loss/val", patience=1, min_delta=1e9)
    trainer = fit(Net(), stopper, FiniteSteps("stop"), folder=tmp_path, epochs=9)
    assert trainer.current_epoch == 2
