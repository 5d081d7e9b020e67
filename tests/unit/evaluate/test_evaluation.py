from __future__ import annotations

import json
import weakref

import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate.candidates import Candidate
from oakpoint.evaluate.evaluation import MATCHES_KEPT, PAIRS_AT_ONCE, evaluate, measurements
from oakpoint.evaluate.pairs import Dataset, Sequence, SequenceImage, SequenceView, Skipped, View
from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.evaluate.results import worst_pairs
from oakpoint.evaluate.summary import facts, summarise
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
        noise = 0 if "/1." in name else rng.normal(0, self.noise_px, (n, 2)).astype(np.float32)
        found = Features(points + noise, np.linspace(1, 0, n, dtype=np.float32), descriptors, prepared.size)
        return Timed(found, 4.0 if "/1" in name else 8.0, f"fake {self.label}")


def image(name, broken=False):
    def read():
        if broken:
            raise ImageError(f"{name}: cut short")
        return np.zeros((250, 330), np.uint8)

    return SequenceImage(name, read)


def sequence(name="s", others=3, broken=None):
    return Sequence(
        name,
        image(f"{name}/1.png"),
        tuple(view(f"{name}/{k}.png", broken=k == broken) for k in range(2, 2 + others)),
    )


def view(name, broken=False):
    read = image(name, broken).read
    return SequenceView(name, lambda: View(read(), np.eye(3)))


def dataset(*sequences, skipped=()):
    return Dataset("made", sequences, skipped)


def test_every_image_is_extracted_once_by_each_protocol():
    grid = Grid("g")
    result = evaluate(dataset(sequence()), [grid], PROTOCOLS, lambda *_: None)
    assert len(grid.calls) == len(set(grid.calls)) == 3 * 4
    assert {size for _, size in grid.calls} == {(320, 240), (640, 480), (330, 250)}
    assert [row.protocol.key for row in result.rows] == ["p1", "p2", "p3"]
    for row in result.rows:
        assert len(row.pairs) == 3
        assert row.values("time_ms").tolist() == [6.0] * 3
        assert row.runtimes == ("fake g",)
    assert result.rows[0].values("repeatability").tolist() == [1.0] * 3
    assert result.rows[2].values("mma_1px").tolist() == [1.0] * 3


def test_every_measurement_is_reported_once():
    """What is skipped or left out by a protocol counts as done as well."""
    sequences = dataset(sequence("s", 7), sequence("i_dc", 2), sequence("t", 3, broken=3))
    candidates = [Grid("a"), Grid("b")]
    done: dict[str, list[int]] = {}
    evaluate(sequences, candidates, PROTOCOLS, lambda name, count: done.setdefault(name, []).append(count))
    assert {name: sum(counts) for name, counts in done.items()} == {"s": 42, "i_dc": 12, "t": 18}
    assert sum(map(sum, done.values())) == measurements(sequences, candidates, PROTOCOLS)
    assert done["s"][0] == 1


class Alive:
    """Counts arrays from when they are made to when nobody holds them."""

    def __init__(self):
        self.now = self.most = 0

    def counted(self, array):
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(array, self._gone)
        return array

    def _gone(self):
        self.now -= 1


def test_no_more_than_a_few_pairs_are_in_memory():
    """Pixels of the first image and of two groups of others, whatever the sequence's length; features of one pair."""
    images, features = Alive(), Alive()

    def read():
        return images.counted(np.zeros((250, 330), np.uint8))

    others = tuple(SequenceView(f"s/{k}.png", lambda: View(read(), np.eye(3))) for k in range(2, 40))
    long = Sequence("s", SequenceImage("s/1.png", read), others)

    class Watched(Grid):
        def features(self, name, prepared):
            timed = super().features(name, prepared)
            features.counted(timed.features.descriptors)
            return timed

    result = evaluate(dataset(long), [Watched("a")], PROTOCOLS, lambda *_: None)
    assert [len(row.pairs) for row in result.rows] == [38] * 3
    assert images.most <= 1 + 2 * PAIRS_AT_ONCE
    assert features.most <= len(PROTOCOLS) + 2  # of the first image by each protocol, and of two others
    assert images.now == features.now == 0


def test_only_the_worst_pairs_keep_their_matches():
    class Uneven(Grid):
        """The pairs of odd photographs are hard."""

        def features(self, name, prepared):
            self.noise_px = 3.0 * (int(name[1]) % 2)
            return super().features(name, prepared)

    many = dataset(*(sequence(f"p{index}", 2) for index in range(6)))
    p1, p2, p3 = evaluate(many, [Uneven("a")], PROTOCOLS, lambda *_: None).rows
    assert [pair.measured.matches for pair in p1.pairs] == [None] * 12
    for row in (p2, p3):
        kept = [pair for pair in row.pairs if pair.measured.matches is not None]
        assert len(kept) == MATCHES_KEPT
        assert {pair.sequence for pair in kept} <= {"p1", "p3", "p5"}
        assert not np.isnan(row.values("matches")).any()


def test_times_are_told_for_each_size():
    def sized(name, width):
        def read():
            return np.zeros((250, width), np.uint8)

        return Sequence(name, SequenceImage(f"{name}/1.png", read), (view_of(f"{name}/2.png", read),))

    def view_of(name, read):
        return SequenceView(name, lambda: View(read(), np.eye(3)))

    result = evaluate(dataset(sized("s", 330), sized("t", 200)), [Grid("a")], PROTOCOLS, lambda *_: None)
    p1, _, p3 = result.rows
    assert [(time.size, time.images, time.median_ms) for time in p1.times] == [((320, 240), 4, 6.0)]
    assert [(time.size, time.images) for time in p3.times] == [((200, 250), 2), ((330, 250), 2)]
    assert (p3.times[0].lower_ms, p3.times[0].upper_ms) == (5.0, 7.0)
    told = facts(summarise(result))["protocols"]["p3"]["extractors"]["a"]["times"]
    assert told[0] == {"size": "200x250", "images": 2, "median_ms": 6.0, "lower_ms": 5.0, "upper_ms": 7.0}


def test_the_baseline_is_the_first_unless_another_is_asked_for():
    result = evaluate(
        dataset(sequence("s"), sequence("t")), [Grid("a"), Grid("b", 1.0), Grid("c", 2.0)], PROTOCOLS, lambda *_: None
    )
    first, last = summarise(result), summarise(result, baseline="c")
    assert {(d.label, d.baseline) for d in first.differences} == {("b", "a"), ("c", "a")}
    assert {(d.label, d.baseline) for d in last.differences} == {("a", "c"), ("b", "c")}
    there, back = (
        next(d.estimate for d in one.differences if d.label == label and d.figure.key == "mma_1px")
        for one, label in ((first, "c"), (last, "a"))
    )
    assert there.value == -back.value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    with pytest.raises(UsageError, match=r"expected the label of an extractor \(a, b, c\), got 'd'"):
        summarise(result, baseline="d")


def test_an_unreadable_image_skips_its_sequence_for_all():
    skipped = (Skipped("malformed", "no image 1.*"),)
    sequences = dataset(sequence("s"), sequence("t", broken=3), skipped=skipped)
    result = evaluate(sequences, [Grid("a"), Grid("b")], PROTOCOLS, lambda *_: None)
    assert [s.sequence for s in result.skipped] == ["malformed", "t"]
    assert "cut short" in result.skipped[1].reason
    assert {pair.sequence for row in result.rows for pair in row.pairs} == {"s"}
    told = facts(summarise(result))
    assert told["skipped_count"] == 2
    with pytest.raises(ImageError, match="not one sequence"):
        evaluate(dataset(sequence("t", broken=1 + 1)), [Grid("a")], PROTOCOLS, lambda *_: None)


def test_two_of_one_label():
    with pytest.raises(UsageError, match="label"):
        evaluate(dataset(sequence()), [Grid("a"), Grid("a")], PROTOCOLS, lambda *_: None)


def test_a_protocol_leaves_out_its_sequences():
    result = evaluate(dataset(sequence("s"), sequence("i_dc")), [Grid("a")], PROTOCOLS, lambda *_: None)
    assert [len(row.pairs) for row in result.rows] == [6, 6, 3]


def test_the_summary_tells_extractors_apart():
    sequences = dataset(*(sequence(name, 2) for name in "stuvw"))
    result = evaluate(sequences, [Grid("exact"), Grid("rough", 2.0)], PROTOCOLS, lambda *_: None)
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
    assert (p2["pairs"], p2["sequences"]) == (10, 5)
    assert p2["extractors"]["rough"]["figures"]["keypoints"]["value"] > 100
    assert p2["differences"][0]["of"] == "rough"
    assert told == json.loads(json.dumps(facts(summarise(result)), allow_nan=False))
    with pytest.raises(UsageError, match="100 or more"):
        summarise(result, resamples=10)


def test_one_sequence_has_no_interval_and_json_says_null():
    told = facts(summarise(evaluate(dataset(sequence("s", 4)), [Grid("a")], PROTOCOLS, lambda *_: None)))
    figure = told["protocols"]["p1"]["extractors"]["a"]["figures"]["repeatability"]
    assert figure == {"unit": "", "value": 1.0, "low": None, "high": None, "pairs": 4, "sequences": 1}
    assert told["intervals_over"] == "sequences"


def test_the_worst_pairs_come_first():
    class GettingWorse(Grid):
        def features(self, name, prepared):
            self.noise_px = 2.0 * int(name.split("/")[1].split(".")[0])
            return super().features(name, prepared)

    result = evaluate(dataset(sequence("s", 4)), [GettingWorse("a")], PROTOCOLS, lambda *_: None)
    p1, p2, p3 = result.rows
    assert worst_pairs(p1.pairs, 5) == []
    for row in (p2, p3):
        assert [pair.second for pair in worst_pairs(row.pairs, 2)] == ["s/5.png", "s/4.png"]
