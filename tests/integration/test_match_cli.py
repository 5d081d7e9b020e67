"""``oakpoint match`` on photographs whose true geometry is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.evaluate.metrics import corner_error_px
from oakpoint.features.hdf5 import read_features, stored_names
from oakpoint.features.matches_hdf5 import read_matches
from oakpoint.images.moving_view import moving_view

SIZE = (320, 240)
Command = Callable[..., object]


@pytest.fixture(scope="module")
def views(photographs: dict[str, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.png and db/b.png, views of one photograph; db/sub/other.png, of another; truth.npy, b from a."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "db" / "sub").mkdir(parents=True)
    frames = list(moving_view(photographs["astronaut"], size=SIZE, frames=12))
    assert cv2.imwrite(str(folder / "a.png"), frames[0].image)
    assert cv2.imwrite(str(folder / "db" / "b.png"), frames[2].image)
    assert cv2.imwrite(str(folder / "db" / "sub" / "other.png"), photographs["coffee"])
    np.save(folder / "truth.npy", frames[2].frame_from_photograph @ np.linalg.inv(frames[0].frame_from_photograph))
    return folder


@pytest.fixture
def here(views: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them to work in."""
    folder = Path(shutil.copytree(views, tmp_path / "views"))
    monkeypatch.chdir(folder)
    return folder


def test_the_homography_is_the_true_one(command, here: Path) -> None:
    ran = command("match", "a.png", "db/b.png", "--save", "ab.png", "--json")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    (pair,) = facts["pairs"]
    fit = pair["fit"]
    assert corner_error_px(np.array(fit["matrix"]), np.load("truth.npy"), SIZE) < 2
    assert fit["inliers"] == sum(pair["matched"]["inliers"]) > 0.7 * pair["matches"]
    assert pair["matches"] == len(pair["matched"]["first"]) == len(pair["matched"]["distances"])
    assert fit["log10_by_chance"] < -50
    assert facts["first"] == {"image": "a.png", "size": [320, 240], "keypoints": facts["first"]["keypoints"]}
    assert facts["fitting"]["threshold_px"] == 3
    assert pair["saved"] == "ab.png"
    picture = cv2.imread("ab.png")
    assert picture.shape[1] == 320 + 8 + 320


def test_what_is_said_of_two_images(command, here: Path) -> None:
    ran = command("match", "a.png", "db/b.png")
    lines = ran.out.splitlines()
    assert lines[0].startswith("a.png: 320x240 px, ")
    assert "inliers of a homography (within 3 px, median 0." in lines[2]
    assert lines[3] == "homography, db/b.png from a.png:"
    matrix = np.array([[float(word) for word in line.split()] for line in lines[4:7]])
    assert corner_error_px(matrix, np.load("truth.npy"), SIZE) < 2


def test_unrelated_images_have_no_homography(command, here: Path) -> None:
    ran = command("match", "a.png", "db/sub/other.png", "--save", "no.png")
    assert ran.code == 1
    assert not ran.errors
    assert "no homography: only " in ran.out
    assert Path("no.png").is_file()
    assert command("match", "a.png", "db/sub/other.png", "--model", "none").code == 0


def test_an_image_without_keypoints(command, here: Path) -> None:
    assert cv2.imwrite("black.png", np.zeros((240, 320), np.uint8))
    ran = command("match", "a.png", "black.png", "--save", "black-match.png")
    assert (ran.code, ran.errors) == (1, [])
    assert "0 matches; no homography: 0 matches, and 5 is the least that can confirm it" in ran.out


def test_a_folder_is_ranked(command, here: Path) -> None:
    ran = command("match", "a.png", "db", "--save", "pictures", "--top", 1, "--json")
    facts = json.loads(ran.out)
    assert ran.code == 0
    assert [pair["image"] for pair in facts["pairs"]] == ["db/b.png", "db/sub/other.png"]
    assert facts["pairs"][1]["fit"]["matrix"] is None
    assert sorted(item.name for item in Path("pictures").glob("*.png")) == ["01_b.png"]
    Path("pictures/mine.txt").write_text("mine")
    refused = command("match", "a.png", "db", "--save", "pictures")
    assert refused.code == 1
    assert "mine.txt" in refused.errors[0]
    assert Path("pictures/mine.txt").read_text() == "mine"


def test_the_image_itself_is_left_out_of_its_folder(command, here: Path) -> None:
    facts = json.loads(command("match", "db/b.png", ".", "--json").out)
    assert {pair["image"] for pair in facts["pairs"]} == {"a.png", "db/sub/other.png"}


def test_an_image_that_cannot_be_read_is_left_out(command, here: Path) -> None:
    Path("db/broken.png").write_bytes(b"none")
    ran = command("match", "a.png", "db")
    assert ran.code == 1
    assert "db/b.png" in ran.out
    assert len(ran.errors) == 1
    assert "broken.png" in ran.errors[0]


def test_files_for_hloc(command, here: Path) -> None:
    ran = command("match", "a.png", "db", "--features", "f.h5", "--matches", "m.h5")
    assert ran.code == 0, ran.err
    assert stored_names(Path("f.h5")) == ["a.png", "db/b.png", "db/sub/other.png"]
    with h5py.File("m.h5", "r") as file:
        assert sorted(file["a.png"]) == ["db-b.png", "db-sub-other.png"]
    facts = json.loads(command("match", "a.png", "db/b.png", "--root", ".", "--features", "f.h5", "--json").out)
    matches = read_matches(Path("m.h5"), "a.png", "db/b.png")
    first = read_features(Path("f.h5"), "a.png").keypoints[matches.indices[:, 0]]
    np.testing.assert_array_equal(first, np.float32(facts["pairs"][0]["matched"]["first"]))
    before = Path("m.h5").read_bytes()
    refused = command("match", "a.png", "db", "--features", "f.h5", "--matches", "m.h5", "--ratio", 0.8)
    assert refused.code == 1
    assert "match ratio None, now it is 0.8" in refused.errors[0]
    assert Path("m.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.png", "none.png"], "no such image or folder"),
        (["db", "a.png"], "expected an image to match, got a folder"),
        (["a.png", "db/b.png", "--model", "essential"], "--camera"),
        (["a.png", "db/b.png", "--camera", "1,2,3,4"], "leave one out"),
        (["a.png", "db/b.png", "--model", "essential", "--camera", "1,2,3"], "fx,fy,cx,cy"),
        (["a.png", "db/b.png", "--camera-b", "1,2,3,4"], "expected --camera"),
        (["a.png", "db/b.png", "--model", "none", "--seed", "1"], "fits nothing"),
        (["a.png", "db/b.png", "--ratio", "2"], "ratio: expected"),
        (["a.png", "db/b.png", "--match-distance", "-1"], "match-distance: expected"),
        (["a.png", "db/b.png", "--top", "0"], "top: expected"),
        (["a.png", "db/b.png", "--save", "ab.gif"], ".png"),
        (["a.png", "db/b.png", "--save", "a.png"], "is what is read"),
        (["a.png", "db/b.png", "--matches", "m.h5"], "give --features"),
        (["a.png", "db/b.png", "--features", "m.h5", "--matches", "m.h5"], "two files"),
        (["a.png", "db/b.png", "--features", "f.h5", "--root", "db"], "is not in it"),
        (["a.png", "db/b.png", "--network", "nothing"], "nothing"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_leaves_nothing(command, here: Path, words: list[str], said: str) -> None:
    before = sorted(here.rglob("*"))
    ran = command("match", *words)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert said in ran.errors[0]
    assert ran.out == ""
    assert sorted(here.rglob("*")) == before


def test_the_pose_of_a_stereo_pair(command, tmp_path: Path) -> None:
    """Rectified cameras of one height: no turn, and a step along x. Source: Middlebury 2014, «Motorcycle»."""
    data = pytest.importorskip("skimage.data")
    left, right, _ = data.stereo_motorcycle()
    places = tmp_path / "left.png", tmp_path / "right.png"
    for place, image in zip(places, (left, right), strict=True):
        assert cv2.imwrite(str(place), np.ascontiguousarray(image[:, :, ::-1]))
    cameras = ["--camera", "994.978,994.978,311.193,254.877", "--camera-b", "994.978,994.978,342.279,254.877"]
    ran = command("match", *places, "--model", "essential", *cameras, "--json")
    assert ran.code == 0, ran.err
    fit = json.loads(ran.out)["pairs"][0]["fit"]
    assert fit["pose"]["angle_deg"] < 0.5
    np.testing.assert_allclose(fit["pose"]["direction"], [-1, 0, 0], atol=0.05)
    assert fit["pose"]["in_front"] > 0.95 * fit["inliers"]
    assert fit["on_one_homography"] < 0.5 * fit["inliers"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--features", "f.h5", "--matches", "no/m.h5"], "no/m.h5: there is no folder"),
        (["--features", "f.h5", "--matches", "db"], "there is a folder of that name"),
        (["--save", "no/p.png"], "no/p.png: there is no folder no; make it first"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_worked_out(
    command, here: Path, words: list[str], said: str
) -> None:
    ran = command("match", "a.png", "db/b.png", "--network", "no-such-network", *words)
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert said in ran.errors[0]
    assert not (here / "f.h5").exists()
