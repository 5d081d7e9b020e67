"""Python and the packages: what oakpoint asks for, and what is installed. Nothing is imported for it."""

from __future__ import annotations

import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from oakpoint import __version__
from oakpoint.doctor.findings import Finding

TOPIC = "versions"
DISTRIBUTION = "oakpoint"
EXTRAS = {
    "torch": "networks from PyTorch, and photographs to verify on",
    "oak": "the camera, and superblobs",
    "eval": "charts of an evaluation, and photographs",
    "train": "distill and train",
    "int8": "INT8 models for Intel's CPUs, GPUs and NPUs",
    "view": "a page of a run, with controls",
}
"""Extras for users, and what they are for."""

OLDEST_PYTHON = (3, 10)

Installed = Callable[[str], str | None]
"""Version of a package by name; None where it is not installed."""


def installed_version(name: str) -> str | None:
    """The version of a package, from its metadata."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def own_requirements() -> list[Requirement] | None:
    """What oakpoint's own metadata asks for; None where it runs without being installed."""
    try:
        return [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return None


def examine_packages(
    *,
    requirements: Callable[[], Iterable[Requirement] | None] = own_requirements,
    installed: Installed = installed_version,
    python: tuple[int, ...] = sys.version_info[:3],
) -> list[Finding]:
    """One finding for Python, one for oakpoint, one for each package that it needs, and one for each extra."""
    findings = [_python(python)]
    asked = requirements()
    if asked is None:
        text = f"oakpoint {__version__} runs without being installed: what it needs is not known"
        findings.append(Finding(topic=TOPIC, name="oakpoint", state="missing", text=text, mend="pip install -e ."))
        return findings
    findings.append(Finding(topic=TOPIC, name="oakpoint", state="good", text=__version__))
    extras: dict[str, list[Requirement]] = defaultdict(list)
    for requirement in asked:
        names = [extra for extra in EXTRAS if _is_for(requirement, extra)]
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            findings.append(_package(requirement, installed))
        for extra in names:
            extras[extra].append(requirement)
    findings += [_extra(extra, _spelled_out(extras[extra], extras), installed) for extra in EXTRAS]
    return findings


def _spelled_out(requirements: Iterable[Requirement], extras: Mapping[str, list[Requirement]]) -> list[Requirement]:
    """The same with what another extra of ours asks for in its place: ``oakpoint[torch]`` is no package."""
    packages: list[Requirement] = []
    for requirement in requirements:
        if requirement.name == DISTRIBUTION:
            for extra in sorted(requirement.extras):
                packages += _spelled_out(extras[extra], extras)
        else:
            packages.append(requirement)
    return packages


def _is_for(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _python(version: tuple[int, ...]) -> Finding:
    text = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version >= OLDEST_PYTHON:
        return Finding(topic=TOPIC, name="Python", state="good", text=text, needed=True)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    mend = f"python{oldest} -m venv .venv"
    return Finding(topic=TOPIC, name="Python", state="wrong", text=f"{text}; needs {oldest}", mend=mend, needed=True)


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:  # a version of a distributor's own making: believed
        return True


def _package(requirement: Requirement, installed: Installed) -> Finding:
    version, wanted = installed(requirement.name), f"{requirement.name}{requirement.specifier}"
    if version is not None and _fits(requirement, version):
        return Finding(topic=TOPIC, name=requirement.name, state="good", text=version, needed=True)
    return Finding(
        topic=TOPIC,
        name=requirement.name,
        state="missing" if version is None else "wrong",
        text=f"needs {wanted}" + (f", is {version}" if version else ""),
        mend=f"pip install '{wanted}'",
        needed=True,
    )


def _extra(extra: str, requirements: list[Requirement], installed: Installed) -> Finding:
    versions = {requirement.name: installed(requirement.name) for requirement in requirements}
    absent = [name for name, version in versions.items() if version is None]
    unfit = [r.name for r in requirements if (v := versions[r.name]) is not None and not _fits(r, v)]
    purpose = EXTRAS[extra]
    if not absent and not unfit:
        there = ", ".join(f"{name} {version}" for name, version in versions.items())
        return Finding(topic=TOPIC, name=f"extra {extra}", state="good", text=f"{purpose}: {there}")
    said = [f"{name} is missing" for name in absent] + [f"{name} {versions[name]} does not fit" for name in unfit]
    return Finding(
        topic=TOPIC,
        name=f"extra {extra}",
        state="wrong" if unfit else "missing",
        text=f"{purpose}: {', '.join(said)}",
        mend=f"pip install 'oakpoint[{extra}]'",
    )
