from __future__ import annotations

import json

import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate.candidates import Candidate
from oakpoint.evaluate.evaluation import evaluate
from oakpoint.evaluate.pairs import Dataset, Sequence, SequenceImage, Skipped
from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.evaluate.summary import facts, summarise, worst_pairs
from oakpoint.evaluate.timing import Timed
from oakpoint.features.types import Features

PROTOCOLS = protocols_by_name(["p1", "p2", "p3"], "published")


class Grid(Candidate):
    """Finds the same grid in every image, off by ``noise_px`` in all but the first; counts its calls."""

    note = ""

    def __init__(self, label: str, noise_px: float = 0.0) -> None:
        self.label, self.noise_px, self.calls = label, noise_px, []

    def features(self, name, prepared):
        self.calls.append((name, prepared.size))
        rng = np.random.default_rng(0)
        width, height = prepared.size
        points = np.stack(np.meshgrid(np.arange(20, width - 20, 25), np.arange(20, height - 20, 25)), -1)
        points = points.reshape(-1, 2).astype(np.float32)
        n = len(points)
        descriptors = rng.normal(size=(n, 16)).astype(np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        noise = 0 if name.startswith("s/1") else rng.normal(0, self.noise_px, (n, 2)).astype(np.float32)
        found = Features(points + noise, np.linspace(1, 0, n, dtype=np.float32), descriptors, prepared.size)
        return Timed(found, 4.0 if "/1" in name else 8.0, f"fake {self.label}")


def image(name, broken=False):
    def read():
        if broken:
            raise ImageError(f"{name}: cut short")
        return np.zeros((250, 330), np.uint8)

    return SequenceImage(name, read)


def sequence(name="s", others=3, broken=None):
    images = tuple(image(f"{name}/{k}.png", broken=k == broken) for k in range(2, 2 + others))
    return Sequence(name, image(f"{name}/1.png"), images, (np.eye(3),) * others)


def dataset(*sequences, skipped=()):
    return Dataset("made", sequences, skipped)


def test_every_image_is_extracted_once_by_each_protocol():
    grid = Grid("g")
    done = []
    result = evaluate(dataset(sequence()), [grid], PROTOCOLS, done.append)
    assert done == ["s"]
    assert len(grid.calls) == len(set(grid.calls)) == 3 * 4
    assert {size for _, size in grid.calls} == {(320, 240), (640, 480), (330, 250)}
    assert [row.protocol.key for row in result.rows] == ["p1", "p2", "p3"]
    for row in result.rows:
        assert len(row.pairs) == 3
        assert row.values("time_ms").tolist() == [6.0] * 3
        assert row.runtimes == ("fake g",)
    assert result.rows[0].values("repeatability").tolist() == [1.0] * 3
    assert result.rows[2].values("mma_1px").tolist() == [1.0] * 3


def test_an_unreadable_image_skips_its_sequence_for_all():
    skipped = (Skipped("malformed", "no image 1.*"),)
    sequences = dataset(sequence("s"), sequence("t", broken=3), skipped=skipped)
    result = evaluate(sequences, [Grid("a"), Grid("b")], PROTOCOLS, lambda _: None)
    assert [s.sequence for s in result.skipped] == ["malformed", "t"]
    assert "cut short" in result.skipped[1].reason
    assert {pair.sequence for row in result.rows for pair in row.pairs} == {"s"}
    told = facts(summarise(result))
    assert told["skipped_count"] == 2
    with pytest.raises(ImageError, match="not one sequence"):
        evaluate(dataset(sequence("t", broken=1 + 1)), [Grid("a")], PROTOCOLS, lambda _: None)


def test_two_of_one_label():
    with pytest.raises(UsageError, match="label"):
        evaluate(dataset(sequence()), [Grid("a"), Grid("a")], PROTOCOLS, lambda _: None)


def test_a_protocol_leaves_out_its_sequences():
    result = evaluate(dataset(sequence("s"), sequence("i_dc")), [Grid("a")], PROTOCOLS, lambda _: None)
    assert [len(row.pairs) for row in result.rows] == [6, 6, 3]


def test_the_summary_tells_extractors_apart():
    result = evaluate(dataset(sequence("s", 5)), [Grid("exact"), Grid("rough", 2.0)], PROTOCOLS, lambda _: None)
    summary = summarise(result)
    assert summary.labels == ("exact", "rough")
    assert summary.estimate("p3", "exact", "mma_1px").value == 1.0
    assert summary.estimate("p3", "rough", "mma_1px").value < 0.5
    rough = [d for d in summary.differences if d.figure.key == "mma_1px"]
    assert [(d.label, d.baseline) for d in rough] == [("rough", "exact")]
    assert rough[0].estimate.value < -0.5
    assert rough[0].estimate.excludes_zero
    told = json.loads(json.dumps(facts(summary), allow_nan=False))
    p2 = told["protocols"]["p2"]
    assert p2["pairs"] == 5
    assert p2["extractors"]["rough"]["figures"]["keypoints"]["value"] > 100
    assert p2["differences"][0]["of"] == "rough"
    assert told == json.loads(json.dumps(facts(summarise(result)), allow_nan=False))
    with pytest.raises(UsageError, match="100 or more"):
        summarise(result, resamples=10)


def test_one_pair_has_no_interval_and_json_says_null():
    told = facts(summarise(evaluate(dataset(sequence("s", 1)), [Grid("a")], PROTOCOLS, lambda _: None)))
    figure = told["protocols"]["p1"]["extractors"]["a"]["figures"]["repeatability"]
    assert figure == {"unit": "", "value": 1.0, "low": None, "high": None, "pairs": 1}


def test_the_worst_pairs_come_first():
    class GettingWorse(Grid):
        def features(self, name, prepared):
            self.noise_px = 2.0 * int(name.split("/")[1].split(".")[0])
            return super().features(name, prepared)

    result = evaluate(dataset(sequence("s", 4)), [GettingWorse("a")], PROTOCOLS, lambda _: None)
    p1, p2, p3 = result.rows
    assert worst_pairs(p1, 5) == []
    for row in (p2, p3):
        assert [pair.second for pair in worst_pairs(row, 2)] == ["s/5.png", "s/4.png"]
