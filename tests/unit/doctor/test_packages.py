from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from oakpoint.doctor.findings import Finding, healthy
from oakpoint.doctor.packages import examine_packages, own_requirements

ASKED = [
    Requirement(text)
    for text in (
        "numpy>=1.26",
        "tomli>=2; python_version < '3'",
        "depthai>=3.0; extra == 'oak'",
        "torch>=2.6; extra == 'torch'",
        "scikit-image>=0.22; extra == 'torch'",
        "matplotlib>=3.8; extra == 'eval'",
        "oakpoint[torch]; extra == 'train'",
        "matplotlib>=3.8; extra == 'train'",
    )
]
THERE = {"numpy": "2.0", "depthai": "3.12.0", "torch": "2.7.0+cpu", "scikit-image": "0.25", "matplotlib": "3.9"}


def examined(python: tuple[int, ...] = (3, 12, 1), **versions: str | None) -> dict[str, Finding]:
    found = {name.replace("_", "-"): version for name, version in versions.items()}
    findings = examine_packages(requirements=lambda: ASKED, installed=({**THERE, **found}).get, python=python)
    return {finding.name: finding for finding in findings}


def test_all_that_is_asked_for_is_there() -> None:
    found = examined()
    assert {finding.state for finding in found.values()} == {"good"}
    assert set(found) == {
        "Python",
        "oakpoint",
        "numpy",
        "extra torch",
        "extra oak",
        "extra eval",
        "extra train",
        "extra int8",
        "extra view",
    }
    assert found["extra torch"].text.endswith("torch 2.7.0+cpu, scikit-image 0.25")


@pytest.mark.parametrize(("version", "state"), [(None, "missing"), ("1.20", "wrong")])
def test_a_package_that_is_needed(version: str | None, state: str) -> None:
    found = examined(numpy=version)
    assert (found["numpy"].state, found["numpy"].mend) == (state, "pip install 'numpy>=1.26'")
    assert not healthy(found.values())


@pytest.mark.parametrize(("version", "state"), [(None, "missing"), ("2.30", "wrong")])
def test_an_extra_is_not_needed(version: str | None, state: str) -> None:
    found = examined(depthai=version)
    assert (found["extra oak"].state, found["extra oak"].mend) == (state, "pip install 'oakpoint[oak]'")
    assert healthy(found.values())


def test_a_version_of_a_distributors_own_making_is_believed() -> None:
    assert examined(numpy="2.0-distro!")["numpy"].state == "good"


def test_an_old_python() -> None:
    found = examined(python=(3, 9, 18))
    assert (found["Python"].state, found["Python"].needed) == ("wrong", True)


def test_oakpoint_that_was_not_installed_is_no_traceback() -> None:
    findings = examine_packages(requirements=lambda: None)
    assert [finding.state for finding in findings] == ["good", "missing"]
    assert healthy(findings)


def test_its_own_metadata_is_read() -> None:
    asked = own_requirements()
    assert asked is None or {"numpy", "openvino"} <= {requirement.name for requirement in asked}
