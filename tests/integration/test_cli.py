"""The command line as a user meets it: what it writes, what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import onnx
import pytest

SMALL = "small_network:SmallNetwork"
NETWORKS = Path(__file__).parents[1] / "networks"
COMMANDS = ("convert", "verify", "run", "extract", "eval", "inspect", "distill", "train", "doctor", "demo")
Command = Callable[..., Any]


def program(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The installed program in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(NETWORKS), "COLUMNS": "80"} | options.pop("env", {})
    return subprocess.run(
        [Path(sys.executable).parent / "oakpoint", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=120,
        **options,
    )


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def assert_one_line(ran: Any, message: str, code: int = 1) -> None:
    assert ran.code == code, ran
    assert len(ran.errors) == 1, ran.err
    assert ran.errors[0].startswith("error: ")
    assert message in ran.errors[0]
    assert "Traceback" not in ran.err + ran.out


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Any]) -> Path:
    """Six frames of a view that moves over a photograph."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (200, 160))
    for index in range(6):
        writer.write(
            cv2.cvtColor(photographs["camera"][150:310, 150 + 3 * index : 350 + 3 * index], cv2.COLOR_GRAY2BGR)
        )
    writer.release()
    return path


# Help and the outside of the package.


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)], ids=lambda a: " ".join(a) or "oakpoint")
def test_help(command: Command, arguments: tuple[str, ...]) -> None:
    ran = command(*arguments, "--help")
    assert ran.code == 0
    assert "Usage: oakpoint" in ran.out
    assert ran.err == ""
    if not arguments:
        assert all(name in ran.out for name in COMMANDS)


def test_the_version(command: Command) -> None:
    import oakpoint

    assert command("--version").out == f"oakpoint {oakpoint.__version__}\n"


def test_the_program_in_a_process_of_its_own_fails_in_one_line(tmp_path: Path) -> None:
    done = program("verify", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}: not a bundle (no manifest.json); make one with: oakpoint convert\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fly",), "No such command 'fly'; see: oakpoint --help"),
        (("convert",), "Missing argument 'MODEL'; see: oakpoint convert --help"),
        (("run", "a", "b", "--zzz"), "No such option: --zzz; see: oakpoint run --help"),
        (("convert", "a", "--shaves", "x"), "Invalid value for '--shaves': "),
    ],
)
def test_what_the_parser_refuses(command: Command, arguments: tuple[str, ...], message: str) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {message}")
    assert ran.err.count("\n") == 1


def test_nothing_asked_for_gives_the_help(command: Command) -> None:
    ran = command()
    assert "Usage: oakpoint" in ran.out + ran.err


HEAVY = ("torch", "openvino", "onnxruntime", "depthai", "cv2", "onnx", "h5py", "pydantic", "typer", "skimage")


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())  # above it stands what the code printed


def test_importing_oakpoint_loads_no_runtime() -> None:
    loaded = loaded_after("import oakpoint")
    assert not loaded & set(HEAVY)
    assert "numpy" not in loaded


@pytest.mark.parametrize("arguments", ["--help", "--version", "convert --help", "run --help"])
def test_help_loads_no_runtime(arguments: str) -> None:
    lines = (
        f"sys.argv = ['oakpoint', *{arguments.split()!r}]",
        "from oakpoint.cli.main import main",
        "try: main()",
        "except SystemExit: pass",
    )
    code = "\n".join(lines)
    assert not loaded_after(code) & {"torch", "openvino", "onnxruntime", "depthai"}


def test_the_public_surface() -> None:
    import oakpoint

    surface = {
        "DecodeOptions", "DenseOutputs", "Extractor", "Features", "Matches", "OakpointError", "RunData", "Tracker",
        "__version__", "decode", "load", "match", "read_data",
    }  # fmt: skip
    assert set(oakpoint.__all__) == set(dir(oakpoint)) == surface
    for name in surface:
        assert getattr(oakpoint, name) is not None
    with pytest.raises(AttributeError, match="module 'oakpoint' has no attribute 'nosuch'"):
        _ = oakpoint.nosuch


def test_openvinos_usage_statistics_are_never_imported(small_bundle: Path) -> None:
    """In its place stands None, at which an import fails and OpenVINO takes its own stub."""
    code = (
        "import oakpoint, numpy\n"
        f"oakpoint.load({str(small_bundle)!r})(numpy.zeros((64, 64), numpy.uint8))\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "assert 'openvino' in sys.modules"
    )
    assert not {name for name in loaded_after(code) if name.startswith("openvino_telemetry.")}


# Images of all kinds.


def thermal(path: Path, image: Any) -> Path:
    """A photograph as a thermal camera of 14 bits would store it: counts from 7000 to 8275."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), 7000 + 5 * image.astype(np.uint16))
    return path


def test_a_thermal_image_gives_the_keypoints_of_its_photograph(
    command: Command, tmp_path: Path, photographs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    image = photographs["camera"][100:356, 100:420]
    assert cv2.imwrite(str(tmp_path / "photo.png"), image)
    thermal(tmp_path / "thermal.tif", image)
    found = [
        json.loads(command("run", "acorn", tmp_path / name, "--json").out)["keypoints_mean"]
        for name in ("photo.png", "thermal.tif")
    ]
    assert found[0] > 100
    assert found[1] == pytest.approx(found[0], rel=0.2)
    assert re.fullmatch(r".*thermal\.tif: 16 bit, values 7\d\d\d to 8\d\d\d scaled to 0–255", caplog.messages[-1])


def test_of_many_such_images_a_few_are_named_and_the_others_counted(
    tmp_path: Path, small_bundle: Path, photographs: dict[str, Any]
) -> None:
    for index in range(7):
        thermal(tmp_path / "set" / f"{index}.png", photographs["camera"][:64, :96])
    arguments = ("extract", small_bundle, tmp_path / "set", "--out", tmp_path / "f.h5")
    lines = program(*arguments).stderr.splitlines()
    warnings = [line for line in lines if "scaled to 0–255" in line]
    assert [line.partition(" ")[0] for line in warnings] == ["note:"] * 4
    assert warnings[3].startswith("note: 4 more messages of this kind, all of them with oakpoint -v …; the last was: ")
    assert "6.png: 16 bit, values" in warnings[3]
    (tmp_path / "f.h5").unlink()
    assert program("-v", *arguments).stderr.count("scaled to 0–255") == 7


def turned_photograph(path: Path, image: Any) -> Path:
    """A JPEG that says: my first row is the picture's right side (EXIF orientation 6)."""
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    exif = b"Exif\0\0MM\0\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    return path


def test_upright(command: Command, small_bundle: Path, tmp_path: Path, photographs: dict[str, Any]) -> None:
    """Features, sizes and pictures are those of the upright image, and the two kinds are not mixed in one file."""
    place = turned_photograph(tmp_path / "set" / "a.jpg", photographs["camera"][:240, :320]).parent
    arguments = ("extract", small_bundle, place, "--size", "native", "--threshold", "0.016")
    assert command(*arguments, "--out", tmp_path / "stored.h5").code == 0
    assert command(*arguments, "--out", tmp_path / "upright.h5", "--upright").code == 0
    for name, (width, height) in (("stored", (320, 240)), ("upright", (240, 320))):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert file["a.jpg/image_size"][()].tolist() == [width, height]
            assert len(file["a.jpg/keypoints"]) > 0
            assert (file["a.jpg/keypoints"][()].max(axis=0) < [width, height]).all()
    ran = command(*arguments, "--out", tmp_path / "upright.h5")
    assert_one_line(ran, "holds features made with orientation upright, now it is as stored; choose another file")
    for options, width in (((), 320), (("--upright",), 240)):
        picture = tmp_path / "k.png"
        assert command("run", small_bundle, place / "a.jpg", "--save", picture, *options).code == 0
        assert cv2.imread(str(picture)).shape[1] == width


def test_max_side(command: Command, small_onnx: Path, tmp_path: Path, photographs: dict[str, Any]) -> None:
    (tmp_path / "set").mkdir()
    for name, image in (("large", photographs["camera"]), ("small", photographs["camera"][:80, :96])):
        cv2.imwrite(str(tmp_path / "set" / f"{name}.png"), image)
    arguments = ("extract", small_onnx, tmp_path / "set", "--out", tmp_path / "f.h5", "--max-side", 128)
    assert command(*arguments, "--max-memory", "0.01").code == 0
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["large.png/image_size"][()].tolist() == [512, 512]
        assert file["small.png/image_size"][()].tolist() == [96, 80]
    ran = command(*arguments[:-1], 256)
    assert_one_line(ran, "holds features made with preprocess max_side 128, now it is 256; choose another file")
    ran = command(*arguments[:-2], "--size", "64x64", "--max-side", "128")
    assert_one_line(ran, "max_side: counts for images at their own size only, not at 64x64; leave one out")


def test_an_image_too_large_for_the_memory_is_named_and_the_others_are_extracted(
    command: Command, small_onnx: Path, tmp_path: Path, photographs: dict[str, Any]
) -> None:
    (tmp_path / "set").mkdir()
    for name, image in (("large", photographs["camera"]), ("small", photographs["camera"][:80, :96])):
        cv2.imwrite(str(tmp_path / "set" / f"{name}.png"), image)
    ran = command("extract", small_onnx, tmp_path / "set", "--out", tmp_path / "f.h5", "--max-memory", "0.001")
    assert_one_line(ran, "512×512 px take the network about")
    assert "large.png" in ran.err
    assert "scale images down with --max-side" in ran.err
    assert ran.out.startswith("1 images")
    ran = command("run", small_onnx, tmp_path / "set" / "large.png", "--max-memory", "0.001")
    assert_one_line(ran, "image: 512×512 px take the network about")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0", "--upright"), "upright: counts for image files, not for a webcam"),
        (("oak", "--upright"), "--upright: counts for image files, not for the source oak"),
        (("oak", "--max-side", "640"), "--max-side: has no effect on a camera's network"),
        (("oak", "--max-memory", "2"), "--max-memory: has no effect on a camera's network"),
        (("IMAGE", "--max-memory", "0"), "max_memory_gb: expected a positive number of GB, got 0.0"),
    ],
)
def test_options_that_would_have_no_effect(
    command: Command, small_bundle: Path, image_folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    words = (image_folder / "camera.png" if word == "IMAGE" else word for word in arguments)
    assert_one_line(command("run", small_bundle, *words), message)


# convert.


CONVERT = ("convert", SMALL, "--random", "--size", "96x64", "--to", "onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--size": "321x200"}, "size: expected positive multiples of 8, got 321x200; the nearest is 320x200"),
        ({"--size": "320x204"}, "the nearest is 320x208"),
        ({"--size": "0x200"}, "a positive number of pixels on both sides"),
        ({"--size": "320"}, "size: expected WIDTHxHEIGHT in pixels, such as 320x200, got '320'"),
        ({"--size": "-8x8"}, "size: expected WIDTHxHEIGHT"),
        ({"--size": "80000000x8000"}, "size: expected at most 268,435,456 pixels"),
        ({"--size": None}, "size: needed for a network or an ONNX file, as --size 320x200"),
        (
            {"--heads": "foo"},
            "heads: expected one of dense, heatmap, normalised, packed, reduced, rtabmap, yolo, got 'foo'",
        ),
        ({"--to": "foo"}, "target: expected one of onnx, onnx-archive, ir, blob, archive, got 'foo'"),
        ({"--to": "blob", "--batch": "4"}, "batch: a Myriad X blob has batch 1, got 4"),
        ({"--to": "archive", "--shaves": "17"}, "shaves: expected 1 to 16, got 17"),
        ({"--random": None}, "weights are needed: --weights FILE"),
        ({"--weights": "missing.pth"}, "got both"),
        ({"--random": None, "--weights": "missing.pth"}, "missing.pth: no such weights file"),
        ({"--images": "missing"}, "missing: no such folder"),
        (
            {"model": "nosuch"},
            "'nosuch': expected one of acorn, superpoint, edgepoint2, alike, a .onnx file, a bundle, or package.mod",
        ),
        ({"model": "missing.onnx", "--random": None}, "missing.onnx: no such ONNX file"),
        ({"model": "a:b"}, "a:b: cannot be built (ModuleNotFoundError: No module named 'a')"),
        ({"model": "small_network:Broken"}, "cannot be built (ValueError: needs a moon)"),
        ({"model": "[red]x[/]:y"}, "[red]x[/]:y"),
    ],
)
def test_what_convert_cannot_do_is_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options: dict[str, str | None] = {"--size": "96x64", "--to": "onnx", "--random": "", "model": SMALL} | change
    model = options.pop("model")
    words = [word for name, value in options.items() if value is not None for word in (name, value) if word]
    assert_one_line(command("convert", model, "--out", "b", *words), message)
    assert names_in(tmp_path) == set()


def test_convert_prints_each_stage_with_its_verdict(command: Command, tmp_path: Path, image_folder: Path) -> None:
    ran = command(*CONVERT[:-1], "ir", "--out", tmp_path / "b", "--images", image_folder)
    assert ran.code == 0
    steps = [line.split("  ")[0] for line in ran.out.splitlines()]
    assert steps[:4] == ["onnx", "verify onnx", "ir", "verify ir"]
    assert ran.out.count("PASS") == 2
    assert "NOT TRAINED" in ran.err
    assert len(ran.err.splitlines()) == 1
    for name in ("model.onnx", "model.xml", "model.bin"):
        assert str(tmp_path / "b" / name) in ran.out


def test_converts_json(command: Command, tmp_path: Path, image_folder: Path) -> None:
    ran = command(*CONVERT, "--out", tmp_path / "b", "--images", image_folder, "--json")
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    assert facts["weights"]["trained"] is False
    assert [stage["verdict"] for stage in facts["stages"]] == ["pass"]
    assert set(facts["artifacts"]) == {"onnx"}
    assert "verify onnx" in ran.err


def test_a_foreign_folder_is_not_written_to(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    assert_one_line(
        command(*CONVERT, "--out", tmp_path),
        "holds mine.txt, and is not a bundle that oakpoint made; choose another --out",
    )
    assert_one_line(command(*CONVERT, "--out", tmp_path / "mine.txt"), "got a file or a link")
    assert names_in(tmp_path) == {"mine.txt"}


@pytest.mark.shared
def test_the_official_weights_licence_is_said_once(
    command: Command, superpoint_weights: Path, tmp_path: Path, image_folder: Path
) -> None:
    ran = command(
        "convert", "superpoint", "--weights", superpoint_weights, "--size", "96x64", "--to", "onnx", "--images",
        image_folder, "--out", tmp_path / "b",
    )  # fmt: skip
    assert ran.code == 0
    assert (ran.out + ran.err).count("non-commercial") == 1


# run.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.mp4",), "missing.mp4: no such file or folder"),
        (("fake.mp4",), "fake.mp4: no frame of it can be decoded"),
        (("empty",), "empty: no image in this folder"),
        (("fake.png",), "fake.png: not an image that can be decoded"),
        (("",), "source: expected an image, a folder, a video or the number of a webcam"),
        (("http://localhost/a.mp4",), "is an address"),
        (("99",), "webcam 99: not there"),
        (("CLIP", "--save", "a.txt"), "a.txt: expected a name that ends in .mp4 or .gif"),
        (("CLIP", "--save", "missing/a.gif"), "missing/a.gif: there is no folder missing; make it first"),
        (
            ("CLIP", "--save", "full"),
            "full: holds mine.txt, and is not a recording that oakpoint made; choose another --save",
        ),
        (("PICTURE", "--save", "a.gif"), "a.gif: expected .png, .jpg, .jpeg, .rrd for one image"),
        (("CLIP", "--backend", "tflite"), "backend: expected one of torch, onnxruntime, openvino"),
        (("CLIP", "--device", "TPU"), "device: expected one of CPU, GPU, NPU, AUTO, got 'TPU'"),
        (("CLIP", "--precision", "f8"), "precision: expected one of f32, bf16, f16, int8, got 'f8'"),
        (("CLIP", "--backend", "torch", "--device", "GPU"), "backend torch runs on the CPU"),
        (("CLIP", "--backend", "myriad_simulator"), "this bundle has no blob"),
        (("CLIP", "--size", "100x100"), "the nearest is 96x96"),
        (("CLIP", "--threshold", "2"), "threshold: expected a probability from 0 to 1, got 2.0"),
        (("CLIP", "--nms-radius", "-1"), "nms_radius_px: expected 0 or more pixels"),
        (("CLIP", "--max-keypoints", "0"), "max_keypoints: expected 1 or more"),
        (("CLIP", "--subpixel", "cubic"), "subpixel: expected one of none, soft_argmax, quadratic, got 'cubic'"),
        (("CLIP", "--max-frames", "0"), "max-frames: expected 1 or more, got 0"),
        (("CLIP", "--track-length", "0"), "max_length: expected 2 or more frames"),
        (("CLIP", "--match-distance", "nan"), "max_distance: expected a distance from 0 to 2"),
    ],
)
def test_what_run_cannot_do_is_one_line(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_bundle: Path,
    clip: Path,
    image_folder: Path,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("fake.mp4", "fake.png"):
        Path(name).write_text("hello")
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    before = names_in(tmp_path)
    places = {"CLIP": clip, "PICTURE": image_folder / "camera.png"}
    assert_one_line(command("run", small_bundle, *(places.get(word, word) for word in words)), message)
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("model", ["empty", "missing", "fake.png", "missing.onnx", "superpoint"])
def test_a_model_that_is_none(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("fake.png").touch()
    for arguments in (("run", model, clip), ("extract", model, clip, "--out", "f.h5")):
        assert_one_line(command(*arguments), model)
    assert names_in(tmp_path) == {"empty", "fake.png"}


@pytest.mark.parametrize("name", ["t.gif", "t.mp4", "t"])
def test_a_clip_is_recorded_with_its_tracks(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, name: str
) -> None:
    ran = command("run", small_bundle, clip, "--save", tmp_path / name)
    assert (ran.code, ran.errors) == (0, [])
    assert "6 frames" in ran.out
    assert f"saved {tmp_path / name}" in ran.out
    assert {path.name for path in tmp_path.iterdir()} == {name}
    frames = _frames_of(tmp_path / name)
    assert len(frames) == 6
    assert all(frame.shape[0] > 160 and frame.shape[1] in (200, 201) for frame in frames)
    colour = np.ptp(frames[-1][:160].astype(int), axis=2) > 60
    assert colour.mean() > 0.001, "something is drawn in colour on a grey clip"


def _frames_of(path: Path) -> list[np.ndarray]:
    if path.is_dir():
        return [cv2.imread(str(file)) for file in sorted(path.glob("*.png"))]
    if path.suffix == ".gif":
        found, animation = cv2.imreadanimation(str(path))
        assert found
        return [np.asarray(frame)[..., :3] for frame in animation.frames]
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames


@pytest.mark.shared
@pytest.mark.compiler
def test_superpoint_follows_a_real_clip(
    command: Command, superpoint_bundle: Path, shared: Path, tmp_path: Path
) -> None:
    clip = shared / "clips" / "icl_nuim_30frames.mp4"
    ran = command("run", superpoint_bundle, clip, "--save", tmp_path / "t.gif", "--json")
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    assert facts["frames"] == 30
    assert facts["keypoints_mean"] > 50
    assert facts["tracks_mean_per_frame"] > 0.7 * facts["keypoints_mean"]
    assert facts["oldest_track_frames"] >= 20
    assert len(_frames_of(tmp_path / "t.gif")) == 30


def test_an_image_to_a_picture(command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    ran = command("run", small_bundle, image_folder / "coffee.png", "--save", tmp_path / "p.png")
    assert (ran.code, ran.errors) == (0, [])
    picture, image = (cv2.imread(str(path)) for path in (tmp_path / "p.png", image_folder / "coffee.png"))
    assert picture.shape[1] == image.shape[1]
    assert (picture[: image.shape[0]] != image).any(axis=2).mean() > 0.001


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "torch"])
def test_runs_json(command: Command, small_bundle: Path, clip: Path, backend: str) -> None:
    ran = command("run", small_bundle, clip, "--max-frames", "3", "--backend", backend, "--json")
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    assert facts["frames"] == 3
    assert facts["keypoints_mean"] > 0
    assert facts["backend"].startswith(backend)
    assert (facts["saved"], facts["unreadable"]) == (None, [])


def test_an_unreadable_image_of_a_folder_is_left_out_and_said(
    command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(image_folder, tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_text("x")
    ran = command("run", small_bundle, tmp_path / "images", "--json")
    facts = json.loads(ran.out)
    assert facts["frames"] == 2
    assert len(facts["unreadable"]) == 1
    assert facts["unreadable"][0].startswith("broken.png: ")


# extract.


@pytest.fixture
def images(image_folder: Path, tmp_path: Path) -> Path:
    """Images in a folder and a folder within."""
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    (folder / "within").mkdir()
    cv2.imwrite(str(folder / "within" / "odd.jpg"), cv2.imread(str(image_folder / "coffee.png"))[:203, :301])
    return folder


NAMES = ["camera.png", "coffee.png", "within/odd.jpg"]


def stored(path: Path) -> dict[str, dict[str, np.ndarray]]:
    with h5py.File(path) as file:
        return {
            name: {key: np.asarray(file[name][key]) for key in file[name]}  # type: ignore[union-attr]
            for name in NAMES
            if name in file
        }


def test_features_are_stored_as_hloc_reads_them(
    command: Command, small_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.h5"
    ran = command("extract", small_bundle, images, "--out", out, "--max-keypoints", "50")
    assert (ran.code, ran.errors) == (0, [])
    found = stored(out)
    assert list(found) == NAMES
    total = sum(len(found[name]["keypoints"]) for name in NAMES)
    assert ran.out == f"3 images, {total} keypoints in {out}\n"
    for name, group in found.items():
        n = len(group["keypoints"])
        assert 0 < n <= 50
        assert {key: array.shape for key, array in group.items()} == {
            "keypoints": (n, 2), "scores": (n,), "descriptors": (16, n), "image_size": (2,),
        }  # fmt: skip
        height, width = cv2.imread(str(images / name)).shape[:2]
        assert group["image_size"].tolist() == [width, height]
        assert (group["keypoints"] >= 0).all()
        assert (group["keypoints"] <= np.array([width, height]) - 1).all()
        assert group["keypoints"].max() > 0.6 * width, "in pixels of the file, not of the network's 160×120"
        np.testing.assert_allclose(np.linalg.norm(group["descriptors"], axis=0), 1, atol=1e-5)


def test_a_second_run_adds_only_what_is_new(command: Command, small_bundle: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    late = images / "within" / "odd.jpg"
    late.rename(tmp_path / "odd.jpg")
    assert command("extract", small_bundle, images, "--out", out).code == 0
    before = stored(out)
    (tmp_path / "odd.jpg").rename(late)
    ran = command("extract", small_bundle, images, "--out", out, "--json")
    facts = json.loads(ran.out)
    assert (facts["extracted"], facts["skipped"], facts["failed"]) == (1, 2, {})
    after = stored(out)
    assert list(after) == NAMES
    for name, group in before.items():
        assert all((after[name][key] == array).all() for key, array in group.items())


def test_a_killed_run_goes_on_where_it_stopped(
    command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path
) -> None:
    images, out = tmp_path / "images", tmp_path / "f.h5"
    images.mkdir()
    for index in range(400):
        os.link(image_folder / "camera.png", images / f"{index:03d}.png")
    words = [str(word) for word in ("extract", small_bundle, images, "--out", out)]
    process = subprocess.Popen(
        [Path(sys.executable).parent / "oakpoint", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size > 60_000) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before the kill"
    with h5py.File(out) as file:
        there = len(file)
    facts = json.loads(command(*words, "--json").out)
    assert there > 0
    assert facts["skipped"] + facts["extracted"] == 400
    assert facts["skipped"] >= there - 1
    with h5py.File(out) as file:
        first = np.asarray(file["000.png/keypoints"])
        assert len(file) == 400
        assert all((np.asarray(file[f"{name}/keypoints"]) == first).all() for name in file)


def test_an_unreadable_image_is_listed_and_the_rest_is_done(
    command: Command, small_bundle: Path, images: Path, tmp_path: Path
) -> None:
    (images / "broken.png").write_bytes((images / "camera.png").read_bytes()[:900])
    (images / "text.jpg").write_text("hello")
    out = tmp_path / "f.h5"
    ran = command("extract", small_bundle, images, "--out", out)
    assert ran.code == 1
    assert [name in line for name, line in zip(("broken.png", "text.jpg"), ran.errors, strict=True)] == [True, True]
    assert ran.out.startswith("3 images, ")
    assert list(stored(out)) == NAMES
    again = json.loads(command("extract", small_bundle, images, "--out", out, "--json").out)
    assert (again["skipped"], set(again["failed"])) == (3, {"broken.png", "text.jpg"})


def test_what_changed_is_replaced_and_another_folders_image_is_refused(
    command: Command, small_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.h5"
    assert command("extract", small_bundle, images / "within", "--out", out).code == 0
    shutil.copy(images / "coffee.png", images / "within" / "odd.jpg")
    ran = command("extract", small_bundle, images / "within", "--out", out)
    assert (ran.code, ran.errors) == (0, [])
    assert ran.out.endswith(f" keypoints in {out}; 1 of them replaced\n")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(images / "camera.png", other / "odd.jpg")
    shutil.copy(images / "camera.png", other / "new.png")
    ran = command("extract", small_bundle, other, "--out", out)
    assert ran.code == 1
    assert ran.out.endswith(f" keypoints in {out}; 1 refused\n")
    assert "another folder or video (odd.jpg); choose another --out, or replace them with --replace" in ran.errors[0]
    facts = json.loads(command("extract", small_bundle, other, "--out", out, "--replace", "--json").out)
    assert (facts["replaced"], facts["skipped"], facts["refused"]) == (["odd.jpg"], 1, [])


def test_any_name_and_any_kind_of_file_in_a_folder(
    command: Command, small_bundle: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copy(images / "camera.png", images / os.fsdecode(b"lat\xe9n.png"))
    shutil.copy(images / "camera.png", images / "new\nline \x1b[31m.png")
    (images / "link.jpg").symlink_to("nowhere")
    (images / "folder.jpg").mkdir()
    out = tmp_path / "f.h5"
    ran = command("extract", small_bundle, images, "--out", out)
    assert ran.code == 1
    assert ran.out.startswith("4 images, ")
    assert ran.out.endswith("; 2 left out\n")
    assert "a link that leads nowhere" in ran.errors[1]
    assert "rename the file" in ran.errors[0]
    assert "\x1b" not in ran.err
    facts = json.loads(command("run", small_bundle, images, "--json").out)
    assert (facts["frames"], len(facts["unreadable"])) == (4, 1)
    ran = command(
        "eval", "sift", "--photographs", images, "--protocols", "p1", "--views", "1", "--no-cache", "--csv",
        tmp_path / "e.csv", "--report", tmp_path / "report",
    )  # fmt: skip
    assert ran.code == 0
    assert "lat\\xe9n.png" in (tmp_path / "report" / "pairs.csv").read_text()


def test_an_image_too_small_for_the_network_does_not_end_a_run(
    command: Command, small_onnx: Path, images: Path, tmp_path: Path
) -> None:
    (images / "a.png").write_bytes(cv2.imencode(".png", np.zeros((7, 30), np.uint8))[1].tobytes())
    facts = json.loads(command("run", small_onnx, images, "--json", "--size", "native").out)
    assert facts["frames"] == 2
    assert facts["unreadable"] == [
        "a.png: expected an image of at least 8×8 px, got 30×7; give a size to scale it to (--size 320x240)"
    ]
    (tmp_path / "only").mkdir()
    shutil.move(images / "a.png", tmp_path / "only")
    assert_one_line_of(command("run", small_onnx, tmp_path / "only", "--size", "native"), "at least 8×8 px, got 30×7")


def assert_one_line_of(ran: Any, message: str) -> None:
    """A refusal, after what the log said on the way."""
    assert ran.code == 1
    assert ran.errors[-1].startswith("error: ")
    assert message in ran.errors[-1]


def test_native_takes_each_image_at_its_own_size(
    command: Command, small_onnx: Path, images: Path, tmp_path: Path
) -> None:
    (images / "within" / "tiny.png").write_bytes(cv2.imencode(".png", np.zeros((7, 30), np.uint8))[1].tobytes())
    out = tmp_path / "f.h5"
    ran = command("extract", small_onnx, images, "--out", out, "--size", "native")
    assert ran.code == 1
    assert "tiny.png" in ran.err
    assert "at least 8×8 px, got 30×7" in ran.err
    found = stored(out)
    assert found["within/odd.jpg"]["image_size"].tolist() == [301, 203]
    inside = found["within/odd.jpg"]["keypoints"]
    assert (inside < [296, 200]).all(), "cut to multiples of 8"
    for group in found.values():
        np.testing.assert_array_equal(group["keypoints"], np.round(group["keypoints"]))


def test_features_of_other_settings_are_not_mixed(
    command: Command, small_bundle: Path, small_onnx: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.h5"
    assert command("extract", small_bundle, images, "--out", out).code == 0
    before = out.read_bytes()
    for words, setting in (
        (("--threshold", "0.1"), "decode threshold 0.015, now it is 0.1"),
        (("--size", "native"), "preprocess"),
        (("--size", "96x64"), "preprocess size"),
        (("--backend", "onnxruntime"), "runtime"),
        (("--max-keypoints", "9"), "decode max_keypoints"),
        (("--subpixel", "quadratic"), "decode subpixel none, now it is quadratic"),
    ):
        ran = command("extract", small_bundle, images, "--out", out, *words)
        assert_one_line(ran, f"holds features made with {setting}")
    assert out.read_bytes() == before


def test_a_file_from_before_refinement_goes_on(
    command: Command, small_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.h5"
    assert command("extract", small_bundle, images, "--out", out).code == 0
    with h5py.File(out, "r+") as file:
        settings = json.loads(file.attrs["oakpoint_settings"])
        assert settings.pop("decode subpixel") == "none"
        file.attrs["oakpoint_settings"] = json.dumps(settings, sort_keys=True)
    assert command("extract", small_bundle, images, "--out", out).code == 0
    ran = command("extract", small_bundle, images, "--out", out, "--subpixel", "soft_argmax")
    assert_one_line(ran, "decode subpixel none, now it is soft_argmax")


def test_weights_beside_an_onnx_belong_to_it(command: Command, small_onnx: Path, images: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "m.onnx", tmp_path / "f.h5"
    onnx.save(onnx.load(small_onnx), place, save_as_external_data=True, location="m.data", size_threshold=0)
    assert command("extract", place, images, "--out", out, "--size", "160x120").code == 0
    weights = np.fromfile(tmp_path / "m.data", np.float32)
    (1.5 * weights).astype(np.float32).tofile(tmp_path / "m.data")
    ran = command("extract", place, images, "--out", out, "--size", "160x120")
    assert_one_line(ran, "holds features made with model")


@pytest.mark.parametrize("method", ["soft_argmax", "quadratic"])
def test_refined_keypoints_lie_between_pixels(
    command: Command, small_bundle: Path, images: Path, tmp_path: Path, method: str
) -> None:
    found = {}
    for name in ("none", method):
        out = tmp_path / f"{name}.h5"
        words = ("--size", "native", "--subpixel", name)
        assert command("extract", small_bundle, images, "--out", out, *words).code == 0
        found[name] = stored(out)
    for image in NAMES:
        moved = found[method][image]["keypoints"] - found["none"][image]["keypoints"]
        assert 0 < np.abs(moved).max() <= 0.5
        np.testing.assert_array_equal(found[method][image]["scores"], found["none"][image]["scores"])
    ran = command("run", small_bundle, images / "camera.png", "--save", tmp_path / "k.png", "--subpixel", method)
    assert (ran.code, ran.errors) == (0, [])


def test_a_video_is_a_series_of_images(command: Command, small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    ran = command("extract", small_bundle, clip, "--out", tmp_path / "f.h5", "--json")
    assert json.loads(ran.out)["extracted"] == 6
    with h5py.File(tmp_path / "f.h5") as file:
        assert sorted(file) == [f"clip-{index:06d}" for index in range(6)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("empty", "no image in this folder"),
        ("missing", "no such image, folder or video"),
        ("fake.mp4", "no frame of it"),
    ],
)
def test_extracting_from_nothing_leaves_nothing(
    command: Command, small_bundle: Path, tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "fake.mp4").write_text("hello")
    before = names_in(tmp_path)
    assert_one_line(command("extract", small_bundle, tmp_path / source, "--out", tmp_path / "f.h5"), message)
    assert names_in(tmp_path) == before


def test_where_features_cannot_be_written(command: Command, small_bundle: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("mine")
    for name, message in (
        ("missing/f.h5", "there is no folder"),
        ("images", "there is a folder of that name"),
        ("text.h5", "expected an HDF5 file of features, and this is none"),
    ):
        assert_one_line(command("extract", small_bundle, images, "--out", tmp_path / name), message)
    assert (tmp_path / "text.h5").read_text() == "mine"


# demo.


@pytest.mark.slow
@pytest.mark.compiler
def test_the_demo_tells_the_whole_story_with_what_is_shipped(command: Command, tmp_path: Path) -> None:
    ran = command("demo", "--out", tmp_path / "demo")
    assert ran.code == 0, ran.err
    made = {path.name for path in (tmp_path / "demo").glob("[!.]*")}
    assert made == {"bundle", "report.html", "tracks.gif", "tracks.png"}
    assert f"look at {tmp_path / 'demo' / 'report.html'}" in ran.out
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "of the true motion" in page, "the demo's own report tells of the tracks, too"
    assert ".oakpoint-" not in ran.out, "temporary folders are gone by then"
    assert (tmp_path / "demo" / "bundle" / "model.rvc2.tar.xz").is_file()
    assert "FAIL" not in ran.out
    assert ran.out.count("PASS") == 4
    share = re.search(r"([\d.]+)% within 3 px of the true motion", ran.out)
    assert share is not None
    assert float(share[1]) > 80


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "error: interrupted"),
        pytest.param(signal.SIGTERM, 143, "error: interrupted by SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, "error: interrupted by SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_interrupting_is_one_line(tmp_path: Path, number: signal.Signals, code: int, said: str) -> None:
    # Large, so that the stage under way takes seconds and the signal cannot come too late.
    arguments = ["convert", "superpoint", "--random", "--size", "640x480", "--to", "onnx", "--out", str(tmp_path / "b")]
    # A process started by a shell in the background ignores Ctrl-C from birth, and so do its children: not this one.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from oakpoint.cli.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("onnx"), "the first stage is done, the next one under way"
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.strip().splitlines()[-1:] == [said]
    assert "Traceback" not in error
    assert names_in(tmp_path) == set()
