from __future__ import annotations

import re

from oakpoint.report.parts.diagram import Diagram, Node

NODES = [
    Node(key="onnx", name="ONNX"),
    Node(key="device", name="device graph", parent="onnx", tone="pass", word="PASS"),
    Node(key="blob", name="blob", parent="device", tone="fail", word="FAIL"),
    Node(key="ir", name="IR", parent="onnx", absent=True),
]


def boxes(down: bool) -> dict[str, tuple[float, float]]:
    """Corner of each box, in the order of the nodes."""
    svg = Diagram(nodes=NODES, label="").svg(down=down)
    found = re.findall(r'<rect class="(?:node|absent)" x="([\d.]+)" y="([\d.]+)"', svg)
    return {node.key: (float(x), float(y)) for node, (x, y) in zip(NODES, found, strict=True)}


def test_a_chain_goes_on_in_its_row_and_a_second_child_takes_one_of_its_own() -> None:
    across = boxes(down=False)
    assert across["onnx"][1] == across["device"][1] == across["blob"][1] < across["ir"][1]
    assert across["onnx"][0] < across["device"][0] == across["ir"][0] < across["blob"][0]
    down = boxes(down=True)
    assert down["onnx"][0] == down["device"][0] == down["blob"][0] < down["ir"][0]
    assert down["onnx"][1] < down["device"][1] == down["ir"][1] < down["blob"][1]


def test_verdicts_stand_on_their_arrows_in_sign_and_word() -> None:
    svg = Diagram(nodes=NODES, label="").svg(down=False)
    assert "✓ PASS" in svg
    assert "✕ FAIL" in svg
    assert svg.count('class="arrow"') == 3
    assert svg.count('class="absent"') == 1


def test_boxes_do_not_lie_over_each_other() -> None:
    nodes = [Node(key="a", name="a"), *(Node(key=str(n), name="n", parent="a") for n in range(4))]
    nodes += [Node(key=f"{n} too", name="n", parent=str(n)) for n in range(4)]
    for down in (False, True):
        svg = Diagram(nodes=nodes, label="").svg(down=down)
        corners = re.findall(r'class="node" x="([\d.]+)" y="([\d.]+)"', svg)
        assert len(set(corners)) == len(nodes)
