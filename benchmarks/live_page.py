"""What the live page costs a run in frames per second, and how long a picture takes from the source to the browser.

    python benchmarks/live_page.py [--seconds 6] [--rounds 6] [--viewer browser|client]

*Cost.* The acorn network runs on a generated video of 640×480 px as fast as it can, in one process. Spans with a viewer
and spans without one take turns, so that whatever else the machine does meets both; each round gives a ratio, and the
median of the rounds is reported; beside it the processor time of the run's process for each frame, which other work on
the machine moves less. ``browser`` is headless Chromium on this machine, whose own work is then in the figure
as well; ``client`` takes frames and shows nothing, as a browser on another machine would let this one be.

*Delay.* Frames come as from a camera, each with the time of its making in it as a row of black and white blocks.
Chromium's canvas is read back after every frame; the delay is the time of reading less the time in the blocks. Once no
network is run (30 frames a second), which leaves the page's own share; once acorn is (15 a second), with its keypoints
drawn. A camera's own delay, exposure and USB, and the screen's come on top.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import oakpoint
from oakpoint.images.sources import Frame
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame, observed_frames
from oakpoint.run.page.server import listen
from oakpoint.run.page.state import PageTitle
from oakpoint.run.sinks.page import PageSink
from oakpoint.run.tracking import FrameTracker
from oakpoint.tasks.tensors.task import RawTensors, TensorsFound
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.registry import Following

SIZE = (640, 480)
WARM_S = 1.5
"""After a viewer has come or gone, before frames are counted."""

BITS, BLOCK_PX = 32, 16
LONGEST_MS = 10_000
READ_BLOCKS = """() => {
  const canvas = document.getElementById("picture");
  window.seen ??= [];
  const read = () => {
    const row = canvas.getContext("2d").getImageData(0, 0, 512, 16).data;
    let made = 0;
    for (let bit = 0; bit < 32; bit += 1) made = 2 * made + (row[4 * (8 * 512 + 16 * bit + 8)] > 127 ? 1 : 0);
    window.seen.push([made, Date.now()]);
  };
  new MutationObserver(read).observe(canvas, { attributeFilter: ["data-facts"] });
}"""


def main() -> None:
    """Measure both, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of one span")
    parser.add_argument("--rounds", type=int, default=6, help="spans with a viewer, and as many without")
    parser.add_argument("--viewer", choices=("browser", "client", "both"), default="both")
    arguments = parser.parse_args()
    for viewer in ("client", "browser") if arguments.viewer == "both" else (arguments.viewer,):
        print(json.dumps({"viewer": viewer, **cost(viewer, arguments.seconds, arguments.rounds)}))
    for with_network in (False, True):
        print(json.dumps({"network": "acorn" if with_network else None, **delay(with_network=with_network)}))


def cost(viewer: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Frames per second without and with a viewer, and their ratio."""
    board, page, frames = _run()
    watching = {"browser": watch_in_browser, "client": watch_as_client}[viewer]
    orders: Any = multiprocessing.get_context("spawn").Queue()
    answers: Any = multiprocessing.get_context("spawn").Queue()
    watcher = multiprocessing.get_context("spawn").Process(target=watching, args=(page.url, orders, answers))
    watcher.start()
    rates: dict[bool, list[float]] = {False: [], True: []}
    work_ms: dict[bool, list[float]] = {False: [], True: []}
    shown: list[float] = []
    try:
        _wait_running(frames, page, answers)
        for number in range(rounds):
            for with_viewer in (False, True) if number % 2 == 0 else (True, False):
                orders.put("watch" if with_viewer else "rest")
                _wait_running(frames, page, answers)
                _rate(frames, page, WARM_S)
                orders.put("count")
                _wait_running(frames, page, answers)
                rate, milliseconds = _rate(frames, page, seconds)
                rates[with_viewer].append(rate)
                work_ms[with_viewer].append(milliseconds)
                orders.put("count")
                count = _wait_running(frames, page, answers)
                if with_viewer:
                    shown.append(count / seconds)
    finally:
        orders.put("end")
        watcher.join(20)
        page.finish()
    del board
    ratios = [there / alone for alone, there in zip(rates[False], rates[True], strict=True)]
    work = [alone / there for alone, there in zip(work_ms[False], work_ms[True], strict=True)]
    return {
        "fps_without": round(statistics.median(rates[False]), 1),
        "fps_with": round(statistics.median(rates[True]), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
        "cpu_ms_per_frame_without": round(statistics.median(work_ms[False]), 1),
        "cpu_ms_per_frame_with": round(statistics.median(work_ms[True]), 1),
        "cpu_ratio": round(statistics.median(work), 3),
        "fps_shown": round(statistics.median(shown), 1),
    }


def _run() -> tuple[ControlBoard, PageSink, Iterator[TrackedFrame]]:
    predictor = oakpoint.load("acorn", size=SIZE)
    board = ControlBoard(predictor.task)
    tracker = FrameTracker(board, Following(FollowOptions()))
    page = PageSink.to(listen(port=0), board, PageTitle(network="acorn", source="generated"), fps=30)
    return board, page, tracker.frames(observed_frames(_video(), predictor))


def _video() -> Iterator[Frame]:
    """A picture that drifts, without end."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)  # about 500 keypoints, as of a street
    ground = cv2.GaussianBlur(cv2.resize(coarse, (1280, 960), interpolation=cv2.INTER_NEAREST), (0, 0), 2.5)
    number = 0
    while True:
        x, y = (int(200 + 200 * np.sin(number / period)) for period in (40, 57))
        image = np.ascontiguousarray(ground[y : y + SIZE[1], x : x + SIZE[0]])
        yield Frame(image=image, index=number, name=f"frame-{number:06d}", time_s=number / 30)
        number += 1


def _rate(frames: Iterator[TrackedFrame], page: PageSink, seconds: float) -> tuple[float, float]:
    """Frames per second, and milliseconds of processor time for each, of all threads."""
    start, worked, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        page.add(next(frames))
        count += 1
    return count / (time.perf_counter() - start), 1e3 * (time.process_time() - worked) / count


def _wait_running(frames: Iterator[TrackedFrame], page: PageSink, answers: Any) -> Any:
    """Let the run go on until the watcher has done what it was told to."""
    while answers.empty():
        page.add(next(frames))
    return answers.get()


def watch_in_browser(url: str, orders: Any, answers: Any) -> None:
    """Open and leave the page in Chromium as ordered; for a process of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        answers.put(0)
        before = 0
        while (order := orders.get()) != "end":
            if order == "watch":
                page.goto(url)
                page.wait_for_selector("#picture[data-facts]")
                page.evaluate(
                    "() => { window.shown = 0; new MutationObserver(() => { window.shown += 1; }).observe("
                    'document.getElementById("picture"), { attributeFilter: ["data-facts"] }); }'
                )
            elif order == "rest":
                page.goto("about:blank")
            count = page.evaluate("() => window.shown ?? 0")
            answers.put(count - before)
            before = count if order == "count" else 0
        browser.close()


def watch_as_client(url: str, orders: Any, answers: Any) -> None:
    """Take frames and show nothing; for a process of its own."""
    from websockets.sync.client import connect

    wanted, taken, ended = threading.Event(), [0], threading.Event()
    address = url.replace("http:", "ws:") + "frames"

    def take() -> None:
        while not ended.is_set():
            if not wanted.wait(0.2):
                continue
            with connect(address, origin=url.rstrip("/"), max_size=None, compression=None) as socket:  # type: ignore[arg-type]
                socket.send('{"type":"ready"}')
                while wanted.is_set():
                    if isinstance(socket.recv(), bytes):
                        taken[0] += 1
                        socket.send('{"type":"ready"}')

    thread = threading.Thread(target=take)
    thread.start()
    answers.put(0)
    before = 0
    while (order := orders.get()) != "end":
        (wanted.set if order == "watch" else wanted.clear if order == "rest" else lambda: None)()
        answers.put(taken[0] - before)
        before = taken[0]
    wanted.clear()
    ended.set()
    thread.join(5)


def delay(*, with_network: bool, frames: int = 300) -> dict[str, Any]:
    """Milliseconds from a frame's making to its pixels on the page."""
    from playwright.sync_api import sync_playwright

    ended = threading.Event()
    source = _camera(15.0 if with_network else 30.0, ended.is_set)
    if with_network:
        predictor = oakpoint.load("acorn", size=SIZE)
        board = ControlBoard(predictor.task)
        tracked = FrameTracker(board, Following(FollowOptions())).frames(observed_frames(source, predictor))
        board.change(drawn={"tracks": False})  # a line might cross the blocks
    else:
        board = ControlBoard(RawTensors())
        tracked = _untouched(source, board)
    sink = PageSink.to(listen(port=0), board, PageTitle(network="delay", source="generated"), fps=30, live=True)
    sender = threading.Thread(target=lambda: [sink.add(frame) for frame in tracked])
    sender.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(sink.url)
            page.wait_for_selector("#picture[data-facts]")
            page.wait_for_timeout(2000)
            page.evaluate(READ_BLOCKS)
            while page.evaluate("() => window.seen.length") < frames:
                page.wait_for_timeout(200)
            seen = page.evaluate("() => window.seen")
            browser.close()
    finally:
        ended.set()
        sender.join()
        sink.finish()
    every = [(now - made) % (1 << BITS) for made, now in seen]
    delays = [one for one in every if one < LONGEST_MS]  # a dot on a block's middle makes another time of it
    return {
        "frames": len(delays),
        "not_read": len(every) - len(delays),
        "delay_ms_median": statistics.median(delays),
        "delay_ms_p95": statistics.quantiles(delays, n=20)[-1],
        "delay_ms_max": max(delays),
    }


def _camera(fps: float, ended: Callable[[], bool]) -> Iterator[Frame]:
    """Frames at their own pace, each with the time of its making in it."""
    due = time.perf_counter()
    for frame in _video():
        due = max(due + 1 / fps, time.perf_counter())
        time.sleep(max(due - time.perf_counter(), 0))
        if ended():
            return
        _write_blocks(frame.image, round(1000 * time.time()))
        yield frame


def _untouched(frames: Iterator[Frame], board: ControlBoard) -> Iterator[TrackedFrame]:
    """Frames in which nobody looked for anything."""
    for frame in frames:
        yield TrackedFrame(
            image=frame.image,
            result=TensorsFound({}),
            tracks=None,
            controls=board.read(),
            moving=True,
            stages_s={"read": 1.0},
            index=frame.index,
        )


def _write_blocks(image: NDArray[np.uint8], milliseconds: int) -> None:
    for bit in range(BITS):
        is_set = milliseconds >> (BITS - 1 - bit) & 1
        image[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 255 if is_set else 0


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("no Chromium here: apt install chromium")
    return found


if __name__ == "__main__":
    main()
