from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from oakpoint.errors import FeaturesError, OutputError
from oakpoint.features.matches_hdf5 import NamedMatches, check_matches_file, pair_name, read_matches, write_matches
from oakpoint.features.types import Matches
from oakpoint.files import writing_folder

SETTINGS = {"model": "acorn", "match ratio": None}


def matches_of(*pairs: tuple[int, int]) -> Matches:
    indices = np.array(pairs, np.int64).reshape(-1, 2)
    return Matches(indices, np.linspace(0, 0.8, len(indices), dtype=np.float32))


def a_pair(first: str = "db/1.jpg", second: str = "q.jpg") -> NamedMatches:
    return NamedMatches(first, second, (5, 4), matches_of((0, 3), (2, 1)))


def hloc_reads(path: Path, first: str, second: str) -> list[list[int]]:
    """What ``get_matches`` of hloc/utils/io.py gives, in words of our own."""
    with h5py.File(path, "r") as file:
        names = first.replace("/", "-"), second.replace("/", "-")
        turned = "/".join(names) not in file
        group = file["/".join(names[::-1] if turned else names)]
        partners = np.asarray(group["matches0"])
        assert partners.shape == group["matching_scores0"].shape
    found = [[int(i), int(partners[i])] for i in np.flatnonzero(partners != -1)]
    return [pair[::-1] for pair in found] if turned else found


def test_it_is_what_hloc_reads(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_matches(path, [a_pair()], SETTINGS)
    assert hloc_reads(path, "db/1.jpg", "q.jpg") == [[0, 3], [2, 1]]
    assert hloc_reads(path, "q.jpg", "db/1.jpg") == [[3, 0], [1, 2]]
    with h5py.File(path, "r") as file:
        group = file["db-1.jpg/q.jpg"]
        assert (group["matches0"].dtype, group["matching_scores0"].dtype) == (np.int16, np.float16)
        np.testing.assert_array_equal(group["matches0"], [3, -1, 1, -1, -1])
        np.testing.assert_allclose(group["matching_scores0"], [1, 0, 1 - 0.8**2 / 4, 0, 0], atol=1e-3)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path, pair = tmp_path / "m.h5", a_pair()
    write_matches(path, [pair], SETTINGS)
    there, back = read_matches(path, "db/1.jpg", "q.jpg"), read_matches(path, "q.jpg", "db/1.jpg")
    np.testing.assert_array_equal(there.indices, pair.matches.indices)
    np.testing.assert_allclose(there.distances, pair.matches.distances, atol=0.03)
    assert back.indices.tolist() == [[1, 2], [3, 0]]
    with pytest.raises(FeaturesError, match="no matches of"):
        read_matches(path, "a", "b")


def test_many_keypoints_need_more_than_hlocs_type(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_matches(path, [NamedMatches("a", "b", (3, 50_000), matches_of((1, 49_999)))], SETTINGS)
    assert hloc_reads(path, "a", "b") == [[1, 49_999]]


def test_no_match_and_no_keypoint(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    pairs = [NamedMatches("a", "b", (3, 2), matches_of()), NamedMatches("c", "b", (0, 2), matches_of())]
    write_matches(path, pairs, SETTINGS)
    assert hloc_reads(path, "a", "b") == hloc_reads(path, "c", "b") == []


def test_a_pair_is_replaced_in_either_order_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_matches(path, [a_pair(), a_pair("x", "y")], SETTINGS)
    write_matches(path, [NamedMatches("q.jpg", "db/1.jpg", (4, 5), matches_of((0, 0)))], SETTINGS)
    assert hloc_reads(path, "db/1.jpg", "q.jpg") == [[0, 0]]
    assert hloc_reads(path, "x", "y") == [[0, 3], [2, 1]]
    with h5py.File(path, "r") as file:
        assert "db-1.jpg/q.jpg" not in file


def test_two_pairs_of_one_name_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_matches(path, [a_pair()], SETTINGS)
    before = path.read_bytes()
    with pytest.raises(FeaturesError, match=r"'db-1.jpg/q.jpg', is that of another pair"):
        write_matches(path, [a_pair("z", "q.jpg"), a_pair("db-1.jpg", "q.jpg")], SETTINGS)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["m.h5"]


def test_a_file_of_other_settings_or_programs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    check_matches_file(path, SETTINGS)
    write_matches(path, [a_pair()], SETTINGS)
    check_matches_file(path, SETTINGS)
    with pytest.raises(FeaturesError, match=r"made with match ratio None, now it is 0\.8; choose another"):
        check_matches_file(path, SETTINGS | {"match ratio": 0.8})
    foreign, text = tmp_path / "hloc.h5", tmp_path / "text.h5"
    with h5py.File(foreign, "w") as file:
        file["a/b/matches0"] = np.zeros(3, np.int16)
    text.write_text("something else")
    with pytest.raises(FeaturesError, match="matches of another program"):
        write_matches(foreign, [a_pair()], SETTINGS)
    with pytest.raises(FeaturesError, match="expected an HDF5 file of matches"):
        write_matches(text, [a_pair()], SETTINGS)
    assert text.read_text() == "something else"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with writing_folder(path), pytest.raises(OutputError, match="another process is writing it"):
        write_matches(path, [a_pair()], SETTINGS)
    assert not path.exists()


def test_names_of_pairs() -> None:
    assert pair_name("a/b/c.jpg", "d.jpg") == "a-b-c.jpg/d.jpg"
