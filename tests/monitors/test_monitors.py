"""Monitors on our own module: what they log, and that logging it changes nothing."""

import copy
import hashlib
import math

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from flatspot import evidence
from flatspot.errors import BadInput
from flatspot.models.forecaster import Forecaster
from flatspot.monitors import ActivationMonitor, Doctor, GradientNormMonitor, OutputDiversityMonitor
from flatspot.monitors.seeding import EpochSeed
from flatspot.probes.diversity import OutputDiversity, output_diversity
from flatspot.probes.gradient import gradient_norms, parameter_blocks


def fit(model, data, options, callbacks, **others):
    trainer = Trainer(**({"max_epochs": 2, **options, "callbacks": callbacks} | others))
    trainer.fit(model, datamodule=data)
    return trainer


class Witness(Callback):
    """The slow, obvious twin: keeps every gradient norm and every prediction, and compares afterwards."""

    def __init__(self):
        self.norms, self.pairs = [], {"train": [], "val": []}

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.norms.append(gradient_norms(parameter_blocks(pl_module))["total"].item())

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        with torch.no_grad():
            self.pairs["val"].append((pl_module(batch[0]), batch[1]))

    def on_validation_epoch_start(self, trainer, pl_module):
        self.pairs["val"].clear()

    def on_train_epoch_start(self, trainer, pl_module):
        self.norms.clear()


def test_validation_diversity_is_that_of_all_samples_together(forecaster, data, trainer_options):
    witness = Witness()
    trainer = fit(forecaster, data, trainer_options, [OutputDiversityMonitor(), witness])
    predictions, targets = (torch.cat(parts) for parts in zip(*witness.pairs["val"], strict=True))
    expected = output_diversity(predictions, targets)
    for name, value in expected._asdict().items():
        assert trainer.callback_metrics[f"diversity/{name}_val"].item() == pytest.approx(value, rel=1e-5)
    assert "diversity/ratio_train" in trainer.callback_metrics
    assert "diversity/duplicates_train" in trainer.callback_metrics


def test_gradient_figures_are_of_every_step_since_the_last_point(forecaster, data, trainer_options):
    witness = Witness()
    trainer = fit(forecaster, data, trainer_options, [GradientNormMonitor(), witness])
    assert trainer.callback_metrics["gradient/total"].item() == pytest.approx(sum(witness.norms) / len(witness.norms))
    assert trainer.callback_metrics["gradient/total_max"].item() == pytest.approx(max(witness.norms))
    assert {"gradient/encoder", "gradient/head"} <= set(trainer.callback_metrics)


def test_gradients_are_read_before_clipping(forecaster, data, trainer_options):
    free = fit(copy.deepcopy(forecaster), data, trainer_options, [GradientNormMonitor()], max_steps=1, max_epochs=-1)
    clipped = fit(
        forecaster, data, trainer_options, [GradientNormMonitor()], max_steps=1, max_epochs=-1, gradient_clip_val=1e-4
    )
    assert clipped.callback_metrics["gradient/total"] == free.callback_metrics["gradient/total"] > 1e-3


def test_under_accumulation_steps_are_counted_and_not_batches(forecaster, waves, data, trainer_options):
    """Two half batches give the gradient of one whole one, and one step, not two, is counted."""
    halves = data.__class__(waves, window=12, horizon=3, batch_size=16)
    steps = {"max_steps": 2, "max_epochs": -1}
    whole = fit(copy.deepcopy(forecaster), data, trainer_options, [GradientNormMonitor()], **steps)
    witness = Witness()
    accumulated = fit(
        forecaster, halves, trainer_options, [GradientNormMonitor(), witness], accumulate_grad_batches=2, **steps
    )
    assert len(witness.norms) == 2
    for name in ("gradient/total", "gradient/total_max", "gradient/head"):
        assert accumulated.callback_metrics[name].item() == pytest.approx(whole.callback_metrics[name].item(), rel=1e-5)


def test_under_accumulation_every_sample_is_counted(forecaster, data, trainer_options, monkeypatch):
    sizes = []
    update = OutputDiversity.update

    def counting(metric, predictions, targets):
        sizes.append(len(targets))
        update(metric, predictions, targets)

    monkeypatch.setattr(OutputDiversity, "update", counting)
    fit(forecaster, data, trainer_options, [OutputDiversityMonitor()], max_epochs=1, accumulate_grad_batches=3)
    assert sorted(sizes) == sorted([len(data.dataset("train")), len(data.dataset("val"))])


ALL = (OutputDiversityMonitor, GradientNormMonitor, ActivationMonitor)


@pytest.mark.parametrize(
    ("cell", "activation", "initial_state"),
    [
        ("rnn", "relu", "zeros"),
        ("rnn", "tanh", "normal"),
        ("gru", "tanh", "learned"),
        ("gru", "softsign", "zeros"),
        ("lstm", "tanh", "zeros"),
    ],
)
def test_watching_changes_nothing(cell, activation, initial_state, data, trainer_options, tmp_path):
    """Bitwise the same weights, losses, gradients, modes and random states: dropout, shuffling and logger on."""

    def fitted(monitors):
        torch.manual_seed(0)
        model = Forecaster(
            inputs=2,
            horizon=3,
            cell=cell,
            activation=activation,
            initial_state=initial_state,
            hidden_size=8,
            num_layers=2,
            dropout=0.3,
            lr=1e-2,
        )
        logger = TensorBoardLogger(tmp_path, name="", version="")
        trace = Trace()
        callbacks = [EpochSeed(0), *monitors, trace]
        fit(model, data, trainer_options | {"logger": logger}, callbacks, log_every_n_steps=2)
        return model.state_dict(), trace.seen

    doctor = Doctor(tmp_path / "evidence", first=2)
    (off, seen), (on, watched) = fitted([]), fitted([doctor, *(monitor() for monitor in ALL)])
    assert all(torch.equal(off[name], on[name]) for name in off)
    assert seen == watched
    assert len(evidence.read(tmp_path / "evidence")) > 4


def _digest(state):
    return hashlib.sha256(repr(state.tolist() if isinstance(state, torch.Tensor) else state).encode()).hexdigest()[:8]


class Trace(Callback):
    """Losses, modes, gradients and random states after every batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        modes = tuple(each.training for each in pl_module.modules())
        gradients = tuple(each.grad.sum().item() for each in pl_module.parameters())
        # Python's own is left out: beartype draws from it to choose what it checks.
        draws = (_digest(torch.get_rng_state()), _digest(np.random.get_state()))
        self.seen.append((outputs["loss"].item(), modes, gradients, draws))

    def on_validation_end(self, trainer, pl_module):
        self.seen.append(trainer.callback_metrics["loss/val"].item())


def test_the_tags_stand_in_tensorboard_under_their_names(forecaster, data, trainer_options, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    monitors = [OutputDiversityMonitor(), GradientNormMonitor()]
    fit(forecaster, data, trainer_options | {"logger": logger}, monitors, log_every_n_steps=3)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    names = {
        f"diversity/{name}_{part}"
        for name in ("ratio", "minimum", "flat_share", "clock_share", "duplicates")
        for part in ("train", "val")
    }
    assert names | {"gradient/total", "gradient/total_max", "gradient/encoder", "gradient/head"} <= set(
        events.Tags()["scalars"]
    )
    assert {"diversity/distance_train", "diversity/distance_val"} == set(events.Tags()["histograms"])
    # Nine steps an epoch, a point after every third; the last one falls on the epoch's end.
    assert [point.step for point in events.Scalars("gradient/total")] == [2, 5, 8, 11, 14, 17]
    assert all(math.isfinite(point.value) for tag in events.Tags()["scalars"] for point in events.Scalars(tag))


def test_every_epoch_draws_from_its_own_seed(data, forecaster, trainer_options):
    class Draws(Callback):
        def __init__(self):
            self.drawn = []

        def on_train_epoch_start(self, trainer, pl_module):
            self.drawn.append(torch.rand(1).item())

    def drawn(seed, noise):
        torch.manual_seed(noise)
        watch = Draws()
        fit(copy.deepcopy(forecaster), data, trainer_options, [EpochSeed(seed), watch])
        return watch.drawn

    assert drawn(0, noise=1) == drawn(0, noise=2)
    assert len({*drawn(0, 1), *drawn(1, 1)}) == 4


def test_lightning_gives_every_epoch_its_own_order(data, forecaster, trainer_options):
    class Orders(Callback):
        def __init__(self):
            self.first = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0:
                self.first.append(batch[1][:, 0, 0].tolist())

    watch = Orders()
    fit(forecaster, data, trainer_options, [watch])
    expected = data.dataset("train").targets[:, 0]
    orders = []
    for epoch in (0, 1):
        sampler = data.train_dataloader().sampler
        sampler.set_epoch(epoch)
        orders.append([expected[index + 12].item() for index in list(sampler)[:32]])
    assert watch.first == orders
    assert orders[0] != orders[1]


def test_a_spike_early_in_a_long_epoch_is_in_the_epochs_figures(forecaster, data, trainer_options):
    class Spike(Callback):
        def on_after_backward(self, trainer, pl_module):
            if trainer.global_step == 1:
                for parameter in pl_module.parameters():
                    parameter.grad *= 1e6

    witness = Witness()
    options = {"max_epochs": 1, "log_every_n_steps": 3, "gradient_clip_val": 1.0}
    trainer = fit(forecaster, data, trainer_options, [Spike(), GradientNormMonitor(), witness], **options)
    assert max(witness.norms) > 1e3
    assert trainer.callback_metrics["gradient/total_max"].item() == pytest.approx(max(witness.norms))
    assert trainer.callback_metrics["gradient/total"].item() == pytest.approx(sum(witness.norms) / len(witness.norms))


def test_a_step_that_is_not_finite_is_counted_and_left_out(forecaster, data, trainer_options):
    class Break(Callback):
        def on_after_backward(self, trainer, pl_module):
            if trainer.global_step in {0, 4}:
                pl_module.head.bias.grad.fill_(float("inf"))

    class Mend(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            pl_module.head.bias.grad.nan_to_num_(posinf=0.0)

    trainer = fit(
        forecaster, data, trainer_options, [Break(), GradientNormMonitor(), Mend()], max_epochs=1, log_every_n_steps=1
    )
    assert trainer.callback_metrics["gradient/not_finite"] == 2
    assert trainer.callback_metrics["gradient/total_max"].isfinite()
    assert trainer.callback_metrics["gradient/total"].isfinite()


def test_outputs_that_turned_nan_do_not_wear_last_epochs_figures(forecaster, data, trainer_options):
    class Poison(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                torch.nn.init.constant_(pl_module.head.bias, float("nan"))

    trainer = fit(forecaster, data, trainer_options, [OutputDiversityMonitor(), Poison()])
    assert trainer.callback_metrics["diversity/ratio_val"].isnan()


def test_very_wide_outputs_are_measured_on_evenly_spread_ones(monkeypatch, forecaster, data, trainer_options):
    monkeypatch.setattr("flatspot.probes.fitting.MOST_OUTPUTS", 2)
    trainer = fit(forecaster, data, trainer_options, [OutputDiversityMonitor()], max_epochs=1)
    assert 0 < trainer.callback_metrics["diversity/ratio_val"] < 3


def test_a_sample_that_is_none_is_refused():
    with pytest.raises(BadInput, match="sample_size=1"):
        OutputDiversityMonitor(sample_size=1)
