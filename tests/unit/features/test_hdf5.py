from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from oakpoint.errors import FeaturesError, OutputError
from oakpoint.features import hdf5
from oakpoint.features.hdf5 import bind_settings, read_features, stored_names, write_features
from oakpoint.features.types import Features


def some_features(n: int = 5, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    return Features(
        rng.uniform(0, 600, (n, 2)).astype(np.float32),
        -np.sort(-rng.random(n, dtype=np.float32)),
        rng.normal(size=(n, 16)).astype(np.float32),
        (640, 480),
    )


def assert_same(a: Features, b: Features) -> None:
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.descriptors, b.descriptors)
    assert a.image_size == b.image_size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.h5"


@pytest.mark.parametrize("n", [0, 1, 5])
def test_what_is_written_is_read(path: Path, n: int) -> None:
    write_features(path, "db/1.jpg", some_features(n))
    assert_same(read_features(path, "db/1.jpg"), some_features(n))


def test_names_are_sorted_and_may_lie_in_folders(path: Path) -> None:
    names = ["query/night/1.jpg", "db/2.jpg", "db/10.jpg", "ä ö.png", "9.41\u202fAM.png"]
    for i, name in enumerate(names):
        write_features(path, name, some_features(seed=i))
    assert stored_names(path) == sorted(names)
    for i, name in enumerate(names):
        assert_same(read_features(path, name), some_features(seed=i))


def test_the_layout_is_that_of_hloc(path: Path) -> None:
    features = some_features()
    write_features(path, "db/1.jpg", features)
    with h5py.File(path) as file:
        group = file["db/1.jpg"]
        assert sorted(group) == ["descriptors", "image_size", "keypoints", "scores"]
        np.testing.assert_array_equal(group["keypoints"][()], features.keypoints)
        np.testing.assert_array_equal(group["descriptors"][()], features.descriptors.T)
        assert group["image_size"][()].tolist() == [640, 480]


def test_what_hloc_writes_is_read(path: Path) -> None:
    features = some_features()
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("db/1.jpg")
        group.create_dataset("keypoints", data=features.keypoints.astype(np.float16))
        group.create_dataset("descriptors", data=features.descriptors.T.astype(np.float16))
        group.create_dataset("scores", data=features.scores.astype(np.float16))
        group.create_dataset("image_size", data=np.array([640, 480]))
        group["keypoints"].attrs["uncertainty"] = 2.0
    assert stored_names(path) == ["db/1.jpg"]
    read = read_features(path, "db/1.jpg")
    assert read.descriptors.flags.c_contiguous
    np.testing.assert_array_equal(read.keypoints, features.keypoints.astype(np.float16))
    np.testing.assert_array_equal(read.descriptors, features.descriptors.astype(np.float16))


def test_an_image_is_replaced(path: Path) -> None:
    write_features(path, "1.jpg", some_features(seed=1))
    write_features(path, "1.jpg", some_features(3, seed=2))
    assert_same(read_features(path, "1.jpg"), some_features(3, seed=2))


def test_a_setting_that_files_once_did_not_note_has_the_value_it_had_then(path: Path) -> None:
    bind_settings(path, {"threshold": 0.1, "count": None})
    now = {"threshold": 0.1, "count": None, "refined": "no"}
    with pytest.raises(FeaturesError, match="holds features made with refined None, now it is no"):
        bind_settings(path, now)
    bind_settings(path, now, before={"refined": "no"})
    with pytest.raises(FeaturesError, match="holds features made with refined no, now it is yes"):
        bind_settings(path, now | {"refined": "yes"}, before={"refined": "no"})
    noted = path.with_name("noted.h5")
    bind_settings(noted, now | {"refined": "yes"})
    with pytest.raises(FeaturesError, match="holds features made with refined yes, now it is no"):
        bind_settings(noted, now, before={"refined": "no"})


def test_a_half_written_image_is_not_there_and_is_done_again(path: Path) -> None:
    write_features(path, "db/1.jpg", some_features(seed=1))
    with h5py.File(path, "a") as file:
        file.create_group("db/2.jpg")["keypoints"] = np.zeros((7, 2), np.float32)
    assert stored_names(path) == ["db/1.jpg"]
    with pytest.raises(FeaturesError, match=r"'db/2\.jpg' with keypoints, scores"):
        read_features(path, "db/2.jpg")
    write_features(path, "db/2.jpg", some_features(seed=2))
    assert_same(read_features(path, "db/2.jpg"), some_features(seed=2))


@pytest.mark.parametrize("existing", [False, True])
def test_a_run_that_dies_in_an_image_leaves_the_others(
    path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        write_features(path, "1.jpg", some_features(seed=1))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Group, "__setitem__", die)
        with pytest.raises(KeyboardInterrupt):
            write_features(path, "2.jpg", some_features(seed=2))
    assert [child.name for child in path.parent.iterdir()] == (["features.h5"] if existing else [])
    if existing:
        assert stored_names(path) == ["1.jpg"]
    write_features(path, "2.jpg", some_features(seed=2))
    assert_same(read_features(path, "2.jpg"), some_features(seed=2))


@pytest.mark.parametrize("content", [b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_not_hdf5_is_refused_in_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for use in (
        lambda: stored_names(path),
        lambda: read_features(path, "1.jpg"),
        lambda: write_features(path, "1.jpg", some_features()),
    ):
        with pytest.raises(FeaturesError, match=re.escape(str(path))) as caught:
            use()
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_an_empty_file_is_not_read_but_written(path: Path) -> None:
    path.touch()
    with pytest.raises(FeaturesError, match="this is none"):
        stored_names(path)
    write_features(path, "1.jpg", some_features())
    assert stored_names(path) == ["1.jpg"]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    for i in range(4):
        write_features(path, f"{i}.jpg", some_features(200, seed=i))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FeaturesError, match="damaged"):
        stored_names(path)


def test_flipped_bytes_give_features_or_one_clear_error(path: Path) -> None:
    write_features(path, "db/1.jpg", some_features())
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(6)
    refused: list[str] = []
    for _ in range(150):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 8)] ^= rng.integers(1, 256, 8).astype(np.uint8)
        path.write_bytes(damaged.tobytes())
        try:
            for name in stored_names(path):
                read_features(path, name)
        except FeaturesError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in message for message in refused)


def test_a_missing_file_or_folder_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match="no such features file"):
        stored_names(path)
    with pytest.raises(FeaturesError, match="no such features file"):
        read_features(path, "1.jpg")
    with pytest.raises(OutputError, match="cannot write here"):
        write_features(tmp_path / "missing" / "features.h5", "1.jpg", some_features())
    with pytest.raises(FeaturesError, match="this is none"):
        stored_names(tmp_path)


def test_an_unknown_image_is_refused(path: Path) -> None:
    write_features(path, "db/1.jpg", some_features())
    for name in ("db", "2.jpg", "db/1.jpg/keypoints"):
        with pytest.raises(FeaturesError, match="found none"):
            read_features(path, name)


@pytest.mark.parametrize("name", ["", "/1.jpg", "db//1.jpg", "db/", "./1.jpg", "../1.jpg", "a\0b", "\udcff.jpg"])
def test_a_name_that_cannot_be_stored_is_refused(path: Path, name: str) -> None:
    with pytest.raises(FeaturesError, match="expected a relative path"):
        write_features(path, name, some_features())
    assert not path.exists()


def test_an_image_is_no_folder(path: Path) -> None:
    write_features(path, "db/1.jpg", some_features())
    with pytest.raises(FeaturesError, match="is a folder of images"):
        write_features(path, "db", some_features())
    for name in ("db/1.jpg/2.jpg", "db/1.jpg/keypoints/2.jpg"):
        with pytest.raises(FeaturesError, match=r"'db/1.*' is an image here"):
            write_features(path, name, some_features())
    assert stored_names(path) == ["db/1.jpg"]


@pytest.mark.parametrize(
    ("dataset", "content", "said"),
    [
        ("keypoints", np.zeros((5, 3)), "keypoints"),
        ("scores", np.zeros(4), "scores"),
        ("descriptors", np.zeros((5, 16)), "descriptors"),
        ("descriptors", np.zeros(5), "descriptors"),
        ("image_size", np.zeros(3), "image_size"),
        ("image_size", np.array([np.nan, 480]), "NaN"),
        ("scores", np.array([b"a"] * 5), "expected numbers in scores"),
    ],
)
def test_a_malformed_group_is_refused(path: Path, dataset: str, content: np.ndarray, said: str) -> None:
    write_features(path, "1.jpg", some_features())
    with h5py.File(path, "a") as file:
        del file["1.jpg"][dataset]
        file["1.jpg"][dataset] = content
    with pytest.raises(FeaturesError, match=rf"1\.jpg: .*{said}"):
        read_features(path, "1.jpg")


def test_a_dataset_of_absurd_size_is_refused(path: Path) -> None:
    write_features(path, "1.jpg", some_features())
    with h5py.File(path, "a") as file:
        del file["1.jpg/scores"]
        file["1.jpg"].create_dataset("scores", shape=(1 << 45,), dtype=np.float32, chunks=(1024,))
    with pytest.raises(FeaturesError):
        read_features(path, "1.jpg")


def test_a_full_disk_is_an_output_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_features(path, "1.jpg", some_features())

    def full(*_: object) -> None:
        raise OSError("Unable to synchronously write data (error message = 'No space left on device')")

    monkeypatch.setattr(hdf5, "link_features", full)
    with pytest.raises(OutputError, match=r"cannot be written .*No space left"):
        write_features(path, "2.jpg", some_features())
