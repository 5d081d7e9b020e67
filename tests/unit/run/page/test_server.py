"""The page's server, asked as a browser would ask it, and as nobody should."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from clips import frames_of
from live_run import SIZE, LiveRun
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from oakpoint.errors import MissingExtraError, UsageError
from oakpoint.run.page.access import SECURITY_HEADERS, Access
from oakpoint.run.page.protocol import parts_of_frame
from oakpoint.run.page.server import Listening, listen, require_page
from oakpoint.run.page.viewers import MAX_VIEWERS


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LiveRun]:
    with LiveRun(tmp_path / "recordings") as run:
        yield run


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[LiveRun]:
    """A page with a token, as another address has it."""
    bound = listen(port=0)
    access = Access(names=frozenset({"127.0.0.1"}), token="the-right-token")
    url = f"http://127.0.0.1:{bound.port}/the-right-token/"
    with LiveRun(tmp_path, listening=Listening(bound.socket, access, url)) as run:
        yield run


@contextmanager
def viewer(url: str, *, origin: str | None = "", path: str | None = None, **options: Any) -> Iterator[ClientConnection]:
    at = urlsplit(url)
    address = f"ws://{at.netloc}{at.path}frames" if path is None else f"ws://{at.netloc}{path}"
    own: Any = f"http://{at.netloc}" if origin == "" else origin
    with connect(address, origin=own, max_size=None, compression=None, **options) as connection:
        yield connection


def ask(url: str, path: str = "", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=10)
    try:
        connection.request(method, at.path + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def say(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def next_of(connection: ClientConnection, kind: str, such: Callable[[Any], bool] = lambda facts: True) -> Any:
    """The next message of a kind for which something holds; frames are asked for on the way."""
    while True:
        received = connection.recv(timeout=20)
        if isinstance(received, bytes):
            facts, jpeg = parts_of_frame(received)
            say(connection, type="ready")
            if kind == "frame" and such(facts):
                return facts | {"jpeg": jpeg}
        else:
            message = json.loads(received)
            if message["type"] == kind and such(message):
                return message


def test_a_viewer_gets_the_state_and_then_a_frame_for_each_time_it_is_ready(run: LiveRun) -> None:
    with viewer(run.url) as one:
        state = json.loads(one.recv(timeout=20))
        assert (state["network"], state["source"], state["task"]) == ("small", "clip.mp4", "keypoints")
        assert [knob["name"] for knob in state["knobs"]] == ["threshold", "nms_radius_px", "max_keypoints"]
        with pytest.raises(TimeoutError):  # it said nothing, so it gets nothing: it cannot be flooded
            one.recv(timeout=0.3)
        say(one, type="ready")
        facts = next_of(one, "frame")
        assert facts["counts"].keys() == {"keypoints", "tracks"}
        assert {"read", "network", "decode", "track", "draw", "encode"} == facts["stages_ms"].keys()
        picture = cv2.imdecode(np.frombuffer(facts["jpeg"], np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape[1::-1] == SIZE
        later = next_of(one, "frame", lambda facts: facts["index"] > 0)
        assert later["number"] > facts["number"]


def test_what_one_viewer_turns_the_other_one_sees(run: LiveRun) -> None:
    with viewer(run.url) as one, viewer(run.url) as other:
        for connection in (one, other):
            say(connection, type="ready")
        assert next_of(one, "frame")["counts"]["keypoints"] == 8
        say(one, type="knobs", values={"threshold": 0.4})
        assert next_of(other, "state", lambda state: state["knobs"][0]["value"] == 0.4)
        assert next_of(other, "frame", lambda facts: facts["knobs"]["threshold"] == 0.4)["counts"]["keypoints"] == 5
        say(other, type="knobs", values={"threshold": None})
        assert next_of(one, "frame", lambda facts: facts["knobs"]["threshold"] == 0.1)["counts"]["keypoints"] == 8


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "knobs", "values": {"threshold": 7}}, "threshold: expected a number from 0 to 1, got 7"),
        ({"type": "knobs", "values": {"sharpness": 1}}, "expected one of threshold, nms_radius_px, max_keypoints"),
        ({"type": "knobs", "values": {"nms_radius_px": 1.5}}, "expected a whole number from 0 to 32"),
        ({"type": "drawn", "values": {"everything": True}}, "drawn: expected one of found, tracks, heat_map"),
    ],
)
def test_a_value_that_cannot_be_meant_is_told_and_changes_nothing(
    run: LiveRun, message: dict[str, Any], words: str
) -> None:
    before = run.board.read()
    with viewer(run.url) as one:
        say(one, **message)
        assert words in next_of(one, "error")["text"]
        assert run.board.read() is before
        say(one, type="ready")
        next_of(one, "frame")


def test_pausing_stepping_and_going_on(run: LiveRun) -> None:
    with viewer(run.url) as one:
        say(one, type="ready")
        say(one, type="pause", paused=True)
        next_of(one, "state", lambda state: state["paused"])
        say(one, type="knobs", values={"threshold": 0.6})  # one frame may have been on its way
        at = next_of(one, "frame", lambda facts: facts["knobs"]["threshold"] == 0.6)["index"]
        say(one, type="knobs", values={"threshold": 0.8})  # the frame that stays is shown anew
        assert next_of(one, "frame", lambda facts: facts["knobs"]["threshold"] == 0.8)["index"] == at
        say(one, type="step")
        assert next_of(one, "frame", lambda facts: facts["index"] > at)["index"] == at + 1
        say(one, type="pause", paused=False)
        next_of(one, "frame", lambda facts: facts["index"] > at + 3)


def test_when_the_source_ends_the_last_frame_stays_and_the_controls_act(run: LiveRun) -> None:
    with viewer(run.url) as one:
        say(one, type="ready")
        next_of(one, "frame")
        say(one, type="record", on=True)
        next_of(one, "state", lambda state: state["recording"])
        recorded_from = run.added
        next_of(one, "frame", lambda facts: facts["index"] > recorded_from)
        run.end_source()
        state = next_of(one, "state", lambda state: state["ended"] == "source")
        assert len(state["recordings"]) == 1  # what was recorded is finished
        say(one, type="drawn", values={"heat_map": True})
        next_of(one, "frame", lambda facts: facts["drawn"]["heat_map"])
        say(one, type="record", on=True)
        assert "nothing more to record" in next_of(one, "error")["text"]


def test_when_the_run_ends_every_viewer_is_told_and_the_recording_is_whole(run: LiveRun) -> None:
    with viewer(run.url) as one, viewer(run.url) as other:
        say(one, type="ready")
        next_of(one, "frame")
        say(one, type="record", on=True)
        next_of(one, "state", lambda state: state["recording"])
        recorded_from = run.added
        next_of(one, "frame", lambda facts: facts["index"] > recorded_from + 5)
        run.stop()
        for connection in (one, other):
            assert next_of(connection, "state", lambda state: state["ended"] == "run")
            with pytest.raises(ConnectionClosed) as caught:
                next_of(connection, "frame", lambda facts: False)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
    assert run.followed is not None
    assert isinstance(run.followed.ended, KeyboardInterrupt)
    (path,) = run.recordings.iterdir()
    assert frames_of(path) >= 5
    with pytest.raises(ConnectionRefusedError):
        ask(run.url)


def test_snapshot_is_what_is_shown_in_full(run: LiveRun) -> None:
    with viewer(run.url) as one:
        say(one, type="ready")
        say(one, type="pause", paused=True)
        next_of(one, "state", lambda state: state["paused"])
        say(one, type="drawn", values={"tracks": False})
        index = next_of(one, "frame", lambda facts: not facts["drawn"]["tracks"])["index"]
        status, headers, png = ask(run.url, "snapshot.png")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert headers["content-disposition"] == f'attachment; filename="small-frame-{index:06d}.png"'
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (SIZE[1], SIZE[0], 3)


def test_recordings_are_downloaded_whole_or_in_parts_and_nothing_else_is(run: LiveRun, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "other.mp4").write_bytes(b"somebody else's")
    with viewer(run.url) as one:
        say(one, type="ready")
        say(one, type="record", on=True)
        next_of(one, "state", lambda state: state["recording"])
        before = run.added
        next_of(one, "frame", lambda facts: facts["index"] > before + 2)
        say(one, type="record", on=False)
        (name,) = next_of(one, "state", lambda state: state["recordings"])["recordings"]
    whole = (tmp_path / "recordings" / name).read_bytes()
    status, headers, body = ask(run.url, f"recordings/{name}")
    assert (status, headers["content-type"], body) == (200, "video/mp4", whole)
    assert name in headers["content-disposition"]
    status, headers, body = ask(run.url, f"recordings/{name}", Range="bytes=4-7")
    assert (status, body) == (206, b"ftyp")
    for other in ("other.mp4", "..%2Fother.mp4", "%2e%2e/recordings/other.mp4", f"x/{name}", "", f"{name}%00"):
        assert ask(run.url, f"recordings/{other}")[0] == 404


def test_nothing_but_the_pages_parts_is_served_and_only_read(run: LiveRun) -> None:
    for path in ("", "page.js", "page.css", "charts.js", "controls.js", "connection.js", "icon.svg"):
        status, headers, body = ask(run.url, path)
        assert status == 200
        assert body
        for name, value in SECURITY_HEADERS.items():
            assert headers[name.lower()] == value
        assert "server" not in headers
    assert headers["content-type"] == "image/svg+xml"
    for path in ("index.html", "static/page.js", "../server.py", "%2e%2e/server.py", "frames", "recordings/"):
        assert ask(run.url, path)[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(run.url, method=method)[0] == 405


def test_foreign_hosts_and_origins_are_refused(run: LiveRun) -> None:
    for host in ("evil.example", "evil.example:80", "localhost.evil.example"):
        status, headers, body = ask(run.url, Host=host)
        assert status == 403
        assert b"host name" in body
        assert headers["content-security-policy"]
    assert ask(run.url, "snapshot.png", Origin="http://evil.example")[0] == 403
    for origin in ("http://evil.example", "null", "http://localhost:1", None):
        with pytest.raises(InvalidStatus, match="403"), viewer(run.url, origin=origin):
            pass
    at = urlsplit(run.url)
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(
            f"ws://evil.example:{at.port}/frames",
            origin=f"http://evil.example:{at.port}",  # type: ignore[arg-type]
            sock=socket.create_connection((at.hostname, at.port)),
        ),
    ):
        pass


def test_without_the_right_token_nothing_is_served(guarded: LiveRun) -> None:
    bare = guarded.url.replace("the-right-token/", "")
    for path in ("", "page.js", "snapshot.png", "frames", "wrong/", "wrong/page.js", "the-right-tokeN/", "%ff/"):
        status, _, body = ask(bare, path)
        assert status == 403
        assert b"token" in body
    for path in ("/frames", "/wrong/frames"):
        with pytest.raises(InvalidStatus, match="403"), viewer(guarded.url, path=path):
            pass
    assert ask(guarded.url)[0] == 200
    assert ask(guarded.url, "page.js")[0] == 200
    status, headers, _ = ask(guarded.url.removesuffix("/"))
    assert (status, headers["location"]) == (307, "/the-right-token/")
    with viewer(guarded.url) as one:
        say(one, type="ready")
        next_of(one, "frame")


def malformed(count: int) -> Iterator[str | bytes]:
    """Messages that no page sends, of every kind."""
    random_ = random.Random(7)
    kinds: list[Callable[[], str | bytes]] = [
        lambda: random_.randbytes(random_.randrange(1, 200)),
        lambda: "".join(chr(random_.randrange(32, 0xD000)) for _ in range(random_.randrange(60))),
        lambda: random_.choice(("[", '{"a":', '{"type":"knobs","values":{"a":')) * random_.randrange(1, 100),
        lambda: json.dumps({"type": random_.choice(("ready", "step", "stop", "", "knobs")), "x": random_.random()}),
        lambda: json.dumps({"type": "pause", "paused": random_.choice((0, 1, None, "true", [], {}))}),
        lambda: json.dumps({"type": "knobs", "values": {"threshold": random_.choice(("0", [], {}, True, "NaN"))}}),
        lambda: f'{{"type":"knobs","values":{{"threshold":{random_.choice(("NaN", "Infinity", "1e999", "0x1"))}}}}}',
        lambda: "x" * random_.randrange(4097, 70_000),
        lambda: random_.randbytes(random_.randrange(4097, 70_000)),
        lambda: random_.choice(("null", "true", "0", '""', "[]", "{}", "ready", "\x00", "")),
    ]
    for number in range(count):
        yield kinds[number % len(kinds)]()


def _until_closed(connection: ClientConnection, message: str | bytes) -> None:
    connection.send(message)
    while True:
        connection.recv(timeout=20)


def test_a_thousand_malformed_messages_each_close_their_own_connection_only(run: LiveRun) -> None:
    with viewer(run.url) as good:
        say(good, type="ready")
        next_of(good, "frame")
        before = run.board.read()
        for message in malformed(1000):
            with viewer(run.url) as bad:
                with pytest.raises(ConnectionClosed) as caught:
                    _until_closed(bad, message)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == (1009 if len(message) > 4096 else 1008), message[:80]
        assert run.board.read() is before
        at = next_of(good, "frame")["index"]
        next_of(good, "frame", lambda facts: facts["index"] > at)


def test_bytes_that_are_no_protocol_at_all_disturb_nobody(run: LiveRun) -> None:
    at = urlsplit(run.url)
    with viewer(run.url) as good:
        for rubbish in (
            b"\x00" * 500,
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"\xff" * 70_000,
            b"GET " + b"/" * 70_000,
        ):
            with socket.create_connection((at.hostname, at.port), timeout=10) as raw:
                raw.sendall(rubbish)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
        say(good, type="ready")
        next_of(good, "frame")


def test_a_viewer_that_reads_nothing_holds_up_neither_the_run_nor_the_others(run: LiveRun) -> None:
    at = urlsplit(run.url)
    with viewer(run.url) as good, viewer(run.url, sock=_small_socket(at.hostname, at.port)) as stuck:
        for _ in range(200):
            say(stuck, type="ready")  # and it never takes what it gets
        say(good, type="ready")
        start = run.added
        next_of(good, "frame", lambda facts: facts["index"] > start + 20)


def _small_socket(host: str | None, port: int | None) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((host, port))
    return made


def test_too_many_viewers_are_told_so(run: LiveRun) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            one = stack.enter_context(viewer(run.url))
            next_of(one, "state")
        with viewer(run.url) as late, pytest.raises(ConnectionClosed) as caught:
            late.recv(timeout=20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013


def test_a_run_without_viewers_draws_nothing(run: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from oakpoint.run.page import viewers

    drawn: list[int] = []
    real = viewers.encoded_frame
    monkeypatch.setattr(viewers, "encoded_frame", lambda frame, number: drawn.append(number) or real(frame, number))
    with viewer(run.url) as one:
        say(one, type="ready")
        next_of(one, "frame")
    before = run.added
    gone = threading.Event()
    while run.added < before + 10:
        gone.wait(0.01)
    count = len(drawn)
    while run.added < before + 20:
        gone.wait(0.01)
    assert len(drawn) == count


def test_a_port_in_use_and_addresses_of_others_are_told_in_one_line() -> None:
    with listen(port=0).socket as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port: {port} is in use; choose another one"):
            listen(port=port)
    with pytest.raises(UsageError, match="is no address of this machine"):
        listen("192.0.2.7", 0)
    with pytest.raises(UsageError, match="expected a name or address of this machine"):
        listen("no-such-host.invalid", 0)
    with pytest.raises(UsageError, match="expected 0 to 65535"):
        listen(port=70_000)


def test_the_address_that_is_told_is_the_one_that_works(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        listening = listen(host, 0)
        with LiveRun(tmp_path, listening=listening) as run:
            assert (listening.access.token is not None) == (host == "0.0.0.0")
            assert ask(run.url)[0] == 200
            with viewer(run.url) as one:
                assert next_of(one, "state")


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oakpoint\[view\]'"):
        require_page()


def test_a_notice_stands_below_every_snapshot(tmp_path: Path) -> None:
    with LiveRun(tmp_path, notice="not for sale") as run, viewer(run.url) as one:
        assert next_of(one, "state")["notice"] == "not for sale"
        say(one, type="ready")
        next_of(one, "frame")
        picture = cv2.imdecode(np.frombuffer(BytesIO(ask(run.url, "snapshot.png")[2]).getvalue(), np.uint8), 1)
    assert picture is not None
    assert picture.shape[0] > SIZE[1]
