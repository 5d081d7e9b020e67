from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from oakpoint.bundle.folder import check_replaceable, is_bundle, open_bundle, writing_bundle
from oakpoint.errors import BundleError, OutputError

Copied = Callable[[Path], Path]


@pytest.fixture
def bundle(small_bundle: Path, copied: Copied) -> Path:
    return copied(small_bundle)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_bundle_opens(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.path("onnx") == bundle / "model.onnx"
    assert opened.path("ir") == bundle / "model.xml"
    assert set(opened.manifest.hashes()) | {"manifest.json"} == names_in(bundle)
    with pytest.raises(BundleError, match="no blob"):
        opened.path("blob")


def test_every_altered_or_missing_file_is_found(bundle: Path) -> None:
    for name in sorted(names_in(bundle) - {"manifest.json"}):
        path = bundle / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(BundleError, match=rf"{name}: altered since the conversion: expected sha256 \w+, got \w+"):
            open_bundle(bundle)
        path.unlink()
        with pytest.raises(BundleError, match=f"{name} is missing"):
            open_bundle(bundle)
        path.write_bytes(data)
    open_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/file", "..", ".", ""])
def test_a_name_that_leaves_the_folder_is_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "outside").write_text("x")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"not a file of the bundle|is missing"):
        open_bundle(bundle)


def test_no_bundle(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        assert not is_bundle(path)
        with pytest.raises(BundleError, match=r"not a bundle .no manifest.json.; make one with: oakpoint convert"):
            open_bundle(path)


def test_a_bundle_in_the_folder_or_around_the_file_is_named(bundle: Path) -> None:
    with pytest.raises(
        BundleError, match=rf"^{bundle.parent}: not a bundle .*; {bundle} is a bundle: give that folder"
    ):
        open_bundle(bundle.parent)
    with pytest.raises(BundleError, match=rf"; the folder {bundle} is a bundle: give that"):
        open_bundle(bundle / "manifest.json")
    second = Path(shutil.copytree(bundle, bundle.parent / "second"))
    with pytest.raises(BundleError, match=rf"; {min(bundle, second)} is a bundle, and 1 more there: give that folder"):
        open_bundle(bundle.parent)


def test_what_may_be_replaced(bundle: Path, tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty")
    check_replaceable(bundle)
    (tmp_path / "link").symlink_to(bundle)
    check_replaceable(tmp_path / "link")  # the link stays, and leads to the new bundle


def test_nothing_of_anybodys_is_replaced(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(
            OutputError, match=f"{name}: expected a folder for a bundle, got a file or a link to nothing"
        ):
            check_replaceable(tmp_path / name)
    with pytest.raises(OutputError, match=r"holds copy/\S+, and is not a bundle that oakpoint made"):
        check_replaceable(tmp_path)
    (bundle / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes\.txt is not part of a bundle there and would be lost"):
        check_replaceable(bundle)


def test_what_comes_into_a_bundles_folder_meanwhile_is_not_lost(bundle: Path) -> None:
    before = names_in(bundle)
    with pytest.raises(OutputError, match=r"notes\.txt is not part"), writing_bundle(bundle):
        (bundle / "notes.txt").touch()
    assert names_in(bundle) == before | {"notes.txt"}


def test_an_altered_bundle_is_replaced(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"altered")
    check_replaceable(bundle)


def test_a_bundle_is_replaced_only_when_the_new_one_is_whole(bundle: Path) -> None:
    before = names_in(bundle)
    with pytest.raises(ZeroDivisionError), writing_bundle(bundle) as folder:
        (folder / "model.onnx").write_bytes(bytes(1 // 0))
    assert names_in(bundle) == before
    with writing_bundle(bundle) as folder:
        (folder / "model.onnx").touch()
    assert names_in(bundle) == {"model.onnx"}
