from __future__ import annotations

import os
import re

import pytest

from oakpoint.errors import ImageError
from oakpoint.images.origin import ImageOrigin


def origin(folder, content="one", name="a.png"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    return ImageOrigin(folder, name)


def test_a_file_that_was_not_written_to_is_the_same_and_is_not_read_again(tmp_path, monkeypatch):
    facts = origin(tmp_path / "x").facts()
    monkeypatch.setattr("oakpoint.images.origin.sha256_of_file", lambda path: pytest.fail("it was read"))
    assert ImageOrigin(tmp_path / "x", "a.png").standing(facts) == "same"


def test_content_counts_wherever_it_lies_and_whenever_it_was_written(tmp_path):
    facts = origin(tmp_path / "x").facts()
    os.utime(tmp_path / "x" / "a.png", (1, 1))
    assert ImageOrigin(tmp_path / "x", "a.png").standing(facts) == "same"
    assert origin(tmp_path / "y").standing(facts) == "same"


def test_what_changed_in_its_place_and_what_is_of_another(tmp_path):
    facts = origin(tmp_path / "x").facts()
    assert origin(tmp_path / "x", "two").standing(facts) == "changed"
    assert origin(tmp_path / "y", "two").standing(facts) == "other"
    assert origin(tmp_path / "y", "two").standing(None) == "unknown"
    assert origin(tmp_path / "y", "two").standing({"another": "program's"}) == "unknown"


def test_a_time_that_was_set_back_hides_nothing(tmp_path):
    facts = origin(tmp_path / "x").facts()
    place = tmp_path / "x" / "a.png"
    before = place.stat()
    place.write_text("two")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert place.stat().st_size == before.st_size
    assert ImageOrigin(tmp_path / "x", "a.png").standing(facts) == "changed"


def test_no_folder_of_the_users_stands_in_what_is_noted(tmp_path):
    facts = origin(tmp_path / "secret").facts()
    assert "secret" not in str(facts)
    assert re.fullmatch("[0-9a-f]{64}", str(facts["sha256"]))


def test_any_bytes_may_be_in_a_name(tmp_path):
    assert origin(tmp_path / "x", name=os.fsdecode(b"l\xe9.png")).standing(None) == "unknown"


def test_what_is_no_file(tmp_path):
    (tmp_path / "link.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (("link.png", "leads nowhere"), ("none.png", "no such file"), ("pipe.png", "not a regular")):
        with pytest.raises(ImageError, match=reason):
            ImageOrigin(tmp_path, name).facts()
