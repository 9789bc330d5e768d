"""A recurrent encoder over a sequence, and a linear head for the logits of its classes."""

import math
from collections.abc import Mapping, Sequence
from typing import Unpack, final

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics.classification import MulticlassConfusionMatrix

from flatspot.errors import BadInput
from flatspot.models.losses import loss_of_classes
from flatspot.models.network import NO_ACTIVATION, network_of
from flatspot.models.sequence_module import Batch, Part, SequenceModule, Training
from flatspot.nn.scan import Sequences
from flatspot.probes.classification import class_scores, confusion_counter


@final
class Classifier(SequenceModule):
    """Says which class a sequence is of, from the encoder's last state: sequences may differ in length.

    Batches are `(x, y)`: x `[batch, time, feature]` in scaled units, or packed; y `[batch]`, class numbers.

    Args:
        inputs: channels of a sequence. classes: the names of the classes, by their numbers.
        cell, activation, hidden_size, num_layers, bidirectional, dropout, layer_norm, residual, initial_state,
            recurrent_init, chrono_length, engine: of the encoder, as `Network` has them.
        head_activation: of the logits; `none` leaves them free.
        loss: `cross_entropy`. class_weights: how many times a sample of each class counts in it; None: once.
        training: the optimizer, its rates and its schedule, as `SequenceModule` has them.

    Raises:
        BadInput: naming the value that cannot be used.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        inputs: int = 1,
        cell: str = "lstm",
        activation: str = "tanh",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
        initial_state: str = "zeros",
        recurrent_init: str = "auto",
        chrono_length: int | None = None,
        engine: str = "auto",
        head_activation: str = NO_ACTIVATION,
        loss: str = "cross_entropy",
        class_weights: Sequence[float] | None = None,
        **training: Unpack[Training],
    ) -> None:
        # Plain values: a checkpoint with NumPy's numbers and words would not load with weights_only=True.
        classes = [str(name) for name in classes]
        class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        _check_classes(classes, class_weights)
        super().__init__(inputs=inputs, loss=loss, **training)
        self.save_hyperparameters(logger=False)
        self.classes = tuple(classes)
        self.loss = loss_of_classes(loss, class_weights)
        self.network = network_of(self.hparams, inputs, len(classes))
        self.val_confusion, self.test_confusion = confusion_counter(len(classes)), confusion_counter(len(classes))

    def forward(self, x: Sequences) -> Float[Tensor, "batch class"]:
        """The logits, from sequences in scaled units."""
        logits: Tensor = self.network(x)
        return logits

    def predict_step(self, batch: Batch, batch_idx: int) -> Float[Tensor, "batch class"]:
        """The probabilities of the classes."""
        logits: Tensor = self(batch[0])
        return logits.softmax(dim=-1)

    def told(self, loss: Tensor, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Beside the loss, the probabilities, and ones at the true classes: what diversity is measured on."""
        ones = one_hot(targets, len(self.classes)).to(predictions)
        return {"loss": loss, "predictions": predictions.softmax(dim=-1), "targets": ones}

    def measure(self, part: Part, predictions: Tensor, batch: Batch) -> None:
        """Count an evaluation batch."""
        self._confusion(part).update(predictions, batch[1])

    def measured(self, part: Part) -> Mapping[str, float]:
        """Accuracy, balanced accuracy and F1."""
        confusion = self._confusion(part)
        scores = class_scores(confusion.compute())
        confusion.reset()
        return {"accuracy": scores.accuracy, "balanced_accuracy": scores.balanced_accuracy, "f1": scores.f1}

    def _confusion(self, part: Part) -> MulticlassConfusionMatrix:
        return self.val_confusion if part == "val" else self.test_confusion


def _check_classes(classes: Sequence[str], weights: Sequence[float] | None) -> None:
    if len(classes) < 2:
        found = " and ".join(repr(name) for name in classes) or "none"
        raise BadInput(f"model=classifier: there are at least 2 classes to tell apart, and the labels have {found}")
    if weights is None:
        return
    if len(weights) != len(classes):
        named = ", ".join(classes)
        raise BadInput(f"model.class_weights={weights}: must be {len(classes)}, one for each class ({named})")
    if not all(0 < weight < math.inf for weight in weights):
        raise BadInput(f"model.class_weights={weights}: must be numbers above 0")
