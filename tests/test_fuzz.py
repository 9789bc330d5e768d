"""A moment of each fuzzer, and what longer ones have found (`scripts/fuzz.py`)."""

import errno
import io
import shutil
import warnings
import zipfile

import pytest
import torch
from fuzzing import FUZZERS, base, lay_out
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from flatspot.cli.build import build_trainer
from flatspot.cli.schema import checked, checked_options
from flatspot.data.tables import read_table
from flatspot.errors import BadInput
from flatspot.monitors import ActivationMonitor
from flatspot.monitors.keeping import Torn, checkpoint_to_go_on_from, read

SIZES = ("data=sines", "data.steps=200", "data.window=8", "data.horizon=2", "model.hidden_size=3", "model.cell=rnn")


@pytest.fixture(scope="module")
def held(run_of, tmp_path_factory):
    """A folder for the fuzzers, with a small run."""
    folder = tmp_path_factory.mktemp("fuzzed")
    lay_out(run_of(*SIZES, "trainer.max_epochs=2"), folder)
    return folder


@pytest.mark.parametrize("name", FUZZERS)
def test_an_answer_or_a_sentence_and_nothing_else(name, held):
    @settings(max_examples=5 if name == "resume" else 40, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def once(data):
        FUZZERS[name](data.draw, held)

    once()


def built(tmp_path, key, value):
    """What comes of a configuration with this value."""
    config = OmegaConf.create(base())
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    whole = OmegaConf.to_container(checked(config), resolve=True)
    return build_trainer(whole, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.coefficients", "${seed}", r"data\.coefficients"),  # of a type that shows where it leads
        ("data", ["a", "b"], r"^data(\.name)?: "),
        ("monitors.activation.first", None, r"monitors\.activation\.first"),
        ("monitors.doctor.sample_size", [12], r"monitors\.doctor\.sample_size"),
        ("monitors.output_diversity", 1e-320, r"monitors\.output_diversity=1e-320: must be options by name"),
        ("trainer.devices", 2**31, r"trainer\.devices=2147483648: must be at most \d+"),  # it filled the memory
        ("trainer.devices", "3000", r"trainer\.devices=3000: must be at most \d+"),
    ],
)
def test_values_that_a_fuzzer_has_found(tmp_path, key, value, said):
    with pytest.raises(BadInput, match=said):
        built(tmp_path, key, value)


def test_options_are_taken_as_their_types(tmp_path):
    built(tmp_path, "monitors.activation.first", "50")
    assert checked_options(ActivationMonitor, {"first": "50"}, "monitors.activation") == {"first": 50}


def test_a_checkpoint_that_leads_out_of_itself_is_torn(held, tmp_path):
    """The end of a zip archive says where its files begin; here, before the archive does."""
    whole = (held / "checkpoints" / "whole").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(whole[len(whole) // 2 :])
    with pytest.raises(Torn, match=r"last\.ckpt: torn or corrupt"):
        read(tmp_path / "last.ckpt")


def test_a_disk_that_cannot_be_read_now_makes_no_checkpoint_torn(held, tmp_path, monkeypatch):
    for name in ("best.ckpt", "last.ckpt"):
        shutil.copy(held / "checkpoints" / "whole", tmp_path / name)

    def fail(self):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "testzip", fail)
    with pytest.raises(OSError, match="Input/output error"):
        checkpoint_to_go_on_from(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_tensor_in_the_place_of_what_callbacks_keep(held, tmp_path):
    content = torch.load(io.BytesIO((held / "checkpoints" / "whole").read_bytes()), weights_only=True)
    for name in ("best.ckpt", "last.ckpt"):
        torch.save({**content, "callbacks": torch.zeros(3)}, tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun, wrong = checkpoint_to_go_on_from(tmp_path)
    assert begun is None
    assert "best.ckpt: is no checkpoint of this version" in wrong[0]


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf\xef\xbb\xbf\n\na,b\n1,2\n", b"\xef\xbb\xbf\n1\n"])
def test_a_header_of_byte_order_marks_is_blank(tmp_path, text):
    (tmp_path / "marks.csv").write_bytes(text)
    with pytest.raises(BadInput, match="its first line is blank; it names the columns"):
        read_table(tmp_path / "marks.csv")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CUDA device that is asked for is here")
def test_many_devices_of_a_kind_that_is_not_here_are_no_matter_of_the_cpu(tmp_path):
    config = OmegaConf.create(base())
    OmegaConf.update(config, "trainer.accelerator", "gpu")
    OmegaConf.update(config, "trainer.devices", 8)
    with pytest.raises(BadInput, match=r"trainer\.accelerator=gpu trainer\.devices=8: (?!must be at most)"):
        build_trainer(OmegaConf.to_container(checked(config), resolve=True), tmp_path)
