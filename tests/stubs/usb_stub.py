"""A machine's USB, as folders of its own."""

from __future__ import annotations

from pathlib import Path

from oakpoint.oak.usb import VENDOR, UsbPlaces


class StubUsb:
    """A bus with nothing on it, and no rules of udev; ``places`` is for the functions that look there."""

    def __init__(self, folder: Path) -> None:
        for name in ("devices", "bus", "rules"):
            (folder / name).mkdir()
        self.places = UsbPlaces(folder / "devices", folder / "bus", (folder / "rules",))

    def plug_in(self, *, vendor: str = VENDOR, bus: int = 1, number: int = 7) -> Path:
        """The device's file."""
        device = self.places.devices / f"{bus}-{number}"
        device.mkdir()
        for name, value in (("idVendor", vendor), ("busnum", str(bus)), ("devnum", str(number))):
            (device / name).write_text(f"{value}\n")
        file = self.places.bus / f"{bus:03d}" / f"{number:03d}"
        if self.places.bus.is_dir():
            file.parent.mkdir(exist_ok=True)
            file.touch()
        return file
