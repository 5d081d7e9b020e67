"""What page and server say to each other over their WebSocket.

From the page come small JSON objects, of which each is one of the models below and nothing else. To the page go
JSON texts (``{"type": "state", …}``, ``{"type": "error", "text": …}``) and frames in binary messages: the length of
the facts in bytes (uint32, big-endian), the facts as JSON, and the picture as JPEG.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_MESSAGE_BYTES = 4096
"""Of a message from a page; all of ours stay below a tenth of it."""

_Name = Annotated[str, Field(max_length=64)]
_Number = Annotated[int, Field(ge=-(2**53), le=2**53)] | float


class BadMessageError(Exception):
    """A message that no page of ours sends; the connection that it came on is closed."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ReadyMessage(_Message):
    """The last frame is shown, the next one may come."""

    type: Literal["ready"]


class KnobsMessage(_Message):
    """Turn the task's knobs; null puts one back to what it was opened with."""

    type: Literal["knobs"]
    values: Annotated[dict[_Name, _Number | None], Field(max_length=16)]


class DrawnMessage(_Message):
    """Change what is drawn."""

    type: Literal["drawn"]
    values: Annotated[dict[_Name, bool], Field(max_length=16)]


class PauseMessage(_Message):
    """Stop before the next frame, or go on."""

    type: Literal["pause"]
    paused: bool


class StepMessage(_Message):
    """Take one more frame, and pause."""

    type: Literal["step"]


class RecordMessage(_Message):
    """Begin a recording, or end it."""

    type: Literal["record"]
    on: bool


PageMessage = ReadyMessage | KnobsMessage | DrawnMessage | PauseMessage | StepMessage | RecordMessage

_MESSAGES: TypeAdapter[PageMessage] = TypeAdapter(Annotated[PageMessage, Field(discriminator="type")])


def message_from(text: str | None) -> PageMessage:
    """Read a message of untrusted origin.

    Args:
        text: None where bytes came.

    Raises:
        BadMessageError: it is none of ours.
    """
    if text is None:
        raise BadMessageError("expected text, got bytes")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise BadMessageError("too long")
    try:
        return _MESSAGES.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadMessageError(f"{'.'.join(map(str, first['loc']))[:40]}: {first['msg']}".lstrip(": ")[:100]) from None
    except (ValueError, RecursionError) as error:
        raise BadMessageError("not readable") from error


def frame_message(facts: Mapping[str, Any], jpeg: bytes) -> bytes:
    """A frame for the page; see above."""
    header = json.dumps(facts, allow_nan=False, separators=(",", ":")).encode()
    return struct.pack(">I", len(header)) + header + jpeg


def parts_of_frame(message: bytes) -> tuple[dict[str, Any], bytes]:
    """The facts and the JPEG of a ``frame_message``."""
    (length,) = struct.unpack_from(">I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def error_message(text: str) -> str:
    """An error for people, as a message to the page."""
    return json.dumps({"type": "error", "text": text})
