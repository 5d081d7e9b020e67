"""The live page in a real browser: every control has its effect on what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from live_run import SIZE, LiveRun, observation

import oakpoint
from oakpoint import files
from oakpoint.run.page.access import Access
from oakpoint.run.page.server import Listening, listen
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.registry import Following

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE_S = 20

PIXEL_SUM = """() => {
  const shown = document.getElementById("picture");
  const { width, height } = shown;
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(shown, 0, 0);
  const data = pen.getImageData(0, 0, width, height).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 1) sum = (sum * 31 + data[i]) % 1000003;
  return sum;
}"""


class LivePage:
    """A page in the browser, and what it said to its console."""

    def __init__(self, browser: Any, run: LiveRun, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": DESKTOP} | options))
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(run.url)
        self.page.wait_for_selector("#picture[data-facts]")

    def facts(self) -> dict[str, Any]:
        """Of the frame that is shown."""
        return json.loads(self.page.get_attribute("#picture", "data-facts"))  # type: ignore[no-any-return]

    def until(self, such: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The facts of the first frame shown for which something holds."""
        end = time.monotonic() + PATIENCE_S
        while not such(facts := self.facts()):
            assert time.monotonic() < end, f"waited in vain, the last frame is {facts}"
            self.page.wait_for_timeout(10)
        return facts

    def text(self, selector: str, words: str) -> None:
        """Wait until a part of the page says something."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_contain_text(words, timeout=1000 * PATIENCE_S)

    def slide(self, label: str, *keys: str) -> None:
        """Move a slider by its keys, as a user without a pointer would."""
        slider = self.page.get_by_label(label, exact=True)
        slider.focus()
        for key in keys:
            slider.press(key)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LiveRun]:
    with LiveRun(tmp_path / "recordings") as run:
        yield run


@pytest.fixture
def live(browser: Any, run: LiveRun) -> Iterator[LivePage]:
    live = LivePage(browser, run)
    yield live
    live.context.close()
    assert live.complaints == []


def test_frames_arrive_and_change_and_figures_with_them(live: LivePage) -> None:
    first = live.facts()
    pixels = live.page.evaluate(PIXEL_SUM)
    live.until(lambda facts: facts["number"] > first["number"] + 3)
    assert live.page.evaluate(PIXEL_SUM) != pixels
    assert live.page.title() == "small · clip.mp4"
    live.text("#connection", "Running")
    live.text("#caption", "clip-")
    live.text("#size", f"{SIZE[0]}×{SIZE[1]}")
    live.text("#found", "keypoints8")
    live.text("#found", "fps")
    for stage in ("read", "network", "decode", "track", "draw", "encode", "show"):
        live.text("#stages", stage)
    assert "keypoints" in live.page.get_attribute("#picture", "aria-label")
    drawn = "() => [...document.querySelectorAll('td canvas')].every((chart) => chart.width > 50)"
    assert live.page.evaluate(drawn)


def test_threshold_radius_and_budget_act_and_can_be_put_back(live: LivePage) -> None:
    assert live.facts()["counts"]["keypoints"] == 8
    live.slide("threshold", "End")
    live.until(lambda facts: facts["knobs"]["threshold"] == 1 and facts["counts"]["keypoints"] == 0)
    live.page.get_by_role("button", name="Reset threshold").click()
    live.until(lambda facts: facts["knobs"]["threshold"] == 0.1 and facts["counts"]["keypoints"] == 8)
    live.slide("NMS radius / px", *["ArrowRight"] * 4)
    live.until(lambda facts: facts["knobs"]["nms_radius_px"] == 8 and facts["counts"]["keypoints"] == 6)
    live.slide("most keypoints", "Home")
    live.until(lambda facts: facts["knobs"]["max_keypoints"] == 1 and facts["counts"]["keypoints"] == 1)
    live.text(".knob:nth-child(3) output", "1")
    assert live.page.get_attribute("#knob-max_keypoints", "aria-valuetext") == "1"


def test_what_is_drawn_can_be_chosen(live: LivePage) -> None:
    live.page.get_by_role("button", name="Pause").click()
    live.text("#connection", "Paused")
    seen = set()
    for label, name, on in (
        ("tracks", "tracks", False),
        ("heat map", "heat_map", True),
        ("keypoints", "found", False),
        ("heat map", "heat_map", False),
    ):
        live.page.get_by_role("checkbox", name=label).click()
        live.until(lambda facts, name=name, on=on: facts["drawn"][name] is on)  # type: ignore[misc]
        seen.add(live.page.evaluate(PIXEL_SUM))
    assert len(seen) == 4


def test_pausing_stepping_and_going_on_by_mouse_and_keys(live: LivePage) -> None:
    live.page.keyboard.press("Space")
    live.text("#connection", "Paused")
    assert live.page.get_attribute("#pause", "aria-pressed") == "true"
    live.page.get_by_role("checkbox", name="tracks").click()
    at = live.until(lambda facts: not facts["drawn"]["tracks"])["index"]
    live.page.get_by_role("button", name="Step").click()
    live.until(lambda facts: facts["index"] == at + 1)
    live.page.locator("body").click(position={"x": 2, "y": 2})
    live.page.keyboard.press("ArrowRight")
    live.until(lambda facts: facts["index"] == at + 2)
    live.page.get_by_role("button", name="Pause").click()
    live.until(lambda facts: facts["index"] > at + 5)
    live.text("#connection", "Running")
    live.page.get_by_text("Keyboard").click()
    live.page.get_by_label("These keys are on").uncheck()
    live.page.locator("body").click(position={"x": 2, "y": 2})
    live.page.keyboard.press("Space")
    at = live.facts()["index"]
    live.until(lambda facts: facts["index"] > at + 5)


def test_a_snapshot_is_downloaded_and_opens(live: LivePage, tmp_path: Path) -> None:
    with live.page.expect_download() as download:
        live.page.get_by_role("link", name="Snapshot").click()
    assert download.value.suggested_filename.startswith("small-frame-")
    download.value.save_as(tmp_path / "snapshot.png")
    picture = cv2.imread(str(tmp_path / "snapshot.png"))
    assert picture is not None
    assert picture.shape[1::-1] == SIZE


def test_a_recording_is_made_downloaded_and_opens(live: LivePage, run: LiveRun, tmp_path: Path) -> None:
    live.page.keyboard.press("r")
    live.text("#message", "Recording")
    live.text("#elapsed", "0:0")
    assert live.page.get_attribute("#record", "aria-pressed") == "true"
    start = run.added
    live.until(lambda facts: facts["index"] > start + 5)
    live.page.get_by_role("button", name="Record").click()
    live.text("#message", "Recorded small-")
    with live.page.expect_download() as download:
        live.page.locator("#recordings a").click()
    download.value.save_as(tmp_path / "recording.mp4")
    video = cv2.VideoCapture(str(tmp_path / "recording.mp4"))
    count = 0
    while video.read()[0]:
        count += 1
    video.release()
    assert count >= 5


def test_a_recording_that_fails_is_told_and_the_run_goes_on(
    live: LivePage, run: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:

    live.page.get_by_role("button", name="Record").click()
    live.text("#message", "Recording")
    monkeypatch.setattr(files, "LEAST_FREE_BYTES", 1 << 62)
    live.text("#message", "disk is all but full")
    assert live.page.get_attribute("#record", "aria-pressed") == "false"
    at = live.facts()["index"]
    live.until(lambda facts: facts["index"] > at + 2)


def test_a_second_viewer_sees_what_the_first_one_turned(browser: Any, live: LivePage, run: LiveRun) -> None:
    other = LivePage(browser, run)
    live.page.get_by_role("checkbox", name="heat map").click()
    other.until(lambda facts: facts["drawn"]["heat_map"])
    from playwright.sync_api import expect

    expect(other.page.get_by_role("checkbox", name="heat map")).to_be_checked()
    other.context.close()
    assert other.complaints == []
    at = live.facts()["index"]
    live.until(lambda facts: facts["index"] > at + 2)


def test_a_page_that_is_closed_ends_nothing_and_one_that_comes_back_goes_on(browser: Any, tmp_path: Path) -> None:
    bound = listen(port=0)
    port, access = bound.port, bound.access
    with LiveRun(tmp_path, listening=bound) as first:
        live = LivePage(browser, first)
        gone = LivePage(browser, first)
        gone.context.close()
        at = live.facts()["index"]
        live.until(lambda facts: facts["index"] > at + 2)
    live.text("#connection", "The run has ended")
    assert live.page.get_by_role("button", name="Pause").is_disabled()
    again = Listening(listen(port=port).socket, access, bound.url)
    with LiveRun(tmp_path, listening=again):
        live.text("#connection", "Running")
        live.until(lambda facts: facts["index"] < at + 2)
    live.context.close()
    assert all("WebSocket" in complaint for complaint in live.complaints)  # the browser's own, of the server not there


def test_at_the_end_of_the_source_the_last_frame_stays_and_controls_act(live: LivePage, run: LiveRun) -> None:
    run.end_source()
    live.text("#connection", "The source has ended")
    live.slide("threshold", "End")
    live.until(lambda facts: facts["counts"]["keypoints"] == 0)
    assert live.page.get_by_role("button", name="Record").is_disabled()


def test_a_wrong_token_and_a_foreign_page_get_nothing(browser: Any, tmp_path: Path) -> None:
    bound = listen(port=0)
    access = Access(names=frozenset({"127.0.0.1"}), token="the-right-token")
    url = f"http://127.0.0.1:{bound.port}/the-right-token/"
    with LiveRun(tmp_path, listening=Listening(bound.socket, access, url)) as run:
        live = LivePage(browser, run)  # with the token everything works: scripts, styles, frames
        assert live.complaints == []
        assert "the-right-token" not in live.page.inner_text("body")
        page = live.context.new_page()
        for wrong in ("http://127.0.0.1:{}/", "http://127.0.0.1:{}/wrong/", "http://localhost:{}/the-right-token/"):
            answer = page.goto(wrong.format(bound.port))
            assert answer.status == 403
        attempt = """async (address) => new Promise((done) => {
          const socket = new WebSocket(address);
          socket.onopen = () => done("open");
          socket.onerror = () => done("refused");
        })"""
        page.goto("about:blank")  # a page of another origin, which knows the token
        assert page.evaluate(attempt, url.replace("http", "ws") + "frames") == "refused"
        live.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_contrast_labels_and_roles_pass_axe_and_nothing_is_cut_off(
    browser: Any, run: LiveRun, size: dict[str, int], scheme: str
) -> None:
    live = LivePage(browser, run, viewport=size, color_scheme=scheme)
    live.page.get_by_role("button", name="Record").click()
    live.text("#message", "Recording")
    live.page.get_by_text("Keyboard").click()
    live.until(lambda facts: facts["index"] > 3)
    live.page.get_by_role("button", name="Record").click()
    live.text("#message", "Recorded small-")
    result = Axe().run(live.page)
    assert result.violations_count == 0, result.generate_report()
    wide = live.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0
    live.context.close()
    assert live.complaints == []


def test_reduced_motion_and_sharp_charts(browser: Any, run: LiveRun) -> None:
    live = LivePage(browser, run, device_scale_factor=2, reduced_motion="reduce")
    live.until(lambda facts: facts["index"] > 2)
    scale = "() => { const c = document.querySelector('td canvas'); return c.width / c.clientWidth; }"
    assert live.page.evaluate(scale) == pytest.approx(2, abs=0.02)
    live.context.close()


@pytest.mark.parametrize(
    ("network", "label", "knobs"),
    [
        ("SmallClassifier", "classes", ["top"]),
        ("SmallUNet", "mask", []),
        ("AnchoredDetector", "boxes", ["threshold", "iou_threshold", "max_boxes"]),
    ],
)
def test_other_tasks_have_their_own_controls(
    browser: Any, task_onnx: Callable[[str], Path], tmp_path: Path, network: str, label: str, knobs: list[str]
) -> None:
    with oakpoint.load(task_onnx(network), backend="onnxruntime") as predictor:
        image = np.random.default_rng(0).integers(0, 255, (128, 192, 3), dtype=np.uint8)
        tensors = predictor.reading(image).tensors
    run = LiveRun(
        tmp_path,
        task=predictor.task,
        observe=lambda index: observation(image, index, tensors),
        follower=Following(FollowOptions()),
    )
    with run:
        live = LivePage(browser, run)
        assert list(live.facts()["knobs"]) == knobs
        live.page.get_by_role("button", name="Pause").click()
        live.text("#connection", "Paused")
        before = live.page.evaluate(PIXEL_SUM)
        live.page.get_by_role("checkbox", name=label).click()
        live.until(lambda facts: not facts["drawn"]["found"])
        assert live.page.evaluate(PIXEL_SUM) != before
        assert live.page.get_by_role("checkbox", name="heat map").count() == 0
        assert live.page.get_by_role("checkbox", name="tracks").count() == (label == "boxes")
        live.context.close()
        assert live.complaints == []
