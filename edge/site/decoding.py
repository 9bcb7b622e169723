"""
JSON and other plain values to typed documents, whichever thread asks.

Laws: pure. msgspec learns a type at its first use, and lets other threads use what it has learned
only in part: two first uses at once end the process (0.22, `json_decode_struct_map_inner`). So
types are learned here, one at a time, and nowhere else.
"""

from __future__ import annotations

import threading
from typing import Any, Final, TypeVar, overload

import msgspec

T = TypeVar("T")

_learning: Final = threading.Lock()
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
"""By type; as many as there are kinds of documents in the program."""


@overload
def decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]: ...
@overload
def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]: ...
def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """What decodes JSON to a type."""
    decoder = _decoders.get(kind)
    if decoder is None:
        with _learning:
            decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return decoder


@overload
def decode_json(data: bytes | str, kind: type[T]) -> T: ...
@overload
def decode_json(data: bytes | str, kind: Any) -> Any: ...
def decode_json(data: bytes | str, kind: Any) -> Any:
    """
    A document.

    Raises:
        msgspec.MsgspecError: it is not JSON, or not of the type.
    """
    return decoder_of(kind).decode(data)


@overload
def convert(value: object, kind: type[T]) -> T: ...
@overload
def convert(value: object, kind: Any) -> Any: ...
def convert(value: object, kind: Any) -> Any:
    """
    Plain values (dicts, lists, text) as a document.

    Raises:
        msgspec.ValidationError: they are not of the type.
    """
    decoder_of(kind)
    return msgspec.convert(value, kind)
