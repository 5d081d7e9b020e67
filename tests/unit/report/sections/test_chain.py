"""The diagram of a chain: what was not made is told where the chain ends, and in which way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.manifest import Manifest
from oakpoint.report.parts.diagram import Node
from oakpoint.report.sections.chain import chain_diagram

NOT_MADE = {"blob": "no kernel", "archive": "no blob"}


@pytest.fixture
def manifest(small_bundle: Path) -> Manifest:
    return open_bundle(small_bundle).manifest


def nodes(manifest: Manifest) -> dict[str, Node]:
    return {node.key: node for node in chain_diagram(manifest, ()).nodes}


@pytest.mark.parametrize(("failure", "tone"), [("layer 'sin': no kernel", "fail"), (None, "open")])
def test_the_arrow_at_which_a_chain_ends_says_so(manifest: Manifest, failure: str | None, tone: str) -> None:
    found = nodes(replace(manifest, not_made=NOT_MADE, failure=failure))
    assert (found["device"].tone, found["device"].word) == (tone, "NOT MADE")
    assert found["blob"].absent
    assert not found["blob"].word  # what was to be made of it is no other failure


def test_a_chain_that_was_asked_for_no_blob_lacks_nothing(manifest: Manifest) -> None:
    assert not any(node.absent or node.word for node in nodes(manifest).values())
    caption = chain_diagram(manifest, ()).caption
    assert "blob" not in caption
    assert "on photographs" in caption
