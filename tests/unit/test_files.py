from __future__ import annotations

import hashlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oakpoint import files
from oakpoint.errors import BlobError, OutputError
from oakpoint.files import interrupts_held, replacing_file, replacing_folder, sha256_of_file, shown_name


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fail_after_writing(path: Path, error: type[BaseException]) -> None:
    path.write_text("half")
    raise error


def test_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * (3 << 20))
    assert sha256_of_file(path) == hashlib.sha256(b"x" * (3 << 20)).hexdigest()


def test_a_name_of_any_bytes_can_be_written():
    names = {b"a \xc3\xa9.png": "a é.png", b"lat\xe9n.png": r"lat\xe9n.png", b"new\nline\x1b[0m": r"new\nline\x1b[0m"}
    for name, shown in names.items():
        assert shown_name(os.fsdecode(name)) == shown
    assert shown_name("\ud800") == r"\ud800"


def test_a_file_appears_whole_with_the_permissions_of_any_other(tmp_path):
    path = tmp_path / "a.txt"
    with replacing_file(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert names_in(tmp_path) == ["a.txt", "other"]


@pytest.mark.parametrize("replacing", [replacing_file, replacing_folder])
def test_an_error_names_the_place_and_no_temporary_path(tmp_path, replacing):
    def fail(temporary: Path) -> None:
        raise BlobError(f"{temporary}/inside: damaged, {temporary}")

    place = tmp_path / "a.blob"
    with pytest.raises(BlobError) as error, replacing(place) as temporary:
        fail(temporary)
    assert str(error.value) == f"{place}/inside: damaged, {place}"
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_stands_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing_file(path) as temporary:
        fail_after_writing(temporary, error)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_no_folder_to_write_a_file_in(tmp_path):
    with pytest.raises(OutputError, match="cannot write here"), replacing_file(tmp_path / "missing" / "a"):
        pass


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_replaces_the_old_one_whole(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    path = tmp_path / "deep" / "folder"
    for name in ("old", "new"):
        with replacing_folder(path) as temporary:
            assert names_in(temporary) == []
            (temporary / name).write_text(name)
        assert names_in(path) == [name]
        assert names_in(path.parent) == ["folder"]
    assert path.stat().st_mode & 0o700 == 0o700


def test_after_an_error_the_old_folder_stands(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(ValueError), replacing_folder(path) as temporary:  # noqa: PT011  # it is the test's own
        fail_after_writing(temporary / "new", ValueError)
    assert names_in(path) == ["old"]
    assert names_in(tmp_path) == ["folder"]


def test_no_place_for_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write here"), replacing_folder(tmp_path / "file" / "folder"):
        pass


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "a").write_text("precious")
    with pytest.raises(OutputError, match="a file of that name"), replacing_folder(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "precious"
    assert names_in(tmp_path) == ["a"]


def test_a_link_to_a_folder_stays_and_leads_to_the_new_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to("real")
    with replacing_folder(tmp_path / "link") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert names_in(tmp_path / "real") == ["new"]
    assert names_in(tmp_path) == ["link", "real"]


def test_ctrl_c_is_held_until_the_block_has_ended(ctrl_c):
    done = []

    def interrupted() -> None:
        with interrupts_held():
            ctrl_c()
            done.append("after")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["after"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_other_threads_nothing_is_held(ctrl_c):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_hold).result()


def _hold() -> None:
    with interrupts_held():
        pass


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Asked(KeyboardInterrupt):
    """What a program's handler raises."""


@pytest.fixture
def send():
    """Does what Python does when a signal comes, to a program that listens to all of them."""

    def asked(number, frame):
        raise Asked(number)

    before = {number: signal.signal(number, asked) for number in SIGNALS}
    yield lambda number: signal.getsignal(number)(number, None)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_that_ends_a_program_is_held(send, number):
    before = {other: signal.getsignal(other) for other in SIGNALS}
    done = []

    def interrupted() -> None:
        with interrupts_held():
            for other in (number, *SIGNALS):
                send(other)
            done.append("after")

    with pytest.raises(Asked) as asked:
        interrupted()
    assert (done, asked.value.args) == (["after"], (number,)), "the first of them counts"
    assert {other: signal.getsignal(other) for other in SIGNALS} == before


def test_what_a_program_does_not_listen_to_is_left_as_it_is(send):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupts_held():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert callable(signal.getsignal(signal.SIGINT))


@pytest.mark.parametrize(("replacing", "name"), [(replacing_file, "a.txt"), (replacing_folder, "folder")])
def test_a_signal_while_a_temporary_is_made_leaves_none(tmp_path, monkeypatch, send, replacing, name):
    made = files._usable_meanwhile  # called as soon as it is made

    def interrupted(path, needed):
        send(signal.SIGTERM)
        return made(path, needed)

    monkeypatch.setattr(files, "_usable_meanwhile", interrupted)
    with pytest.raises(Asked), replacing(tmp_path / name):
        pass
    assert names_in(tmp_path) == []


def test_a_second_signal_while_a_temporary_is_removed_waits(tmp_path, monkeypatch, send):
    remove = files.shutil.rmtree

    def interrupted(*arguments, **options):
        send(signal.SIGHUP)
        remove(*arguments, **options)

    monkeypatch.setattr(files.shutil, "rmtree", interrupted)
    with pytest.raises(Asked), replacing_folder(tmp_path / "folder") as temporary:  # noqa: PT012
        (temporary / "half").touch()
        send(signal.SIGTERM)
    assert names_in(tmp_path) == []
