"""Messages of the page: what is one, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.run.page.protocol import (
    MAX_MESSAGE_BYTES,
    BadMessageError,
    DrawnMessage,
    KnobsMessage,
    PauseMessage,
    ReadyMessage,
    RecordMessage,
    StepMessage,
    frame_message,
    message_from,
    parts_of_frame,
)

GOOD: list[Any] = [
    ReadyMessage(type="ready"),
    KnobsMessage(type="knobs", values={"threshold": 0.25, "max_keypoints": 12, "nms_radius_px": None}),
    DrawnMessage(type="drawn", values={"tracks": False}),
    PauseMessage(type="pause", paused=True),
    StepMessage(type="step"),
    RecordMessage(type="record", on=True),
]


@pytest.mark.parametrize("message", GOOD)
def test_messages_come_back_as_they_were(message: Any) -> None:
    assert message_from(message.model_dump_json()) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ready",
        "null",
        "[]",
        "{}",
        '{"type": "ready", "more": 1}',
        '{"type": "stop"}',
        '{"type": ["ready"]}',
        '{"type": "pause"}',
        '{"type": "pause", "paused": "yes"}',
        '{"type": "pause", "paused": 1}',
        '{"type": "record", "on": null}',
        '{"type": "knobs", "values": {"threshold": "0.1"}}',
        '{"type": "knobs", "values": {"threshold": NaN}}',
        '{"type": "knobs", "values": {"threshold": 1e999}}',
        '{"type": "knobs", "values": {"threshold": true}}',
        '{"type": "knobs", "values": [1]}',
        '{"type": "drawn", "values": {"tracks": 0}}',
        '{"type": "ready"}{"type": "ready"}',
        json.dumps({"type": "knobs", "values": {"x" * 65: 1}}),
        json.dumps({"type": "knobs", "values": {str(number): 1 for number in range(17)}}),
        "[" * 2000,
        '{"a":' * 500,
        '{"type": "ready"}' + " " * MAX_MESSAGE_BYTES,
        '"\ud800"',
    ],
)
def test_what_no_page_sends_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        message_from(text)
    assert 0 < len(str(caught.value)) < 160
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_message_or_refused(text: str) -> None:
    _taken_or_refused(text)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["ready", "knobs", "drawn", "pause", "step", "record", "other"])},
        optional={
            "values": st.dictionaries(st.text(max_size=70), st.none() | st.booleans() | st.integers() | st.floats()),
            "paused": st.none() | st.booleans() | st.integers(),
            "on": st.none() | st.booleans() | st.text(),
        },
    )
)
def test_any_object_is_a_message_or_refused(message: dict[str, Any]) -> None:
    _taken_or_refused(json.dumps(message))


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | FINITE), st.binary())
def test_frames_come_back_as_they_were(facts: dict[str, Any], jpeg: bytes) -> None:
    assert parts_of_frame(frame_message(facts, jpeg)) == (facts, jpeg)


def _taken_or_refused(text: str) -> None:
    try:
        message = message_from(text)
    except BadMessageError:
        return
    assert message_from(message.model_dump_json()) == message
