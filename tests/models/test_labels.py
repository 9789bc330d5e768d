"""Regressor and classifier: one label a sequence."""

import math

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.metrics import balanced_accuracy_score, f1_score, mean_absolute_error, r2_score
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader

from flatspot.errors import BadInput
from flatspot.models.classifier import Classifier
from flatspot.models.forecaster import Forecaster
from flatspot.models.models import MODELS
from flatspot.models.regressor import Regressor

LEVELS = torch.tensor([-1.0, 0.0, 1.0])
NAMES = ["low", "middle", "high"]


def sequences_of(levels, seed):
    """Noise around a level each, from 3 to 9 steps, of two channels of which the second is noise alone."""
    source = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 10, (len(levels),), generator=source)
    noise = [0.3 * torch.randn(length, 2, generator=source) for length in lengths.tolist()]
    return [each + torch.stack([level, torch.zeros(())]) for each, level in zip(noise, levels, strict=True)]


def loader(labels_of, *, batches, seed, size=16):
    """Batches of packed sequences and their labels."""
    source = torch.Generator().manual_seed(seed)
    made = []
    for number in range(batches):
        classes = torch.randint(3, (size,), generator=source)
        sequences = sequences_of(LEVELS[classes], seed + number)
        made.append((pack_sequence(sequences, enforce_sorted=False), labels_of(sequences, classes)))
    return DataLoader(made, batch_size=None, collate_fn=lambda batch: batch)


def class_numbers(_, classes):
    return classes


def last_values(sequences, _):
    return torch.stack([sequence[-1:, :1] for sequence in sequences])


def fitted(model, labels_of, options, epochs=15):
    trainer = Trainer(max_epochs=epochs, **options)
    trainer.fit(model, loader(labels_of, batches=8, seed=0), loader(labels_of, batches=2, seed=100))
    return trainer


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier(inputs=2, classes=NAMES, cell="gru", hidden_size=8, lr=3e-2)


@pytest.fixture
def regressor():
    torch.manual_seed(0)
    return Regressor(inputs=2, cell="gru", hidden_size=8, lr=3e-2)


def test_a_classifier_tells_levels_apart_whatever_the_length(classifier, trainer_options):
    validated = set(fitted(classifier, class_numbers, trainer_options).callback_metrics)
    trainer = Trainer(**trainer_options)
    (logged,) = trainer.test(classifier, loader(class_numbers, batches=3, seed=200), verbose=False)
    assert logged["error/accuracy_test"] > 0.95
    assert logged["error/balanced_accuracy_test"] > 0.95
    assert logged["error/f1_test"] > 0.95
    figures = {"loss/val", "error/accuracy_val", "error/balanced_accuracy_val", "error/f1_val"}
    assert validated == figures | {"loss/train"}


def test_a_regressor_reads_the_last_valid_step(regressor, trainer_options):
    trainer = fitted(regressor, last_values, trainer_options)
    (logged,) = trainer.test(regressor, loader(last_values, batches=3, seed=200), verbose=False)
    assert logged["error/r2_test"] > 0.9


def test_what_a_classifier_logs_is_of_all_batches_together(classifier, trainer_options):
    batches = list(loader(class_numbers, batches=3, seed=7))
    (logged,) = Trainer(**trainer_options).test(classifier, loader(class_numbers, batches=3, seed=7), verbose=False)
    with torch.no_grad():
        logits = torch.cat([classifier(x) for x, _ in batches])
    truth, named = torch.cat([y for _, y in batches]), logits.argmax(dim=-1)
    assert logged["error/accuracy_test"] == pytest.approx((truth == named).float().mean().item())
    assert logged["error/balanced_accuracy_test"] == pytest.approx(balanced_accuracy_score(truth, named))
    assert logged["error/f1_test"] == pytest.approx(f1_score(truth, named, average="macro", zero_division=0))
    assert logged["loss/test"] == pytest.approx(F.cross_entropy(logits, truth).item(), rel=1e-5)


def test_what_a_regressor_logs_is_in_original_units(regressor, trainer_options):
    regressor.target_scaling.set([100.0], [7.0])
    batches = list(loader(last_values, batches=3, seed=7))
    (logged,) = Trainer(**trainer_options).test(regressor, loader(last_values, batches=3, seed=7), verbose=False)
    with torch.no_grad():
        ours = torch.cat([regressor.target_scaling.inverse(regressor(x)) for x, _ in batches]).flatten()
    y = torch.cat([regressor.target_scaling.inverse(y) for _, y in batches]).flatten()
    assert logged["error/mae_test"] == pytest.approx(mean_absolute_error(y, ours), rel=1e-5)
    assert logged["error/r2_test"] == pytest.approx(r2_score(y, ours), rel=1e-5)


def test_shapes():
    x, packed = torch.zeros(5, 4, 2), pack_sequence([torch.zeros(length, 2) for length in (3, 1, 4)], False)
    regressor, classifier = Regressor(inputs=2, targets=3), Classifier(inputs=2, classes=NAMES)
    assert (regressor(x).shape, regressor(packed).shape) == ((5, 1, 3), (3, 1, 3))
    assert (classifier(x).shape, classifier(packed).shape) == ((5, 3), (3, 3))


def test_a_classifier_predicts_probabilities(classifier):
    x = torch.randn(5, 4, 2)
    probabilities = classifier.predict_step((x, None), 0)
    assert torch.equal(probabilities, classifier(x).softmax(dim=-1))
    torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(5))


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_a_checkpoint_loads_with_weights_only_and_says_the_same(kind, request, trainer_options, tmp_path):
    model = request.getfixturevalue(kind)
    model.input_scaling.set([1.0, 2.0], [3.0, 4.0])
    keep = ModelCheckpoint(tmp_path, filename="best", monitor="loss/val")
    options = trainer_options | {"enable_checkpointing": True, "callbacks": [keep]}
    fitted(model, class_numbers if kind == "classifier" else last_values, options, epochs=1)
    loaded = MODELS[kind].load_from_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    x = pack_sequence([torch.randn(length, 2) for length in (3, 1, 4)], enforce_sorted=False)
    assert torch.equal(loaded(x), model(x))
    assert loaded.hparams == model.hparams
    assert loaded.hparams["cell"] == "gru"
    assert loaded.hparams["initial_state"] == "zeros"
    assert loaded.input_scaling.mean.tolist() == [1.0, 2.0]


def test_class_names_and_weights_are_kept_as_plain_values(tmp_path):
    names, weights = torch.tensor([1, 2]).numpy().astype(str), torch.tensor([0.5, 2.0]).numpy()
    model = Classifier(classes=list(names), class_weights=list(weights.astype(float)))
    torch.save(dict(model.hparams), tmp_path / "hparams.pt")
    kept = torch.load(tmp_path / "hparams.pt", weights_only=True)
    assert (kept["classes"], kept["class_weights"]) == (["1", "2"], [0.5, 2.0])
    assert {type(each) for each in (*kept["classes"], *kept["class_weights"])} == {str, float}
    assert model.classes == ("1", "2")


def test_a_sample_counts_in_the_loss_as_often_as_its_classs_weight_says():
    weights = [1.0, 3.0, 0.5]
    model, plain = Classifier(classes=NAMES, class_weights=weights), Classifier(classes=NAMES)
    logits, y = torch.randn(40, 3, dtype=torch.float64), torch.randint(3, (40,))
    each = [-(row.softmax(dim=-1)[number].log()).item() for row, number in zip(logits, y, strict=True)]
    weighted = sum(weights[number] * loss for number, loss in zip(y.tolist(), each, strict=True)) / 40
    assert model.loss(logits, y).item() == pytest.approx(weighted)
    assert plain.loss(logits, y).item() == pytest.approx(sum(each) / 40)
    halves = [model.loss(logits[part], y[part]).item() for part in (slice(20), slice(20, 40))]
    assert model.loss(logits, y).item() == pytest.approx(sum(halves) / 2)


def test_the_weight_of_a_class_draws_the_outputs_towards_it():
    shares = {}
    x, y = torch.zeros(30, 3, 2), torch.arange(3).repeat(10)  # the classes look alike
    for weight in (0.05, 1.0, 20.0):
        torch.manual_seed(0)
        model = Classifier(inputs=2, classes=NAMES, cell="gru", hidden_size=4, class_weights=[weight, 1.0, 1.0])
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            model.loss(model(x), y).backward()
            optimizer.step()
        shares[weight] = model.predict_step((x, y), 0)[0, 0].item()
    for weight, share in shares.items():  # what the weighted counts say
        assert share == pytest.approx(weight / (weight + 2), abs=0.01)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (
            Classifier,
            {"classes": []},
            "model=classifier: .* at least 2 classes .*, and the labels have none",
        ),
        (Classifier, {"classes": ["x"]}, "model=classifier: .* at least 2 classes to tell apart, .* have 'x'"),
        (Classifier, {"class_weights": [1.0]}, "model.class_weights=.*: must be 3, one for each class .low, middle"),
        (Classifier, {"class_weights": [1.0, 0.0, 1.0]}, "model.class_weights=.*: must be numbers above 0"),
        (Classifier, {"class_weights": [1.0, math.inf, 1.0]}, "model.class_weights=.*: must be numbers above 0"),
        (Classifier, {"class_weights": [1.0, math.nan, 1.0]}, "model.class_weights=.*: must be numbers above 0"),
        (Classifier, {"loss": "mse"}, "model.loss=mse: is of numbers; this model predicts classes: cross_entropy"),
        (Classifier, {"loss": "cross_entrpy"}, "no loss is called 'cross_entrpy'; did you mean 'cross_entropy'"),
        (Classifier, {"cell": "gur"}, "no cell is called 'gur'; did you mean 'gru'"),
        (Classifier, {"lr": 0.0}, "optimizer.lr=0.0: must be a number above 0"),
        (Regressor, {"loss": "cross_entropy"}, "model.loss=cross_entropy: is of classes; .*: mse | mae | huber"),
        (Forecaster, {"loss": "cross_entropy"}, "model.loss=cross_entropy: is of classes; .*: mse | mae | huber"),
    ],
)
def test_what_cannot_be_used_is_named(build, options, message):
    given = {"classes": NAMES} | options if build is Classifier else options
    with pytest.raises(BadInput, match=message):
        build(**given)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_every_loss_of_numbers_trains(loss, trainer_options):
    torch.manual_seed(0)
    model = Regressor(inputs=2, hidden_size=4, loss=loss)
    before = model.network.head.weight.detach().clone()
    fitted(model, last_values, trainer_options, epochs=1)
    assert not torch.equal(model.network.head.weight, before)


def test_a_regressor_has_no_horizon():
    with pytest.raises(TypeError, match="horizon"):
        Regressor(horizon=2)
