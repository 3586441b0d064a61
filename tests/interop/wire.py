"""The lowest layer: the accepted part of CBOR, frames, error codes, names."""

import re
import struct
import unicodedata

import cbor2

MAX_DEPTH = 16
FRAME_BYTES = 65_536
MEMBER_FRAME_BYTES = 1_048_576
EVENT_BYTES = 65_536

CODES = {
    "done": 0, "bad-message": 1, "bad-record": 2, "too-large": 3, "unsupported": 4, "bad-cursor": 5,
    "bad-query": 6, "bad-name": 7, "not-member": 16, "bad-credentials": 17, "name-taken": 18,
    "identity-in-use": 19, "not-owner": 20, "not-allowed": 21, "other-network": 22,
    "signup-closed": 23, "bad-password": 24, "other-account": 25, "not-found": 32, "no-holder": 33,
    "self-owned": 34, "changed": 35, "out-of-range": 36, "stale-version": 37, "superseded": 38,
    "busy": 48, "quota": 49, "rate-limited": 50, "unavailable": 51, "timeout": 52, "internal": 64,
    "shutting-down": 65, "cancelled": 66, "replaced": 67,
}  # fmt: skip
NAMES = {number: name for name, number in CODES.items()}


class Refused(Exception):
    """An E, a reset of a stream or the end of a connection, with the name of its code."""

    def __init__(self, code: str, text: str = "", retry_after_ms: int | None = None):
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text
        self.retry_after_ms = retry_after_ms

    @classmethod
    def numbered(cls, number: int, text: str = "", retry_after_ms: int | None = None) -> "Refused":
        return cls(NAMES.get(number, "internal"), text, retry_after_ms)


# CBOR


def encode(value) -> bytes:
    """One CBOR item: definite lengths, shortest heads, keys of maps in the order of the dict."""
    return cbor2.dumps(value)


def decode(data: bytes):
    """Reads exactly one item of the accepted part of CBOR; anything else is `bad-message`."""
    reader = _Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise Refused("bad-message", "bytes after the item")
    return value


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def item(self, depth: int):
        head = self._take(1)[0]
        major, low = head >> 5, head & 31
        if major == 7:
            return self._simple(head)
        argument = self._argument(low)
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 2:
            return self._take(argument)
        if major == 3:
            return self._text(argument)
        if major == 6:
            raise Refused("bad-message", "a tag")
        if depth == MAX_DEPTH:
            raise Refused("bad-message", "too deep")
        if major == 4:
            return [self.item(depth + 1) for _ in self._count(argument)]
        return self._map(argument, depth)

    def _take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Refused("bad-message", "the item is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def _argument(self, low: int) -> int:
        if low < 24:
            return low
        if low > 27:
            raise Refused("bad-message", "an indefinite or reserved length")
        size = 1 << (low - 24)
        value = int.from_bytes(self._take(size), "big")
        shortest = 24 if size == 1 else 1 << (4 * size)
        if value < shortest:
            raise Refused("bad-message", "not the shortest form")
        return value

    def _count(self, count: int) -> range:
        """Each element has a byte at least, so that no count asks for more than has arrived."""
        if count > len(self.data) - self.at:
            raise Refused("bad-message", "the item is cut off")
        return range(count)

    def _simple(self, head: int):
        if head not in (0xF4, 0xF5, 0xF6):
            raise Refused("bad-message", "a float or a simple value")
        return {0xF4: False, 0xF5: True, 0xF6: None}[head]

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise Refused("bad-message", "text that is not UTF-8") from error

    def _map(self, count: int, depth: int) -> dict:
        result = {}
        for _ in self._count(count):
            key = self.item(depth + 1)
            if type(key) not in (int, str):
                raise Refused("bad-message", "a key that is neither integer nor text")
            if key in result:
                raise Refused("bad-message", "a key occurs twice")
            result[key] = self.item(depth + 1)
        return result


# Frames and messages


def frame(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def message(name: str, body) -> bytes:
    return frame(encode({name: body}))


def error(refused: Refused) -> bytes:
    body = {"code": CODES[refused.code], "text": refused.text}
    if refused.retry_after_ms is not None:
        body["retry_after_ms"] = refused.retry_after_ms
    return message("E", body)


def read_message(content: bytes) -> tuple[str, dict]:
    """The name and the body of a message; fields that are `null` are left out."""
    item = decode(content)
    if type(item) is not dict or len(item) != 1:
        raise Refused("bad-message", "no map of one entry")
    ((name, body),) = item.items()
    if type(name) is not str or type(body) is not dict:
        raise Refused("bad-message", "no name with a body")
    if any(type(key) is not str or len(key.encode()) > 4096 for key in body):
        raise Refused("bad-message", "a key that is no name of a field")
    return name, {key: value for key, value in body.items() if value is not None}


def read_event(content: bytes) -> dict | None:
    """The bundle of an event that tells of a record; `None` for any other event."""
    item = decode(content)
    if type(item) is not dict or len(item) != 1 or type(name := next(iter(item))) is not str:
        raise Refused("bad-message", "no map of one entry")
    if name != "record":
        return None
    _, bundle = read_message(content)
    field(bundle, "record", bytes)
    return bundle


def field(body: dict, key: str, kind: type, size: int | None = None):
    """A field that has to be there, of a type and, if given, of a size."""
    value = body.get(key)
    if type(value) is not kind or (size is not None and len(value) != size):
        raise Refused("bad-message", f"the field {key}")
    return value


# Names


def is_user_name(text) -> bool:
    return type(text) is str and re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,31}", text) is not None


_HIDDEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800),
    (0x3164, 0x3164), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F),
)  # fmt: skip


_DEVICES = r"(?ai:con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³])"


def is_resource_name(text) -> bool:
    return (
        type(text) is str
        and text not in ("", ".", "..")
        and len(text.encode()) <= 255
        and not any(unicodedata.category(char) == "Cc" or char in '/\\:*?"<>|' for char in text)
        and not any(low <= ord(char) <= high for char in text for low, high in _HIDDEN)
        and not text[0].isspace()
        and not text[-1].isspace()
        and not text.endswith(".")
        and not _is_device(text)
        and unicodedata.is_normalized("NFC", text)
    )


def _is_device(text: str) -> bool:
    stem = text.split(".")[0].rstrip(" ")
    return re.fullmatch(_DEVICES, stem) is not None
