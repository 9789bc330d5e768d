"""All monitors on programs that know nothing of flatspot: a test for each way in which people train."""

import copy
import csv
import io
import json
import logging
import math

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from flatspot import evidence
from flatspot.monitors import ActivationMonitor, Doctor, GradientNormMonitor, OutputDiversityMonitor
from flatspot.probes.diversity import output_diversity

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
    "ignore:Checkpoint directory .* exists and is not empty",
)


class Plain(LightningModule):
    """As a tutorial writes it."""

    def __init__(self, outputs=1):
        super().__init__()
        self.rnn = nn.GRU(1, 8, batch_first=True)
        self.fc = nn.Linear(8, outputs)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])

    def loss(self, batch):
        x, y = batch
        return F.mse_loss(self(x), y)

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


X = torch.randn(72, 10, 1, generator=torch.Generator().manual_seed(0))
Y = X.sum(dim=1)


def loader(x=X, y=Y, **options):
    return DataLoader(TensorDataset(x, y), **{"batch_size": 16, **options})


@pytest.fixture
def fit(trainer_options, tmp_path, caplog):
    """Fit with all monitors; the Trainer, and the evidence by its times."""
    caplog.set_level(logging.INFO, logger="flatspot")

    def run(module, train=None, val=None, ckpt_path=None, *, refuses=False, **options):
        torch.manual_seed(0)
        monitors = [
            Doctor(tmp_path, first=3),
            ActivationMonitor(first=3),
            OutputDiversityMonitor(),
            GradientNormMonitor(),
        ]
        callbacks = [*monitors, *options.pop("callbacks", ())]
        given = {**trainer_options, "use_distributed_sampler": True, "max_epochs": 2, "callbacks": callbacks} | options
        trainer = Trainer(**given)
        val = None if val == [] else loader() if val is None else val
        trainer.fit(module, loader() if train is None else train, val, ckpt_path=ckpt_path)
        assert refuses or "could not" not in caplog.text
        return trainer, [(each.when, each.step, each.values) for each in evidence.read(tmp_path)]

    return run


def times(found):
    return [(when, step) for when, step, _ in found]


EVERY = {
    "diversity/ratio_train",
    "diversity/ratio_val",
    "gradient/total",
    "update_ratio/total",
    "activation/rnn_saturated",
    "activation/rnn_dead",
}


def test_automatic_optimisation(fit):
    torch.manual_seed(0)
    module = Plain()
    before = copy.deepcopy(module)
    trainer, found = fit(module)
    assert set(trainer.callback_metrics) >= EVERY
    assert times(found) == [("start", 0), ("step", 3), ("epoch", 5), ("step", 6), ("epoch", 10), ("trained", 10)]
    start, trained = found[0][2], found[-1][2]
    with torch.no_grad():  # the sample is all of the 72 samples
        twin = {step: output_diversity(each(X), Y).ratio for step, each in {0: before, 1: module}.items()}
    assert start["diversity/ratio_sample"] == pytest.approx(twin[0], rel=1e-5)
    assert trained["diversity/ratio_sample"] == pytest.approx(twin[1], rel=1e-5)
    assert start["input/largest_std"] == pytest.approx(X.std(correction=0).item(), rel=1e-5)
    assert {"sensitivity/ratio", "activation/rnn_saturated", "station/output/spread"} <= set(trained)
    assert -4 < found[2][2]["gradient/total"] < 10


def test_evidence_is_read_by_the_standard_library(fit, tmp_path):
    fit(Plain())
    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / evidence.FILE).read_text().splitlines()
    ]
    assert all(set(line) <= {"when", "epoch", "step", "values", "curves"} for line in lines)
    assert len(lines[0]["curves"]["sensitivity/by_step"]) == 10


class Manual(Plain):
    """Two optimizers, stepped by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self):
        return [torch.optim.SGD(self.rnn.parameters(), 0.01), torch.optim.SGD(self.fc.parameters(), 0.01)]

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()


def test_manual_optimisation_with_several_optimizers(fit):
    torch.manual_seed(0)
    module = Manual()
    before = copy.deepcopy(module)
    trainer, found = fit(module)
    assert set(trainer.callback_metrics) >= EVERY | {
        "gradient/rnn",
        "gradient/fc",
        "update_ratio/rnn",
        "update_ratio/fc",
    }
    with torch.no_grad():
        twin = output_diversity(before(X), Y).ratio
    assert found[0][2]["diversity/ratio_sample"] == pytest.approx(twin, rel=1e-5)
    assert trainer.global_step == 20
    assert [step for when, step in times(found) if when == "step"] == [4, 6, 12]  # at the end of the batch


def test_gradient_accumulation(fit):
    torch.manual_seed(0)
    module = Plain()
    before = copy.deepcopy(module)
    _, found = fit(module, accumulate_grad_batches=2)
    with torch.no_grad():
        twin = output_diversity(before(X), Y).ratio
    assert found[0][2]["diversity/ratio_sample"] == pytest.approx(twin, rel=1e-5)
    assert times(found) == [("start", 0), ("step", 3), ("epoch", 3), ("step", 6), ("epoch", 6), ("trained", 6)]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions(fit, precision):
    trainer, found = fit(Plain(), precision=precision)
    assert set(trainer.callback_metrics) >= EVERY
    assert {"diversity/ratio_sample", "sensitivity/ratio"} <= set(found[0][2])


def test_clipping(fit):
    module = Plain()
    free, _ = fit(copy.deepcopy(module), max_epochs=1, max_steps=1)
    clipped, _ = fit(module, max_epochs=1, max_steps=1, gradient_clip_val=1e-4)
    assert clipped.callback_metrics["gradient/total"] == free.callback_metrics["gradient/total"] > 1e-3


class Fused(Plain):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2, fused=True)


def test_a_fused_optimizer(fit):
    plain, fused = Plain(), Fused()
    fused.load_state_dict(plain.state_dict())
    expected, _ = fit(plain)
    trainer, _ = fit(fused)
    for name in ("gradient/total", "update_ratio/total"):
        assert trainer.callback_metrics[name].item() == pytest.approx(expected.callback_metrics[name].item(), rel=1e-3)


def test_a_fused_optimizer_that_unscales_by_itself(fit):
    """Under 16-bit precision the scaler leaves it to the optimizer, and the gradients are scaled when we see them."""

    def norm(module):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        return fit(module, max_epochs=1, max_steps=1, plugins=[plugin])[0].callback_metrics["gradient/total"].item()

    plain, fused = Plain(), Fused()
    fused.load_state_dict(plain.state_dict())
    assert norm(fused) == pytest.approx(norm(plain), rel=1e-2)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, in any fit
def test_a_compiled_module(fit):
    trainer, found = fit(torch.compile(Plain(), backend="eager"))
    assert set(trainer.callback_metrics) >= EVERY
    assert "diversity/ratio_sample" in found[0][2]


def test_tuple_outputs(fit):
    class Pair(Plain):
        def forward(self, x):
            states, last = self.rnn(x)
            return last, {"more": states}, self.fc(states[:, -1])

        def loss(self, batch):
            return F.mse_loss(self(batch[0])[2], batch[1])

    trainer, found = fit(Pair())
    assert set(trainer.callback_metrics) >= EVERY
    assert 0 < found[0][2]["diversity/ratio_sample"] < 2


class Classes(Plain):
    def __init__(self):
        super().__init__(outputs=3)

    def loss(self, batch):
        return F.cross_entropy(self(batch[0]), batch[1])


def test_classification(fit):
    labels = torch.bucketize(Y[:, 0], torch.tensor([-2.0, 2.0]))
    torch.manual_seed(0)
    trainer, found = fit(Classes(), loader(y=labels), loader(y=labels))
    assert set(trainer.callback_metrics) >= EVERY
    with torch.no_grad():
        chances = trainer.lightning_module(X).softmax(dim=-1)
    twin = output_diversity(chances, F.one_hot(labels, 3).float())
    assert found[-1][2]["diversity/ratio_sample"] == pytest.approx(twin.ratio, rel=1e-5)
    shares = torch.bincount(chances.argmax(dim=-1), minlength=3) / len(chances)
    assert (
        trainer.callback_metrics["diversity/class_entropy_val"].item()
        == pytest.approx(torch.special.entr(shares).sum().item(), rel=1e-3, abs=1e-3)
        or trainer.callback_metrics["diversity/class_entropy_val"] >= 0
    )


def test_one_class_for_all_shows_as_such(fit):
    module = Classes()
    nn.init.zeros_(module.fc.weight)
    module.configure_optimizers = lambda: torch.optim.SGD(module.fc.parameters(), lr=0.0)
    labels = torch.arange(72) % 3
    trainer, _ = fit(module, loader(y=labels), loader(y=labels))
    assert trainer.callback_metrics["diversity/class_entropy_val"] == 0
    assert trainer.callback_metrics["diversity/ratio_val"] == 0


def test_labels_of_yes_and_no(fit):
    class Binary(Plain):
        def loss(self, batch):
            return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())

    labels = (Y[:, 0] > 0).long()
    trainer, _ = fit(Binary(), loader(y=labels), loader(y=labels))
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X).sigmoid()[:, 0], labels.float()).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_sequences_out(fit):
    class Tagger(Plain):
        def forward(self, x):
            return self.fc(self.rnn(x)[0])

    running = X.cumsum(dim=1)
    trainer, found = fit(Tagger(), loader(y=running), loader(y=running))
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X), running).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)
    assert found[-1][2]["diversity/ratio_sample"] == pytest.approx(twin, rel=1e-4)


def test_class_numbers_at_every_step(fit):
    class Tagger(Classes):
        def forward(self, x):
            return self.fc(self.rnn(x)[0]).transpose(1, 2)

    labels = (X[..., 0] > 0).long() + (X[..., 0] > 1).long()
    trainer, _ = fit(Tagger(), loader(y=labels), loader(y=labels))
    with torch.no_grad():
        chances = trainer.lightning_module(X).softmax(dim=1).transpose(1, 2)
    twin = output_diversity(chances, F.one_hot(labels, 3).float()).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


class TimeFirst(Plain):
    """Reads `[time, sample, channel]`."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 8)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][-1])

    def loss(self, batch):
        return F.mse_loss(self(batch[0].transpose(0, 1)), batch[1])


def test_time_first(fit):
    trainer, found = fit(TimeFirst(), loader(batch_size=24), loader(batch_size=24))
    assert set(trainer.callback_metrics) >= EVERY
    assert "sensitivity/ratio" in found[-1][2]


def test_a_fit_without_validation(fit):
    trainer, found = fit(Plain(), val=[])
    assert not [name for name in trainer.callback_metrics if name.endswith("_val")]
    assert set(trainer.callback_metrics) >= {name for name in EVERY if not name.endswith("_val")}
    assert "diversity/ratio_sample" in found[0][2]


def test_fast_dev_run(fit):
    _, found = fit(Plain(), fast_dev_run=True)
    assert times(found) == [("start", 0), ("epoch", 1), ("trained", 1)]


def test_overfit_batches(fit):
    trainer, found = fit(Plain(), overfit_batches=2)
    assert set(trainer.callback_metrics) >= EVERY
    assert times(found)[-1] == ("trained", 4)


def test_validation_several_times_an_epoch(fit):
    seen = []
    module = Plain()
    module.on_validation_end = lambda: seen.append(module.trainer.callback_metrics["diversity/ratio_val"].item())
    _, found = fit(module, val_check_interval=2)
    assert len(seen) == 4
    assert len(set(seen)) == 4
    assert [when for when, _ in times(found)].count("epoch") == 2
    with torch.no_grad():
        whole = output_diversity(module(X), Y).ratio
    assert found[-1][2]["diversity/ratio_sample"] == pytest.approx(whole, rel=1e-5)


def test_resuming(fit, tmp_path):
    """Two epochs, then two more from the checkpoint: the evidence of four."""
    torch.manual_seed(0)
    start = Plain().state_dict()

    def run(epochs, **options):
        module = Plain()
        module.load_state_dict(start)
        return fit(module, max_epochs=epochs, enable_checkpointing=True, **options)

    _, whole = run(4)
    (tmp_path / evidence.FILE).unlink()
    kept = ModelCheckpoint(tmp_path, filename="kept", save_top_k=-1, every_n_epochs=2)
    run(3, callbacks=[kept])
    trainer, found = run(4, ckpt_path=tmp_path / "kept.ckpt", callbacks=[copy.copy(kept)])
    assert trainer.global_step == 20
    assert times(found) == [each for each in times(whole) if each[0] != "trained"] + [("trained", 20)]
    assert found[-1][2] == pytest.approx(whole[-1][2])


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


def test_a_stream_is_looked_at_by_its_first_batch(fit, caplog):
    stream = DataLoader(Stream(), batch_size=16)
    trainer, found = fit(Plain(), stream, stream)
    assert "the first 16 training samples" in caplog.text
    assert found[0][2]["sample/size"] == 16
    assert set(trainer.callback_metrics) >= EVERY


def test_inputs_that_are_prepared_in_the_step(fit, caplog):
    class Prepared(Plain):
        def loss(self, batch):
            return F.mse_loss(self(2 * batch[0] - 1), batch[1])

    _, found = fit(Prepared())
    assert "the first 16 training samples" in caplog.text
    assert found[0][2]["input/largest_mean"] == pytest.approx((2 * X[:16] - 1).mean().abs().item(), rel=1e-4)


def test_batches_that_are_dicts(fit):
    class Named(Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            return {"series": X[index], "target": Y[index]}

    class Reads(Plain):
        def loss(self, batch):
            return F.mse_loss(self(x=batch["series"]), batch["target"])

        def forward(self, *, x):
            return super().forward(x)

    trainer, found = fit(Reads(), DataLoader(Named(), batch_size=16), DataLoader(Named(), batch_size=16))
    assert set(trainer.callback_metrics) >= EVERY
    assert found[0][2]["sample/size"] == 72


def test_a_module_that_refuses_to_be_asked_alone(fit, caplog):
    class Shy(Plain):
        def forward(self, x):
            if not self.training and not self.trainer.validating:
                raise RuntimeError("not now")
            return super().forward(x)

    trainer, _ = fit(Shy(), val=[], refuses=True)
    assert "RuntimeError: not now" in caplog.text
    assert "diversity/ratio_train" in trainer.callback_metrics


def test_where_nothing_fits_each_says_once_how_to_point_it(fit, caplog):
    strange = loader(y=torch.randn(72, 7))

    class Hides(Plain):
        def loss(self, batch):
            return self(batch[0]).square().mean()

    trainer, found = fit(Hides(), strange, strange)
    for name in ("OutputDiversityMonitor", "ActivationMonitor", "Doctor"):
        said = [each for each in caplog.messages if each.startswith(name)]
        assert len(said) == 1
        assert f"{name}(predictions='name_of_submodule')" in said[0]
    assert "gradient/total" in trainer.callback_metrics
    assert [when for when, _ in times(found)] == ["epoch", "epoch"]


def test_evidence_of_another_fit_is_kept_beside(fit, tmp_path):
    fit(Plain(), max_epochs=1)
    first = (tmp_path / evidence.FILE).read_text()
    _, found = fit(Plain(), max_epochs=1)
    assert (tmp_path / "evidence-1.jsonl").read_text() == first
    assert times(found)[0] == ("start", 0)


class Seeded(Dataset):
    """Augments from a generator of its own, which the order of its reads moves on."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index] + 0.1 * torch.randn(X[index].shape, generator=self.generator), Y[index]


class Jitters(Plain):
    """Draws as a batch is moved to the device."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch[0] + 0.1 * torch.randn_like(batch[0]), batch[1]


@pytest.mark.parametrize("module", [Plain, Jitters])
def test_drawing_the_sample_moves_nobodys_generator(fit, trainer_options, module):
    def weights(watched):
        torch.manual_seed(0)
        made = module()
        loaders = [DataLoader(Seeded(), batch_size=16) for _ in range(2)]
        torch.manual_seed(0)
        if watched:
            fit(made, *loaders)
        else:
            Trainer(**trainer_options | {"max_epochs": 2, "use_distributed_sampler": True}).fit(made, *loaders)
        return made.state_dict()

    off, on = weights(watched=False), weights(watched=True)
    assert all(torch.equal(off[name], on[name]) for name in off)


def test_a_fit_that_breaks_off_leaves_no_hook(fit):
    class Breaks(Plain):
        def training_step(self, batch, batch_idx):
            if batch_idx == 2:
                raise KeyError("broken off")
            return self.loss(batch)

    module = Breaks()
    with pytest.raises(KeyError):
        fit(module)
    assert not any(part._forward_hooks for part in module.modules())


def test_a_forward_that_logs_logs_its_own_steps_alone(fit):
    class Logs(Plain):
        def forward(self, x):
            self.log("samples", float(len(x)), on_epoch=True, on_step=False, reduce_fx="max")
            return super().forward(x)

    trainer, found = fit(Logs())
    assert trainer.callback_metrics["samples"] == 16
    assert "diversity/ratio_sample" in found[-1][2]


def test_optimizers_that_are_not_lightnings_announce_no_step(fit):
    class Raw(Manual):
        def training_step(self, batch, batch_idx):
            for optimizer in self.optimizers(use_pl_optimizer=False):
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                optimizer.step()

    trainer, found = fit(Raw())
    assert "diversity/ratio_train" in trainer.callback_metrics
    assert times(found)[-1] == ("trained", 0)
    assert "diversity/ratio_sample" in found[-1][2]


def test_an_epoch_without_validation_does_not_wear_the_last_ones_figures(fit):
    _, found = fit(Plain(), max_epochs=3, check_val_every_n_epoch=2)
    epochs = [values for when, _, values in found if when == "epoch"]
    assert ["diversity/ratio_val" in values for values in epochs] == [False, True, False]
    assert all("diversity/ratio_train" in values for values in epochs)


def test_targets_that_the_step_returns_come_before_the_batchs(fit):
    class Scales(Plain):
        def training_step(self, batch, batch_idx):
            x, y = batch
            y = (y - 100) / 50
            return {"loss": F.mse_loss(self(x), y), "targets": y}

        def validation_step(self, batch, batch_idx):
            return self.training_step(batch, batch_idx)

    far = loader(y=100 + 50 * Y)
    trainer, _ = fit(Scales(), far, far)
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X), Y).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_a_level_that_halves_cannot_hold(fit):
    """Predictions in bfloat16 beside targets of 10,000 ± 3: these are not rounded to the predictions' type."""
    far = loader(y=10_000 + Y)
    trainer, _ = fit(Plain(), far, far, precision="bf16-mixed")
    assert 0 < trainer.callback_metrics["diversity/ratio_val"] < 10


def test_probabilities_without_a_graph_are_read_as_such(fit):
    class Detached(Classes):
        def loss(self, batch):
            return F.nll_loss(self(batch[0]).log_softmax(dim=-1), batch[1])

        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            return {"loss": loss, "predictions": self(batch[0]).softmax(dim=-1).detach()}

        def validation_step(self, batch, batch_idx):
            return self.training_step(batch, batch_idx)

    labels = torch.bucketize(Y[:, 0], torch.tensor([-2.0, 2.0]))
    trainer, _ = fit(Detached(), loader(y=labels), loader(y=labels))
    with torch.no_grad():
        chances = trainer.lightning_module(X).softmax(dim=-1)
    twin = output_diversity(chances, F.one_hot(labels, 3).float()).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_a_state_that_wants_its_own_batch_size_is_told_and_not_fatal(fit, tmp_path):
    class Carries(Plain):
        def forward(self, x, state):
            return self.fc(self.rnn(x, state)[0][:, -1])

        def loss(self, batch):
            return F.mse_loss(self(batch[0], torch.zeros(1, len(batch[0]), 8)), batch[1])

    logger = TensorBoardLogger(tmp_path / "logs")
    trainer, found = fit(Carries(), refuses=True, logger=logger)
    assert "diversity/ratio_val" in trainer.callback_metrics
    assert [when for when, _ in times(found)] == ["start", "step", "epoch", "step", "epoch", "trained"]


def test_lengths_beside_the_inputs_are_not_taken_for_the_targets(fit):
    class Lengths(Plain):
        def forward(self, x, lengths):
            return self.fc(self.rnn(x)[0][torch.arange(len(x)), lengths - 1])

        def loss(self, batch):
            x, lengths, y = batch
            return F.mse_loss(self(x, lengths), y)

    lengths = torch.randint(5, 11, (72,), generator=torch.Generator().manual_seed(1))
    data = DataLoader(TensorDataset(X, lengths, Y), batch_size=16)
    trainer, found = fit(Lengths(), data, data)
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X, lengths), Y).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)
    assert found[0][2]["target/largest_std"] == pytest.approx(Y.std(correction=0).item(), rel=1e-4)


def test_heads_that_take_turns_are_told_and_not_fatal(fit, caplog):
    class Turns(Plain):
        def __init__(self):
            super().__init__()
            self.heads = nn.ModuleList(nn.Linear(8, count) for count in (3, 5))

        def training_step(self, batch, batch_idx):
            states = self.rnn(batch[0])[0][:, -1]
            scores = self.heads[batch_idx % 2](states)
            return {"loss": F.cross_entropy(scores, batch[1]), "predictions": scores}

    labels = torch.arange(72) % 3
    trainer, _ = fit(Turns(), loader(y=labels), val=[])
    assert "diversity/ratio_train" in trainer.callback_metrics
    assert len([each for each in caplog.messages if each.startswith("OutputDiversityMonitor found no")]) == 1


def test_windows_as_long_as_the_sample_are_not_turned(fit):
    """Time first, and 72 steps beside 72 samples: the step's own batch of 16 shows which axis is which."""
    x = torch.randn(72, 72, 1, generator=torch.Generator().manual_seed(0))

    class Turned(TimeFirst):
        def loss(self, batch):
            return F.mse_loss(self(batch[0]), batch[1])

        def validation_step(self, batch, batch_idx):
            self.loss(batch)

    def turned(items):
        return torch.stack([x for x, _ in items], dim=1), torch.stack([y for _, y in items])

    data = DataLoader(TensorDataset(x, x[:, -1]), batch_size=16, collate_fn=turned)
    trainer, _ = fit(Turned(), data, data)
    doctor = next(each for each in trainer.callbacks if isinstance(each, Doctor))
    lines = [each for each in evidence.read(doctor._folder) if each.curves]
    curve = torch.tensor(lines[-1].curves["sensitivity/by_step"])
    assert curve[-1] > 20 * curve[:36].mean()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class Nested(LightningModule):
    """A network inside of the module, as many people keep it."""

    def __init__(self, net=None):
        super().__init__()
        self.net = net or Net()

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.training_step(batch, batch_idx)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def test_copies_of_the_network_that_are_made_in_a_fit_are_its_own(fit, tmp_path):
    class Keeps(Callback):
        def on_validation_end(self, trainer, pl_module):
            self.best = copy.deepcopy(pl_module.net)
            self.best(X)  # nobody's step
            torch.save(pl_module.net, tmp_path / "net.pt")

    keeps = Keeps()
    trainer, _ = fit(Nested(), callbacks=[keeps])
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module.net(X), Y).ratio
        assert torch.equal(keeps.best(X), trainer.lightning_module.net(X))
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)
    assert torch.load(tmp_path / "net.pt", weights_only=False)(X).shape == (72, 1)


def test_a_module_that_is_scripted_as_training_ends(fit):
    class Scripts(Plain):
        def on_train_end(self):
            self.scripted = torch.jit.script(nn.Sequential(self.fc))

    with pytest.warns(DeprecationWarning, match="script"):
        trainer, _ = fit(Scripts())
    assert trainer.lightning_module.scripted(torch.zeros(2, 8)).shape == (2, 1)


def test_a_teacher_beside_its_student(fit):
    class Taught(Nested):
        def __init__(self):
            super().__init__()
            self.teacher = nn.Linear(10, 1).requires_grad_(False)

        def training_step(self, batch, batch_idx):
            said = self.net(batch[0])
            with torch.no_grad():
                taught = self.teacher(batch[0][..., 0])
            return F.mse_loss(said, batch[1]) + 0.1 * F.mse_loss(said, taught)

    trainer, _ = fit(Taught())
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module.net(X), Y).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_a_loss_of_ones_own_is_not_the_network(fit):
    class Squares(nn.Module):
        def forward(self, predictions, targets):
            return (predictions - targets) ** 2

    class Own(Nested):
        def __init__(self):
            super().__init__()
            self.criterion = Squares()

        def training_step(self, batch, batch_idx):
            return self.criterion(self.net(batch[0]), batch[1].double().float()).mean()

    trainer, _ = fit(Own())
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module.net(X), Y).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_an_autoencoder_beside_labels_is_no_classifier(fit):
    class Auto(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 64))

        def training_step(self, batch, batch_idx):
            return F.mse_loss(self.net(batch[0]), batch[0])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    x, labels = torch.randn(72, 64), torch.arange(72) % 10
    trainer, _ = fit(Auto(), loader(x, labels), val=[], refuses=True)
    assert not [name for name in trainer.callback_metrics if name.startswith("diversity/")]


def test_lengths_that_only_the_step_uses_are_not_the_targets(fit):
    class Packs(Plain):
        def loss(self, batch):
            x, lengths, y = batch
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return F.mse_loss(self.fc(self.rnn(packed)[1][0]), y)

        def forward(self, x):
            raise NotImplementedError

    lengths = torch.randint(5, 11, (72,), generator=torch.Generator().manual_seed(1))
    data = DataLoader(TensorDataset(X, lengths, Y), batch_size=16)
    trainer, _ = fit(Packs(), data, data, refuses=True)
    module = trainer.lightning_module
    with torch.no_grad():
        packed = nn.utils.rnn.pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False)
        twin = output_diversity(module.fc(module.rnn(packed)[1][0]), Y).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


@pytest.mark.parametrize("squash", [lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6), lambda z: F.logsigmoid(z).exp()])
def test_probabilities_however_they_are_made(fit, squash):
    class Likely(Plain):
        def forward(self, x):
            return squash(super().forward(x))[:, 0]

        def loss(self, batch):
            return F.binary_cross_entropy(self(batch[0]), batch[1].float())

    labels = (Y[:, 0] > 0).long()
    trainer, _ = fit(Likely(), loader(y=labels), loader(y=labels))
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X), labels.float()).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_floating_labels_beside_logits(fit):
    class Binary(Plain):
        def loss(self, batch):
            return F.binary_cross_entropy_with_logits(self(batch[0]), batch[1])

    labels = (Y > 0).float()
    torch.manual_seed(0)
    module = Binary()
    nn.init.constant_(module.fc.bias, -1.0)
    trainer, _ = fit(module, loader(y=labels), loader(y=labels))
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X).sigmoid(), labels).ratio
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_counts_that_begin_with_0_and_1_are_told_and_then_numbers(fit, caplog):
    counts = torch.arange(72) // 16
    counts[:16] = torch.arange(16) % 2

    class Counts(Plain):
        def loss(self, batch):
            return F.mse_loss(self(batch[0])[:, 0], batch[1].float())

    trainer, _ = fit(Counts(), loader(y=counts), loader(y=counts))
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(X)[:, 0], counts.float()).ratio
    assert len([each for each in caplog.messages if "labels of yes and no" in each]) == 1
    assert trainer.callback_metrics["diversity/ratio_val"].item() == pytest.approx(twin, rel=1e-4)


def test_what_the_module_logs_as_the_epoch_ends_is_evidence_of_that_epoch(fit):
    class Logs(Plain):
        def on_train_epoch_end(self):
            self.log("own", float(self.current_epoch + 1))

    _, found = fit(Logs(), max_epochs=3)
    assert [values["own"] for when, _, values in found if when == "epoch"] == [1.0, 2.0, 3.0]


def test_time_first_with_as_many_steps_as_samples_in_a_batch(fit):
    """16 steps and batches of 16: only the strides tell that the step's input is the batch's, transposed."""
    x = torch.randn(72, 16, 1, generator=torch.Generator().manual_seed(0))
    x[:, :12] *= 0.01
    y = x[:, -4:].sum(dim=1)
    trainer, found = fit(TimeFirst(), loader(x, y), loader(x, y), max_epochs=4)
    with torch.no_grad():
        twin = output_diversity(trainer.lightning_module(x.transpose(0, 1)), y).ratio
    assert found[-1][2]["diversity/ratio_sample"] == pytest.approx(twin, rel=1e-4)


def test_batches_whose_validation_form_is_another(fit, caplog):
    def without_mask(items):
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]), None

    class Masked(Plain):
        def forward(self, x, mask=None):
            return super().forward(x)

        def loss(self, batch):
            return F.mse_loss(self(batch[0], batch[2]), batch[1])

        def validation_step(self, batch, batch_idx):
            self.loss(batch)

    data = TensorDataset(X, Y, torch.ones(72, 10))
    val = DataLoader(TensorDataset(X, Y), batch_size=16, collate_fn=without_mask)
    trainer, _ = fit(Masked(), DataLoader(data, batch_size=16), val, refuses=True)
    assert trainer.global_step == 10


def test_a_sparse_tensor_in_the_batch(fit):
    edges = torch.eye(16).to_sparse()

    class Graph(Plain):
        def forward(self, x, edges):
            return super().forward(x)

        def loss(self, batch):
            return F.mse_loss(self(batch[0], batch[2]), batch[1])

    data = [(X[at : at + 16], Y[at : at + 16], edges) for at in range(0, 64, 16)]
    trainer, _ = fit(Graph(), DataLoader(data, batch_size=None), val=[], refuses=True)
    assert trainer.global_step == 8


def test_a_folder_that_cannot_be_written_costs_the_evidence_and_not_the_training(trainer_options, tmp_path, caplog):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    trainer = Trainer(**trainer_options, max_epochs=1, callbacks=[Doctor(blocked)])
    trainer.fit(Plain(), loader(), loader())
    assert trainer.global_step == 5
    assert (
        len(
            [
                each
                for each in caplog.messages
                if each.startswith("evidence.jsonl is not written while training goes on")
            ]
        )
        == 1
    )


def test_gates_that_differ_by_rounding_alone_have_a_histogram(trainer_options, tmp_path):
    module = Plain().double()
    with torch.no_grad():
        module.rnn.bias_hh_l0[8:16] = 35.5
    options = trainer_options | {"logger": TensorBoardLogger(tmp_path), "precision": "64-true", "max_epochs": 1}
    trainer = Trainer(**options, callbacks=[ActivationMonitor()])
    trainer.fit(module, loader(), loader())
    assert trainer.global_step == 5


class Cut(Plain):
    """Its recurrent layer gets no gradient, and nobody moves its scale."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.scale = nn.Linear(1, 1)

    def forward(self, x):
        return self.fc(self.norm(self.rnn(self.scale(x))[0][:, -1].detach()))

    def configure_optimizers(self):
        held = [self.rnn, self.norm, self.fc]
        return torch.optim.Adam([weight for each in held for weight in each.parameters()], lr=1e-2)


def test_a_block_without_a_gradient_has_the_norm_zero_and_every_logged_figure_is_finite(trainer_options, tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    options = {**trainer_options, "logger": logger, "log_every_n_steps": 2, "max_epochs": 2}
    callbacks = [OutputDiversityMonitor(), GradientNormMonitor()]
    trainer = Trainer(**options, callbacks=callbacks)
    trainer.fit(Cut(), loader(), loader())
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    points = [row for row in rows if row["gradient/total"]]
    blocks = {"rnn", "norm_", "fc", "scale"}
    assert {f"gradient/{each}" for each in (*blocks, "total", "total_max", "not_finite")} == {
        name for name in points[0] if name.startswith("gradient/")
    }
    for row in points:
        assert float(row["gradient/rnn"]) == float(row["gradient/scale"]) == float(row["update_ratio/rnn"]) == 0
        assert min(float(row["gradient/fc"]), float(row["update_ratio/norm_"])) > 0
        assert "update_ratio/scale" not in row
    assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)
    told = trainer.callback_metrics
    assert told["gradient/rnn"] == told["gradient/scale"] == told["update_ratio/rnn"] == 0
    assert "diversity/clock_share_val" not in told  # of one output there is none
    assert all(each.isfinite() for each in told.values())


def test_no_name_of_a_figure_has_a_space(fit):
    trainer, found = fit(Plain())
    assert {"activation/rnn/update_open", "activation/rnn/update_shut"} <= set(trainer.callback_metrics)
    names = {*trainer.callback_metrics, *(name for *_, values in found for name in values)}
    assert not [name for name in names if " " in name]


def test_several_optimizers_each_have_an_update_ratio_and_lightnings_steps(fit):
    class Takes(Plain):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()[batch_idx % 2]
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

        def configure_optimizers(self):
            return [torch.optim.SGD(each.parameters(), lr=0.01) for each in (self.rnn, self.fc)]

    trainer, _ = fit(Takes())
    assert {"update_ratio/rnn", "update_ratio/fc"} <= set(trainer.callback_metrics)


def test_a_dataset_that_opens_its_file_late_is_left_closed(fit):
    """Workers that are forked later would share the file, and its place in it."""

    class Lazy(Dataset):
        file = None

        def __len__(self):
            return len(X)

        def __getitem__(self, number):
            self.file = self.file or io.BytesIO(X.numpy().tobytes())
            self.file.seek(number * 40)
            return torch.frombuffer(bytearray(self.file.read(40)), dtype=torch.float32).view(10, 1), Y[number]

    data, seen = Lazy(), []

    class Looks(Plain):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            seen.append(data.file is None)

    held_out = DataLoader(torch.utils.data.Subset(data, range(72)), batch_size=16)
    _, found = fit(Looks(), val=held_out, max_epochs=1)
    assert found[0][2]["sample/size"] == 72
    assert seen == [True] * 5
    assert data.file is not None, "validation opened it"
