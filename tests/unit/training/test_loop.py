from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from small_network import NormNetwork, SmallNetwork

from oakpoint.errors import TrainingError, WeightsError
from oakpoint.training import loop
from oakpoint.training.loop import BAD_BATCH_FILE, METRICS_FILE, learning_rate, train
from oakpoint.training.options import TrainingOptions
from oakpoint.training.photometric import PhotometricRanges
from oakpoint.training.processes import Place
from oakpoint.training.views import PairSampler, ViewOptions

ALONE = Place(0, 1, torch.device("cpu"))
VIEWS = ViewOptions(size=(64, 48), pair_points=16, photometric=PhotometricRanges(probability=0.2))
OPTIONS = TrainingOptions(
    steps=12, pairs=2, learning_rate=3e-3, warmup_steps=4, precision="f32", seed=1, views=VIEWS, validate_every=5
)


class Heard:
    """A listener that keeps what it hears, and may be told to kill the run at a step."""

    def __init__(self, killed_at=None):
        self.reports, self.validations, self.killed_at = [], [], killed_at

    def stepped(self, report):
        self.reports.append(report)
        if report.step == self.killed_at:
            raise KeyboardInterrupt

    def validated(self, step, figures):
        self.validations.append((step, figures))


@pytest.fixture
def sampler(toy_dataset):
    return PairSampler(toy_dataset, torch.arange(len(toy_dataset.images)), VIEWS, ALONE.device)


@pytest.fixture
def at_each_step(monkeypatch):
    """Report each step."""
    monkeypatch.setattr(loop, "REPORT_EVERY", 1)


def network(kind=NormNetwork, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


def steps_of(folder, key="detector_loss"):
    records = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
    return [record["step"] for record in records if key in record]


def assert_same_state(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_training_lowers_the_loss(sampler, tmp_path, at_each_step):
    heard = Heard()
    train(network(), sampler, replace(OPTIONS, steps=60, pairs=4), tmp_path, ALONE, listener=heard)
    assert [report.step for report in heard.reports] == list(range(1, 61))
    for name in ("detector", "descriptor"):
        losses = [report.losses[name] for report in heard.reports]
        assert sum(losses[-10:]) < 0.95 * sum(losses[:10]), name
    assert steps_of(tmp_path) == list(range(1, 61))


def test_the_average_is_given_in_evaluation_mode(sampler, tmp_path):
    trained = network()
    average = train(trained, sampler, OPTIONS, tmp_path, ALONE, listener=Heard())
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert average.stem.weight is not trained.stem.weight
    assert not torch.equal(average.stem.weight, trained.stem.weight)
    torch.testing.assert_close(average.stem.weight, trained.stem.weight, atol=0.05, rtol=0)
    norm, own = average.body[1], trained.body[1]
    assert norm.num_batches_tracked == own.num_batches_tracked


def test_the_average_follows_quickly_at_first_and_slowly_later(sampler, tmp_path):
    start = network().stem.weight.detach()
    for name, ema_decay, kept in (("quick", 0.999, 0.1), ("quicker", 0.05, 0.05)):
        (tmp_path / name).mkdir()
        trained = network()
        options = replace(OPTIONS, steps=1, ema_decay=ema_decay)
        average = train(trained, sampler, options, tmp_path / name, ALONE, listener=Heard())
        torch.testing.assert_close(average.stem.weight, kept * start + (1 - kept) * trained.stem.weight.detach())


def test_the_same_seed_gives_the_same_weights(sampler, tmp_path):
    states = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        states.append(train(network(), sampler, OPTIONS, tmp_path / name, ALONE, listener=Heard()).state_dict())
    assert_same_state(*states)
    (tmp_path / "three").mkdir()
    other = train(network(), sampler, replace(OPTIONS, seed=2), tmp_path / "three", ALONE, listener=Heard())
    assert not torch.equal(other.state_dict()["stem.weight"], states[0]["stem.weight"])


@pytest.mark.parametrize(("checkpoints", "killed_at"), [("each step", 7), ("at the start only", 7), ("each step", 1)])
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    sampler, tmp_path, monkeypatch, at_each_step, checkpoints, killed_at
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    trained = network()
    expected = train(trained, sampler, OPTIONS, whole, ALONE, listener=Heard()).state_dict()
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0 if checkpoints == "each step" else 1e9)
    with pytest.raises(KeyboardInterrupt):
        train(network(), sampler, OPTIONS, killed, ALONE, listener=Heard(killed_at))
    again, heard = network(), Heard()
    average = train(again, sampler, OPTIONS, killed, ALONE, listener=heard)
    assert_same_state(average.state_dict(), expected)
    assert_same_state(again.state_dict(), trained.state_dict())
    taken_again = killed_at if checkpoints == "each step" else 1
    assert heard.reports[0].step == taken_again
    assert steps_of(killed) == steps_of(whole) == list(range(1, 13))  # none twice, none left out


def test_a_finished_run_is_not_trained_on(sampler, tmp_path):
    expected = train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard()).state_dict()
    heard = Heard()
    again = train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=heard).state_dict()
    assert_same_state(again, expected)
    assert not heard.reports


def test_seconds_go_on_after_a_resume(sampler, tmp_path, monkeypatch, at_each_step):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard(7))
    train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard())
    seconds = [json.loads(line)["seconds"] for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("cut", ['{"step": 5, "detector_lo', '{"step": 5, "validation": {"repeatability": 0.5}'])
def test_a_line_that_a_killed_run_left_half_written_is_dropped(sampler, tmp_path, monkeypatch, at_each_step, cut):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard(5))
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write(cut)
    train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard())
    assert steps_of(tmp_path) == list(range(1, 13))


def test_the_average_is_validated_in_between_and_at_the_end(sampler, tmp_path):
    seen = []

    def validate(average, step):
        assert not average.training
        seen.append((step, average.stem.weight.clone()))
        return {"figure": step / 10}

    heard = Heard()
    average = train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=heard, validate=validate)
    assert [step for step, _ in seen] == [5, 10, 12]
    assert heard.validations == [(5, {"figure": 0.5}), (10, {"figure": 1.0}), (12, {"figure": 1.2})]
    assert steps_of(tmp_path, "validation") == [5, 10, 12]
    assert torch.equal(seen[-1][1], average.stem.weight)


def test_a_run_killed_in_its_last_validation_validates_again(sampler, tmp_path):
    def killed(average, step):
        if step == OPTIONS.steps:
            raise KeyboardInterrupt
        return {"figure": 1.0}

    with pytest.raises(KeyboardInterrupt):
        train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard(), validate=killed)
    train(
        network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard(), validate=lambda average, step: {"figure": 1.0}
    )
    assert steps_of(tmp_path, "validation")[-1] == OPTIONS.steps


class TurnsBad(SmallNetwork):
    """Says NaN from its fourth batch on."""

    def __init__(self):
        super().__init__()
        self.batches = 0

    def forward(self, image):
        self.batches += 1
        semi, desc = super().forward(image)
        return (semi * math.nan if self.batches > 3 else semi), desc


class BadGradient(SmallNetwork):
    """With finite outputs whose gradient is not: the square root of zero."""

    def forward(self, image):
        semi, desc = super().forward(image)
        return semi + torch.sqrt(0 * self.stem.weight.sum() ** 2), desc


def test_a_loss_that_is_not_finite_stops_the_run(sampler, tmp_path):
    bad = network(TurnsBad)
    with pytest.raises(TrainingError) as caught:
        train(bad, sampler, OPTIONS, tmp_path, ALONE, listener=Heard())
    assert "step 3: expected finite losses and gradients, got detector nan" in str(caught.value)
    assert str(tmp_path / BAD_BATCH_FILE) in str(caught.value)
    assert "--learning-rate" in str(caught.value)
    kept = torch.load(tmp_path / BAD_BATCH_FILE, weights_only=True)
    assert kept["step"] == 3
    generator = torch.Generator().manual_seed(OPTIONS.seed * 1_000_003 + 3)
    drawn = sampler.draw(OPTIONS.pairs, generator)
    assert torch.equal(kept["views"], drawn.views)
    assert torch.equal(kept["cells"], drawn.cells)
    assert all(torch.isfinite(value).all() for value in bad.state_dict().values())


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_step(sampler, tmp_path):
    bad = network(BadGradient)
    with pytest.raises(TrainingError, match="step 0"):
        train(bad, sampler, OPTIONS, tmp_path, ALONE, listener=Heard())
    assert (tmp_path / BAD_BATCH_FILE).is_file()
    assert all(torch.isfinite(value).all() for value in bad.state_dict().values())


def test_another_networks_checkpoint_is_refused(sampler, tmp_path):
    train(network(), sampler, replace(OPTIONS, steps=1), tmp_path, ALONE, listener=Heard())
    with pytest.raises(WeightsError, match=r"of this network: tensors '\S+', .* are missing: .*--out"):
        train(network(SmallNetwork), sampler, OPTIONS, tmp_path, ALONE, listener=Heard())


def test_a_damaged_checkpoint_is_refused(sampler, tmp_path):
    train(network(), sampler, replace(OPTIONS, steps=1), tmp_path, ALONE, listener=Heard())
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match="expected a checkpoint"):
        train(network(), sampler, OPTIONS, tmp_path, ALONE, listener=Heard())


def test_only_the_first_process_writes_and_keeps_figures(sampler, tmp_path, monkeypatch):
    logs = []

    class Kept(loop._Log):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            logs.append(self)

    monkeypatch.setattr(loop, "_Log", Kept)
    heard = Heard()
    second = replace(ALONE, rank=1)
    train(network(), sampler, OPTIONS, tmp_path, second, listener=heard, validate=lambda average, step: {})
    assert not list(tmp_path.iterdir())
    assert not heard.reports
    assert not heard.validations
    assert not logs[0]._steps  # they are never reported, and would grow with the run


def test_bf16_keeps_weights_in_f32(sampler, tmp_path):
    average = train(network(), sampler, replace(OPTIONS, steps=3, precision="bf16"), tmp_path, ALONE, listener=Heard())
    assert average.stem.weight.dtype == torch.float32
    assert torch.isfinite(average.stem.weight).all()


def test_the_learning_rate_rises_and_falls():
    options = replace(OPTIONS, steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[50] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0, abs=1e-3)
    assert learning_rate(0, replace(options, warmup_steps=0)) == 1.0
