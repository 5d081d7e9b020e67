"""Every command in ``docs/your-own-network.md`` and ``docs/match.md`` does what the page says, in its order.

Python and text blocks are written to the file that the line above them names; lines of a console block that begin with
``$`` are run, and each line below has to be in what was printed: with any numbers, and with anything for «…».
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.images.input_options import colour_from, numbers_from
from oakpoint.images.moving_view import moving_view

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-own-network.md"
NEEDS_A_CAMERA = "<!-- needs a camera -->"
NO_CAMERA = re.compile(r"camera|device|webcam|video source|USB", re.IGNORECASE)

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`(\w+\.\w+)` ", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:\.\d+)*")


@dataclass
class Command:
    """A command of the page and what stands below it."""

    line: str
    printed: list[str] = field(default_factory=list)
    needs_camera: bool = False

    @property
    def fails(self) -> bool:
        return any(line.startswith("error:") for line in self.printed)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, content and the paragraph above of every block."""
    return [(m[1], m[2], page[: m.start()].rstrip().rpartition("\n\n")[2]) for m in _BLOCK.finditer(page)]


def written(folder: Path, page: str) -> list[str]:
    """Write the page's files to a folder."""
    names = []
    for language, content, above in blocks(page):
        if language in ("python", "text"):
            (name,) = _FILE.findall(above)
            (folder / name).write_text(content)
            names.append(name)
    return names


def commands(page: str) -> list[Command]:
    """The page's commands in order."""
    found: list[Command] = []
    for language, content, above in blocks(page):
        for line in content.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                found.append(Command(line[2:], needs_camera=NEEDS_A_CAMERA in above))
            else:
                found[-1].printed.append(line)
    return found


def pattern(line: str) -> re.Pattern[str]:
    """A line of the page as it has to come out: any numbers, any width of columns, anything for «…»."""
    parts = [_NUMBER.sub("0", part).split() for part in line.split("…")]
    return re.compile(".*".join(r"\s+".join(map(re.escape, words)) for words in parts))


def shown(text: str) -> str:
    return _NUMBER.sub("0", text)


def run(command: Command, folder: Path) -> tuple[int, str]:
    words = shlex.split(command.line)
    programs = {"oakpoint": [sys.executable, "-m", "oakpoint"], "python": [sys.executable, "-W", "ignore"]}
    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        cwd=folder,
        env=os.environ | {"COLUMNS": "400", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60 if command.needs_camera else 300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


@pytest.mark.slow
@pytest.mark.compiler
def test_every_command_does_what_the_page_says(page: str, tmp_path: Path, image_folder: Path) -> None:
    assert {"mynet.py", "labels.txt", "found.py"} <= set(written(tmp_path, page))
    photo = cv2.imread(str(image_folder / "coffee.png"))
    assert cv2.imwrite(str(tmp_path / "photo.jpg"), photo)
    clip = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for shift in range(6):
        clip.write(np.ascontiguousarray(photo[10:250, 5 * shift : 5 * shift + 320]))
    clip.release()
    for command in commands(page):
        if command.needs_camera:
            with contextlib.suppress(subprocess.TimeoutExpired):  # where there is one, it goes on until it is stopped
                code, printed = run(command, tmp_path)
                assert code == 0 or NO_CAMERA.search(printed.splitlines()[-1]), f"{command.line}\n{printed}"
            continue
        code, printed = run(command, tmp_path)
        said = f"{command.line}\n{printed}"
        assert code == (1 if command.fails else 0), said
        for line in command.printed:
            assert pattern(line).search(shown(printed)), f"{line!r} was not printed by {said}"


@pytest.mark.slow
def test_every_command_of_matching_does_what_its_page_says(
    tmp_path: Path, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    data = pytest.importorskip("skimage.data")
    frames = list(moving_view(photographs["astronaut"], size=(400, 320), frames=12))
    stereo = [np.ascontiguousarray(image[:, :, ::-1]) for image in data.stereo_motorcycle()[:2]]
    images = {"a.png": frames[0].image, "b.png": frames[4].image, "folder/view.png": frames[2].image,
              "left.png": stereo[0], "right.png": stereo[1]}  # fmt: skip
    images |= {f"folder/{name}.png": photographs[name] for name in ("astronaut", "coffee", "camera")}
    (tmp_path / "folder").mkdir()
    for name, image in images.items():
        assert cv2.imwrite(str(tmp_path / name), image)
    found = commands((PAGE.parent / "match.md").read_text())
    assert len(found) >= 5
    for command in found:
        code, printed = run(command, tmp_path)
        said = f"{command.line}\n{printed}"
        assert code == (1 if any("no homography" in line for line in command.printed) else 0), said
        for line in command.printed:
            assert pattern(line).search(shown(printed)), f"{line!r} was not printed by {said}"
    assert (tmp_path / "ab.png").is_file()


def test_the_page_is_read_as_it_is_meant(page: str, tmp_path: Path) -> None:
    names = written(tmp_path, page)
    assert len(names) == len(set(names))
    found = commands(page)
    assert len(found) > 15
    assert {command.line.split()[0] for command in found} == {"oakpoint", "python"}
    assert sum(command.needs_camera for command in found) == 3
    assert sum(command.fails for command in found) == 4
    assert {language for language, *_ in blocks(page)} == {"python", "text", "console"}
    for name in (name for name in names if name.endswith(".py")):
        compile((tmp_path / name).read_text(), name, "exec")


def test_what_an_image_wants_is_understood_as_the_table_says(page: str) -> None:
    rows = re.findall(r"^\| .* \| `(--[a-z]+ [^`]*)` \|$", page, re.MULTILINE)
    assert len(rows) == 6
    became = {}
    for row in rows:
        words = shlex.split(row)
        said = dict(zip((word[2:] for word in words[::2]), words[1::2], strict=True))
        colour = colour_from(said.pop("color", "rgb"))
        numbers = numbers_from(**{"pixels": said.pop("range", None), **said}, colour=colour)
        assert numbers is not None
        white = (255 - np.array(numbers.mean)) * np.array(numbers.scale)
        became[row] = np.round(np.atleast_1d(white), 3).tolist()
    assert list(became.values()) == [[2.249, 2.429, 2.64], [1], [151, 138, 132], [1], [1], [255]], became


def test_what_is_printed_below_a_command_is_compared() -> None:
    assert pattern("blob  5.1 s   PASS  12 % …").search(shown("blob   22.7 s PASS 1 % of all"))
    assert not pattern("blob  5.1 s   PASS").search(shown("blob   22.7 s FAIL"))
    assert pattern("error: a (b)").search("error: a (b)")
    assert not pattern("error: a (b)").search("error: a b")


def test_links_within_the_page_lead_somewhere(page: str) -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", page, re.M)
    }
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert targets
    for target in targets:
        file, _, anchor = target.partition("#")
        assert not file or (PAGE.parent / file).exists(), target
        assert file or anchor in headings, target
