from __future__ import annotations

import json
from pathlib import Path

import pytest

from oakpoint.errors import UsageError
from oakpoint.tasks.labels import label_of, read_labels, require_one_each


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("\ufeffcat\r\n  dog \r\n\n", ("cat", "dog")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"0": "cat", "1": "dog"}', ("cat", "dog")),
        ('{"1": "dog", "0": "cat"}', ("cat", "dog")),
        ('{"cat": 0, "dog": 1}', ("cat", "dog")),
        ('{"0": ["n02123045", "tabby"], "1": ["n02099601", "golden_retriever"]}', ("tabby", "golden_retriever")),
    ],
)
def test_forms_of_a_file(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    path = tmp_path / "labels"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_labels(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no labels"),
        (b"cat\n\ndog\n", "label 1 is empty"),
        (b"\xff\xfe", "no UTF-8 text"),
        (b"[1, 2]", "expected names in text, got 1"),
        (b'{"0": "cat", "2": "dog"}', "expected a name for every number from 0 on, got none for 1"),
        (b'{"cat": 0, "dog": 0}', "got none for 1"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"0": "cat"', "no valid JSON"),
    ],
)
def test_what_is_no_list_of_names(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read as labels"):
        read_labels(tmp_path / "none.txt")


def test_there_is_one_for_each_class() -> None:
    require_one_each((), 5)
    require_one_each(("a", "b"), 2)
    with pytest.raises(UsageError, match="expected 80, one for each class of the network, got 79"):
        require_one_each(json.loads(json.dumps(["x"] * 79)), 80)
    assert (label_of(("a", "b"), 1), label_of((), 1)) == ("b", "class 1")
