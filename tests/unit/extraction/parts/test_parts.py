"""Parts, by the engine that is this process alone: exactly once by content, resumed, bound, read and merged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import h5py
import numpy as np
import pytest

from oakpoint.errors import BackendError, FeaturesError, ImageError, OutputError, UsageError
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import HOPELESS_AFTER, extract_images
from oakpoint.extraction.parts import portion
from oakpoint.extraction.parts.claims import ClaimRegister, register_of
from oakpoint.extraction.parts.known import Known
from oakpoint.extraction.parts.manifest import Format, whole_parts
from oakpoint.extraction.parts.merging import merge
from oakpoint.extraction.parts.plan import Plan
from oakpoint.extraction.parts.portion import Job, PortionReport, PortionWorker
from oakpoint.extraction.parts.reading import FeatureParts
from oakpoint.extraction.parts.run import Summary, extract_into_parts, one_after_the_other
from oakpoint.extraction.parts.storage import Storage
from oakpoint.features.hdf5 import read_features, stored_names
from oakpoint.features.types import Features

DIM = 4


class Fake:
    """As many keypoints as the first pixel says, at places that follow from it."""

    def __init__(self, model: str, calls: list[int], fails: Callable[[int], bool]) -> None:
        self.model, self.calls, self.fails = model, calls, fails
        self.native = True
        self.in_flight = 1

    def __call__(self, image: np.ndarray) -> Features:
        brightness = int(image.ravel()[0])
        self.calls.append(brightness)
        if self.fails(brightness):
            raise BackendError("the model fails")
        rng = np.random.default_rng(brightness)
        keypoints = rng.uniform(0, 8, (brightness, 2)).astype(np.float32)
        descriptors = rng.normal(size=(brightness, DIM)).astype(np.float32)
        return Features(keypoints, rng.random(brightness, np.float32), descriptors, image.shape[1::-1])

    def identity(self) -> dict[str, object]:
        return {"decode subpixel": "none", "model": self.model}

    def former_identity(self) -> dict[str, object]:
        return {"model": "formerly"}

    def close(self) -> None: ...


class Extracting:
    """Runs with a fake model, and what it computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[int] = []
        self.fails: Callable[[int], bool] = lambda _: False
        monkeypatch.setattr(portion, "load_extractor", lambda model, **_: Fake(model, self.calls, self.fails))

    def __call__(
        self, source: object, out: object, *, form: Format = "parquet", engine: Any = one_after_the_other,
        size: int = 3, model: str = "m", **changes: Any,
    ) -> Summary:  # fmt: skip
        self.calls.clear()
        settings = {"decode subpixel": "none", "model": model, "orientation": "as stored"}
        job = Job(model=model, options={}, settings=settings, output=Storage.at(str(out)), form=form, **changes)  # type: ignore[arg-type]
        return extract_into_parts(str(source), job, engine, shard_size=size)


@pytest.fixture
def extracting(monkeypatch: pytest.MonkeyPatch) -> Extracting:
    return Extracting(monkeypatch)


def image(path: Path, brightness: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full((8, 16), brightness, np.uint8))[1].tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine images, two of them with the content of others, and one that is none."""
    for index in range(7):
        image(tmp_path / "set" / f"{index}.png", 10 * index)
    shutil.copy(tmp_path / "set" / "1.png", image(tmp_path / "set" / "sub" / "copy.png", 0))
    shutil.copy(tmp_path / "set" / "6.png", tmp_path / "set" / "copy of 6.png")
    (tmp_path / "set" / "text.png").write_text("hello")
    return tmp_path / "set"


def same(first: Features, second: Features) -> bool:
    arrays = ("keypoints", "scores", "descriptors")
    return first.image_size == second.image_size and all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays
    )


FORMATS: list[Format] = ["parquet", "hdf5"]


@pytest.mark.parametrize("form", FORMATS)
def test_as_the_plain_command_and_each_content_once(
    form: Format, folder: Path, tmp_path: Path, extracting: Extracting
) -> None:
    summary = extracting(folder, tmp_path / "parts", form=form)
    assert sorted(extracting.calls) == [0, 10, 20, 30, 40, 50, 60]
    assert (summary.extracted, summary.shared, summary.images, list(summary.failed)) == (7, 2, 9, ["text.png"])
    plain = Fake("m", [], lambda _: False)
    list(extract_images(named_images(folder)[1], plain, tmp_path / "plain.h5"))  # type: ignore[arg-type]
    parts = FeatureParts(tmp_path / "parts")
    assert sorted(parts) == stored_names(tmp_path / "plain.h5")
    assert all(same(parts[name], read_features(tmp_path / "plain.h5", name)) for name in parts)
    assert list(parts.failures) == ["text.png"]
    in_order = dict(parts.in_order())
    assert sorted(name for names in in_order for name in names) == sorted(parts)
    assert len(in_order) == 7
    assert merge(parts, tmp_path / "merged.h5") == {}
    with h5py.File(tmp_path / "plain.h5") as one, h5py.File(tmp_path / "merged.h5") as other:
        assert dict(one.attrs) == dict(other.attrs)
        for name in parts:
            assert dict(one[name].attrs) == dict(other[name].attrs)
            assert all(np.array_equal(one[name][each], other[name][each]) for each in one[name])
    again = extract_images(named_images(folder)[1], plain, tmp_path / "merged.h5")  # type: ignore[arg-type]
    assert {result.outcome for result in again} == {"there", "failed"}


def test_hloc_reads_hdf5_parts_as_one_file(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    extracting(folder, tmp_path / "parts", form="hdf5")
    (tmp_path / "parts").rename(tmp_path / "moved")
    with h5py.File(tmp_path / "moved" / "features.h5", "r", libver="latest") as file:  # hloc/utils/io.py
        keypoints = file["sub/copy.png"]["keypoints"].__array__()
        assert {key: value.shape for key, value in file["2.png"].items()} == {
            "descriptors": (DIM, 20), "image_size": (2,), "keypoints": (20, 2), "scores": (20,)
        }  # fmt: skip
    assert np.array_equal(keypoints, read_features(tmp_path / "moved" / "features.h5", "1.png").keypoints)


@pytest.mark.parametrize("form", FORMATS)
def test_a_second_run_computes_what_changed_and_nothing_else(
    form: Format, folder: Path, tmp_path: Path, extracting: Extracting
) -> None:
    out = tmp_path / "parts"
    extracting(folder, out, form=form)
    parts = whole_parts(Storage.at(str(out)), form)
    summary = extracting(folder, out, form=form)
    assert (extracting.calls, summary.there, list(summary.failed)) == ([], 9, ["text.png"])
    assert whole_parts(Storage.at(str(out)), form) == parts, "a failure that is known is not written again"
    image(folder / "2.png", 77)
    image(folder / "new.png", 30)  # the content of 3.png
    os.utime(folder / "4.png")
    summary = extracting(folder, out, form=form)
    assert extracting.calls == [77]
    assert (summary.extracted, summary.shared, summary.there) == (1, 2, 7)
    found = FeatureParts(out)
    assert (len(found["2.png"]), len(found["new.png"]), len(found)) == (77, 30, 10)
    image(folder / "2.png", 20)  # as it was at first
    assert extracting(folder, out, form=form).extracted == 0
    assert len(FeatureParts(out)["2.png"]) == 20


def test_a_folder_that_was_moved_is_the_same_and_another_one_is_refused(
    folder: Path, tmp_path: Path, extracting: Extracting
) -> None:
    out = tmp_path / "parts"
    extracting(folder, out)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert extracting(moved, out).shared == 9
    assert extracting.calls == []
    image(tmp_path / "other" / "5.png", 99)
    summary = extracting(tmp_path / "other", out)
    assert summary.refused == ["5.png"]
    assert len(FeatureParts(out)["5.png"]) == 50
    assert extracting(tmp_path / "other", out, replace=True).refused == []
    assert len(FeatureParts(out)["5.png"]) == 99


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_driver_that_ends_early_is_gone_on_with(
    form: Format, after: int, folder: Path, tmp_path: Path, extracting: Extracting
) -> None:
    class Killed(BaseException): ...

    def engine(job: Job, plan: Plan) -> Iterator[PortionReport]:
        for number, report in enumerate(one_after_the_other(job, plan)):
            if number == after:
                raise Killed
            yield report

    out = tmp_path / "parts"
    with pytest.raises(Killed):
        extracting(folder, out, form=form, engine=engine)
    first = list(extracting.calls)
    for left in ("features/00001-left.parquet", "names/00001-left.parquet", "names/.hidden"):
        (out / left).touch()
    extracting(folder, out, form=form)
    assert sorted(first + extracting.calls) == [0, 10, 20, 30, 40, 50, 60]
    assert len(FeatureParts(out)) == 9
    assert not (out / "plan").exists()
    assert not list(out.glob("*/*left*")) or form == "hdf5"


@pytest.mark.parametrize("form", FORMATS)
def test_killed_at_random_moments(form: Format, tmp_path: Path, extracting: Extracting) -> None:
    for index in range(30):
        image(tmp_path / "set" / f"{index}.png", index % 25)  # five of them twice
    rng, out, killed = np.random.default_rng(3), tmp_path / "parts", 0
    while True:
        child = os.fork()
        if child == 0:
            try:
                extracting(tmp_path / "set", out, form=form, size=2)
            except BaseException:  # noqa: BLE001 - nothing of the parent's may run in the child
                os._exit(1)
            os._exit(0)
        time.sleep(float(rng.uniform(0, 0.15 + 0.02 * killed)))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        killed += 1
        if (out / "settings.json").exists():
            assert all(len(features) == int(name[:-4]) % 25 for name, features in FeatureParts(out).items())
    parts = FeatureParts(out)
    assert killed
    assert (len(parts), sum(part.contents for part in parts.parts)) == (30, 25)
    assert not [*out.glob("*/.*")]


def test_a_part_whose_files_are_not_whole_does_not_count(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    out = tmp_path / "parts"
    extracting(folder, out)
    cut = min((out / "features").iterdir())
    cut.write_bytes(cut.read_bytes()[:-1])
    assert len(FeatureParts(out)) < 9
    assert extracting(folder, out).extracted == len(extracting.calls) > 0
    assert len(FeatureParts(out)) == 9


def test_a_portion_that_is_done_again_gives_the_same(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    """A worker is killed after its part is there, or before; the other one has claims in between."""
    reports = []

    def engine(job: Job, plan: Plan) -> Iterator[PortionReport]:
        register = ClaimRegister(Known(job.output, []))
        for number in (0, 1, 0, 2, 3, 1):
            report = PortionWorker(job, register)(number)
            reports.append((number, report))
        yield from dict(reports).values()

    extracting(folder, tmp_path / "parts", engine=engine)
    assert len(extracting.calls) == 7
    assert all(report == dict(reports)[number] for number, report in reports)


def test_claims_are_held_by_one_portion_also_after_the_register_is_made_anew() -> None:
    nothing = Known(Storage("/nowhere"), [])
    register, (a, b) = ClaimRegister(nothing), ("aa" * 32, "bb" * 32)
    assert register.claim(1, [a, b]) == [True, True]
    assert register.claim(2, [a]) == [False]
    assert register.claim(1, [a]) == [True]
    anew = ClaimRegister(nothing)
    assert anew.claim(2, [a]) == [True]
    assert anew.claim(1, [a, b]) == [False, True]
    assert {register_of(f"{i:08x}", 7) for i in range(20)} == set(range(7))


def test_what_another_portion_took_over_is_not_written_twice(
    folder: Path, tmp_path: Path, extracting: Extracting
) -> None:
    """Each portion asks a register of its own first, as if that had been killed, and a common one before it writes."""

    class Forgetful:
        def __init__(self, common: ClaimRegister) -> None:
            self.common, self.first = common, True

        def claim(self, number: int, contents: list[str]) -> list[bool]:
            first, self.first = self.first, False
            return [True] * len(contents) if first else self.common.claim(number, contents)

    def engine(job: Job, plan: Plan) -> Iterator[PortionReport]:
        common = ClaimRegister(Known(job.output, []))
        for number in range(plan.portions):
            yield PortionWorker(job, Forgetful(common))(number)  # type: ignore[arg-type]

    summary = extracting(folder, tmp_path / "parts", engine=engine)
    assert len(extracting.calls) > 7
    parts = FeatureParts(tmp_path / "parts")
    assert sum(part.contents for part in parts.parts) == 7 == summary.extracted
    assert len(parts) == 9


def test_bound_to_what_made_it(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    out = tmp_path / "parts"
    extracting(folder, out)
    with pytest.raises(FeaturesError, match="made with model m, now it is other; choose another"):
        extracting(folder, out, model="other")
    with pytest.raises(FeaturesError, match="holds parquet parts, asked for are hdf5"):
        extracting(folder, out, form="hdf5")
    with pytest.raises(FeaturesError, match="expected a new folder or parts, found"):
        extracting(folder, folder)
    (out / "settings.json").write_text("{}")
    with pytest.raises(FeaturesError, match="damaged, or another program's"):
        extracting(folder, out)


def test_a_worker_that_finds_another_model_gives_up(
    folder: Path, tmp_path: Path, extracting: Extracting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portion, "load_extractor", lambda *_, **__: Fake("other", [], lambda _: False))
    with pytest.raises(UsageError, match="a worker has model other where the driver has m"):
        extracting(folder, tmp_path / "parts")


def test_a_model_that_never_works_ends_the_run(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    extracting.fails = lambda _: True
    with pytest.raises(BackendError, match="the model fails"):
        extracting(folder, tmp_path / "parts", size=100)
    assert len(extracting.calls) == HOPELESS_AFTER


def test_an_image_that_the_model_fails_at_takes_its_copies_with_it(
    folder: Path, tmp_path: Path, extracting: Extracting
) -> None:
    extracting.fails = lambda brightness: brightness == 10
    summary = extracting(folder, tmp_path / "parts", size=1)
    assert set(summary.failed) == {"text.png", "1.png", "sub/copy.png"}
    assert summary.extracted + summary.shared == summary.images == 7
    extracting.fails = lambda _: False
    assert set(extracting(folder, tmp_path / "parts").failed) == {"text.png"}
    assert len(FeatureParts(tmp_path / "parts")) == 9


def test_a_list(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    other = image(tmp_path / "elsewhere" / "far.png", 44)
    lines = ["0.png", "", "sub/copy.png", str(other), "missing.png", "../set/1.png", f"file://{folder}/3.png"]
    (folder / "list.txt").write_text("\n".join(lines))
    summary = extracting(folder / "list.txt", tmp_path / "parts")
    assert sorted(extracting.calls) == [0, 10, 30, 44]
    assert set(summary.failed) == {"missing.png", "../set/1.png"}
    assert set(FeatureParts(tmp_path / "parts")) == {
        "0.png", "sub/copy.png", str(other).lstrip("/"), f"{folder}/3.png".lstrip("/")
    }  # fmt: skip
    assert extracting(folder / "list.txt", tmp_path / "parts").extracted == 0


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_from_and_to_an_object_store(folder: Path, tmp_path: Path, extracting: Extracting, memory: Any) -> None:
    memory.put(str(folder), "/bucket/set", recursive=True)
    summary = extracting("memory://bucket/set", "memory://bucket/parts")
    assert (summary.extracted, summary.shared, list(summary.failed)) == (7, 2, ["text.png"])
    parts = FeatureParts("memory://bucket/parts")
    assert len(parts["sub/copy.png"]) == 10
    assert len(list(parts.in_order())) == 7
    summary = extracting("memory://bucket/set", "memory://bucket/parts")
    assert (extracting.calls, summary.there) == ([], 9)
    memory.pipe("/bucket/set/0.png", (folder / "6.png").read_bytes())
    assert extracting("memory://bucket/set", "memory://bucket/parts").shared == 1
    memory.rm("/bucket/parts/features/" + min(memory.ls("/bucket/parts/features", detail=False)).rpartition("/")[2])
    assert extracting("memory://bucket/set", "memory://bucket/parts").extracted > 0
    assert len(FeatureParts("memory://bucket/parts")) == 9


def test_names_that_no_hdf5_file_has_together(tmp_path: Path, extracting: Extracting) -> None:
    for name, brightness in (("one/a.png", 10), ("two/a.png/b.png", 20), ("two/c.png", 30)):
        image(tmp_path / name, brightness)
    assert extracting(tmp_path / "one", tmp_path / "parts", form="hdf5").failed == {}
    summary = extracting(tmp_path / "two", tmp_path / "parts", form="hdf5")
    assert list(summary.failed) == ["a.png"]
    assert "is a folder of images as well" in "".join(summary.failed.values())
    assert len(merge(FeatureParts(tmp_path / "parts"), tmp_path / "merged.h5")) == 1
    assert len(stored_names(tmp_path / "merged.h5")) == 2


@pytest.mark.parametrize(
    ("source", "kind", "reason"),
    [
        ("missing", ImageError, "no such image, list or folder"),
        ("empty", ImageError, "no image; known are"),
        ("clip.mp4", UsageError, "videos are extracted without --engine ray"),
        ("nosuch://x", UsageError, "fsspec knows no nosuch://"),
        ("simplecache::s3://bucket/x", UsageError, "expected one plain URL"),
        ("reference://x", UsageError, "expected one plain URL"),
        ("memory://nothing/there", ImageError, "no such folder"),
    ],
)
def test_sources_that_are_none(
    source: str, kind: type[Exception], reason: str, tmp_path: Path, extracting: Extracting
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.mp4").touch()
    given = source if ":" in source else tmp_path / source
    with pytest.raises(kind, match=reason) as raised:
        extracting(given, tmp_path / "parts")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "parts").exists()


def test_a_missing_driver_is_one_line_and_passwords_are_not_said(
    tmp_path: Path, extracting: Extracting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(protocol: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(UsageError) as raised:
        extracting("s3://key:secret@bucket/set?sig=token", tmp_path / "parts")
    said = "s3://bucket/set: the driver for s3:// is not installed (Install s3fs to access S3)"
    assert str(raised.value) == said


def test_what_a_driver_raises_says_no_password(tmp_path: Path, extracting: Extracting) -> None:
    with pytest.raises(OutputError) as raised:
        extracting("ftp://me:secret@127.0.0.1:9/set", tmp_path / "parts")
    assert "secret" not in str(raised.value)
    assert "ftp://127.0.0.1:9/set: cannot be reached" in str(raised.value)
    assert raised.value.__cause__ is None


def test_passwords_are_not_kept(tmp_path: Path, extracting: Extracting, folder: Path) -> None:
    (folder / "list.txt").write_text("https://me:secret@host/a.png\n0.png\n")
    summary = extracting(folder / "list.txt", tmp_path / "parts")
    assert "secret" not in json.dumps(summary.failed)
    assert list(summary.failed) == ["host/a.png"]
    assert "secret" not in repr(Storage("s3://me:secret@host/x"))


def test_one_run_at_a_time(folder: Path, tmp_path: Path, extracting: Extracting) -> None:
    def engine(job: Job, plan: Plan) -> Iterator[PortionReport]:
        with pytest.raises(OutputError, match="another process is at work"):
            extract_into_parts(str(folder), job, one_after_the_other)
        yield from one_after_the_other(job, plan)

    extracting(folder, tmp_path / "parts", engine=engine)
