from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError
from oakpoint.images.reading import IMAGE_SUFFIXES, MAX_PIXELS, find_images, list_images, read_image

COLOUR = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def write(path: Path, image: np.ndarray, suffix: str = ".png") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    return path


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an APP1 segment with the one EXIF tag 0x0112 after the start of image."""
    tiff = b"MM\x00\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tiff"])
@pytest.mark.parametrize("name", ["plain", "größe 画像 %d", "http:x"])
def test_pixels_and_order_of_channels_survive_whatever_the_name(tmp_path, suffix, name):
    assert np.array_equal(read_image(write(tmp_path / f"{name}{suffix}", COLOUR, suffix)), COLOUR)


def test_a_grey_file_stays_grey(tmp_path):
    image = read_image(write(tmp_path / "a.png", COLOUR[..., 0]))
    assert image.shape == (6, 8)
    assert image.dtype == np.uint8


def test_alpha_is_dropped_and_colours_stay(tmp_path):
    rgba = np.dstack([COLOUR, np.zeros((6, 8, 1), np.uint8)])
    image = read_image(write(tmp_path / "a.png", rgba))
    assert np.array_equal(image, COLOUR)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("shape", [(256, 256), (256, 256, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_of_16_bits_the_high_byte_is_kept_as_by_cv2_imread(tmp_path, shape, suffix):
    wide = np.resize(np.arange(65536, dtype=np.uint16), shape)
    path = write(tmp_path / f"a{suffix}", wide, suffix)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.array_equal(image.reshape(shape) if image.ndim == len(shape) else image[..., 0], wide >> 8)
    as_opencv = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    difference = np.abs((image if image.ndim == 3 else np.dstack([image] * 3)).astype(int) - as_opencv)
    assert difference.max() <= (suffix == ".tiff")  # of TIFF in colour libtiff makes 8 bits, and rounds


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_thermal_image_is_scaled_to_its_range_and_the_log_says_so(tmp_path, caplog, suffix):
    counts = np.linspace(7012, 8411, 64 * 64).reshape(64, 64).astype(np.uint16)
    path = write(tmp_path / f"thermal{suffix}", counts, suffix)
    with caplog.at_level(logging.WARNING):
        image = read_image(path)
    assert image.dtype == np.uint8
    assert (image.min(), image.max()) == (0, 255)
    low, high = np.sort(counts, axis=None)[[4, -5]]  # 0.1 % of 4,096 values at each end
    assert caplog.messages == [f"{path}: 16 bit, values {low} to {high} scaled to 0–255"]


def test_ordinary_images_are_read_without_a_word(tmp_path, caplog):
    narrow = np.full((8, 8), 30, np.uint8)
    assert np.array_equal(read_image(write(tmp_path / "a.png", narrow)), narrow)
    read_image(write(tmp_path / "b.png", np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)))
    assert caplog.messages == []


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_not_applied(tmp_path, orientation):
    jpeg = cv2.imencode(".jpg", COLOUR)[1].tobytes()
    path = tmp_path / "photo.jpg"
    path.write_bytes(with_exif_orientation(jpeg, orientation))
    turned = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert turned.shape[:2] == ((8, 6) if orientation in (6, 8) else (6, 8))  # the tag is really there
    assert np.array_equal(read_image(path), cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


TURNED = {
    1: COLOUR,
    2: COLOUR[:, ::-1],
    3: COLOUR[::-1, ::-1],
    4: COLOUR[::-1],
    5: COLOUR.transpose(1, 0, 2),
    6: np.rot90(COLOUR, -1),
    7: COLOUR[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(COLOUR),
}
"""How a stored picture looks upright. Source: Exif 3.0, table 6, tag 274: which side row 0 and column 0 stand for."""


@pytest.mark.parametrize("orientation", sorted(TURNED))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tiff"])
def test_upright_is_what_other_programs_show(tmp_path, suffix, orientation):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, to write orientations of every format")
    path = tmp_path / f"a{suffix}"
    large = np.repeat(np.repeat(COLOUR, 8, axis=0), 8, axis=1)
    exif = image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif, "quality": 100} if suffix != ".tiff" else {"tiffinfo": {0x0112: orientation}}
    image.fromarray(large[:, :, ::-1]).save(path, **options)
    upright = read_image(path, upright=True)
    expected = np.repeat(np.repeat(TURNED[orientation], 8, axis=0), 8, axis=1)
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).mean() < 5  # of JPEG, WebP and AVIF; a wrong turn is 30 and more
    assert upright.flags.c_contiguous
    if suffix != ".tiff":  # of which OpenCV applies the orientation always
        assert read_image(path).shape == large.shape


def test_upright_changes_nothing_else(tmp_path):
    rgba = np.dstack([COLOUR, np.zeros((6, 8, 1), np.uint8)])
    for name, image in (("alpha", rgba), ("grey", COLOUR[..., 0]), ("wide", COLOUR[..., 0].astype(np.uint16) * 257)):
        path = write(tmp_path / f"{name}.png", image)
        assert np.array_equal(read_image(path, upright=True), read_image(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".jp2"])
@pytest.mark.parametrize("share", [0.02, 0.6, 0.99])
def test_a_file_cut_short_is_refused_and_says_nothing_on_stderr(tmp_path, suffix, share, rng, capfd):
    data = cv2.imencode(suffix, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"cut short|cannot decode"):
        read_image(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"hello " * 99, "not an image")])
def test_no_image_at_all(tmp_path, content, message, capfd):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="got a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="not a regular file"):
        read_image("/dev/null")


def test_floating_point_from_0_to_1_is_read_as_grey_levels(tmp_path):
    path = write(tmp_path / "a.tiff", COLOUR.astype(np.float32) / 255, ".tiff")
    assert np.array_equal(read_image(path), COLOUR)


def test_an_image_without_one_finite_value_is_refused(tmp_path):
    path = write(tmp_path / "a.tiff", np.full((8, 8), np.nan, np.float32), ".tiff")
    with pytest.raises(ImageError, match=r"a\.tiff: expected pixels, got float32 without one finite value"):
        read_image(path)


def test_a_png_that_would_unpack_to_gigabytes_is_refused_before_it_is_unpacked(tmp_path):
    side = 1 << 15
    assert side * side > MAX_PIXELS
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(ImageError, match="at most 268,435,456 pixels, got 32768 × 32768"):
        read_image(path)


def test_images_are_listed_in_natural_order_without_hidden_and_other_files(tmp_path):
    for name in ("b10.png", "b2.PNG", "a.jpeg", ".hidden.png", "notes.txt", "sub/c.png", ".git/d.png", "b02.png"):
        write(tmp_path / name, COLOUR)
    (tmp_path / "folder.png").mkdir()
    assert list_images(tmp_path) == ("a.jpeg", "b2.PNG", "b02.png", "b10.png")
    assert list_images(tmp_path, recursive=True) == ("a.jpeg", "b2.PNG", "b02.png", "b10.png", "sub/c.png")


def test_links_to_folders_are_not_followed(tmp_path):
    write(tmp_path / "set" / "a.png", COLOUR)
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    assert list_images(tmp_path / "set", recursive=True) == ("a.png",)


def test_what_only_looks_like_an_image_is_listed_and_said_when_it_is_read(tmp_path):
    write(tmp_path / "a.png", COLOUR)
    (tmp_path / "link.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    assert list_images(tmp_path) == ("a.png", "link.png", "pipe.png")
    for name, reason in (("link.png", "a link that leads nowhere"), ("pipe.png", "not a regular file")):
        with pytest.raises(ImageError, match=reason):
            read_image(tmp_path / name)


def test_a_subfolder_that_cannot_be_read(tmp_path, monkeypatch):
    write(tmp_path / "a.png", COLOUR)
    write(tmp_path / "closed" / "b.png", COLOUR)
    scandir = os.scandir

    def refusing(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    found = find_images(tmp_path, recursive=True)
    assert found.names == ("a.png",)
    assert found.unreadable == {"closed": "this folder cannot be read (Permission denied)"}
    assert list_images(tmp_path) == ("a.png",)
    with pytest.raises(ImageError, match=r"closed: this folder cannot be read"):
        list_images(tmp_path, recursive=True)
    with pytest.raises(ImageError, match=r"closed: this folder cannot be read"):
        find_images(tmp_path / "closed")


def test_a_file_in_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    def refuse(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ImageError, match=r"a.png: cannot be read \(Permission denied\)"):
        read_image(tmp_path / "a.png")


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ImageError, match="no such folder"):
        list_images(tmp_path / "missing")
    with pytest.raises(ImageError, match="not a folder"):
        list_images(write(tmp_path / "a.png", COLOUR))


def test_suffixes_are_lower_case_and_known_to_opencv():
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert all(cv2.haveImageWriter(f"a{suffix}") for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp", ".pgm"))
