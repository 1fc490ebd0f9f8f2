import numpy as np
import pytest
import torch
from torch import nn

from raconteur.errors import TrainingError
from raconteur.train.loop import fit


class StopError(Exception):
    pass


def trained(path, *, num_steps=12, stop_at=None, fingerprint="a", matrix_rate=None):
    torch.manual_seed(0)
    model = nn.ModuleDict({"layers": nn.Linear(4, 8), "drop": nn.Dropout(0.5), "last": nn.Linear(8, 1)})

    def loss_of(step: int, rng: np.random.Generator):
        if step == stop_at:
            raise StopError
        inputs = torch.from_numpy(rng.normal(size=(16, 4)).astype(np.float32))
        return (model["last"](model["drop"](model["layers"](inputs))) - inputs.sum(1, keepdim=True)).pow(2).mean(), {}

    fit(
        model,
        loss_of,
        name="toy",
        num_steps=num_steps,
        learning_rate=0.01,
        matrix_rate=matrix_rate,
        seed=3,
        checkpoint=path,
        fingerprint=fingerprint,
    )
    return model.state_dict()


@pytest.mark.parametrize("matrix_rate", [None, 0.02])
def test_fit_killed_and_started_again_ends_with_the_same_weights(tmp_path, monkeypatch, matrix_rate):
    monkeypatch.setattr("raconteur.train.loop.CHECKPOINT_EVERY_S", 0.0)
    whole = trained(tmp_path / "whole.pt", matrix_rate=matrix_rate)
    with pytest.raises(StopError):
        trained(tmp_path / "cut.pt", stop_at=7, matrix_rate=matrix_rate)
    resumed = trained(tmp_path / "cut.pt", matrix_rate=matrix_rate)
    for name, value in whole.items():
        assert torch.equal(value, resumed[name])


def test_fit_checkpoint_of_another_config_is_refused(tmp_path):
    trained(tmp_path / "toy.pt")
    with pytest.raises(TrainingError, match="another config"):
        trained(tmp_path / "toy.pt", fingerprint="b")


def test_fit_unreadable_checkpoint_is_named(tmp_path):
    (tmp_path / "toy.pt").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match=r"toy\.pt cannot be read"):
        trained(tmp_path / "toy.pt")


def test_fit_loss_that_is_no_number_stops_with_the_step(tmp_path):
    model = nn.Linear(1, 1)
    with pytest.raises(TrainingError, match="at step 0"):
        fit(
            model,
            lambda step, rng: (model(torch.tensor([[torch.nan]])).sum(), {}),
            name="toy",
            num_steps=1,
            learning_rate=0.1,
            seed=0,
            checkpoint=tmp_path / "x.pt",
            fingerprint="a",
        )


def test_fit_weights_that_are_not_finite_after_the_last_step_are_refused(tmp_path):
    model = nn.Linear(2, 1)

    def loss_of(_step: int, _rng: np.random.Generator):
        return model.weight.sum(), {}

    with pytest.raises(TrainingError, match="weights are not finite"):
        fit(
            model,
            loss_of,
            name="toy",
            num_steps=1,
            learning_rate=torch.inf,
            seed=0,
            checkpoint=tmp_path / "c",
            fingerprint="a",
        )
