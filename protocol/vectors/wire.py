"""What the makers of vectors share: numbers, frames, msgpack, messages and records, from SPEC.md alone."""
import struct

MAX53 = 2**53 - 1
MAX64 = 2**64 - 1
MAX32 = 2**32 - 1


def u8(n):
    return struct.pack(">B", n)


def u16(n):
    return struct.pack(">H", n)


def u32(n):
    return struct.pack(">I", n)


def u48(n):
    return struct.pack(">Q", n)[2:]


def u64(n):
    return struct.pack(">Q", n)


def frame(opcode, body=b"", flags=0, topic=0, correlation=1, length=None):
    head = struct.pack(">BBHI", opcode, flags, topic, correlation)
    return u32(len(head) + len(body) if length is None else length) + head + body


def pack(value):
    """msgpack in its shortest form; integers above 2^32 - 1 as float 64."""
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value <= 0x7F:
            return u8(value)
        if 0 <= value <= 0xFF:
            return b"\xcc" + u8(value)
        if 0 <= value <= 0xFFFF:
            return b"\xcd" + u16(value)
        if 0 <= value <= MAX32:
            return b"\xce" + u32(value)
        if value > 0:
            return b"\xcb" + struct.pack(">d", value)
        raise ValueError("no vector needs a negative number")
    if isinstance(value, str):
        raw = value.encode()
        if len(raw) < 32:
            return u8(0xA0 | len(raw)) + raw
        return (b"\xd9" + u8(len(raw)) if len(raw) < 256 else b"\xda" + u16(len(raw))) + raw
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return (b"\xc4" + u8(len(value)) if len(value) < 256 else b"\xc5" + u16(len(value))) + value
    if isinstance(value, list):
        head = u8(0x90 | len(value)) if len(value) < 16 else b"\xdc" + u16(len(value))
        return head + b"".join(map(pack, value))
    if isinstance(value, dict):
        head = u8(0x80 | len(value)) if len(value) < 16 else b"\xde" + u16(len(value))
        return head + b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(value)


def hexed(raw):
    if len(raw) > 1000 and raw == raw[:1] * len(raw):
        return {"hex": raw[:1].hex(), "times": len(raw)}
    return {"hex": raw.hex()}


def shown(value):
    """A map as it stands in `fields`."""
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, list):
        return [shown(item) for item in value]
    return {k: shown(v) for k, v in value.items()} if isinstance(value, dict) else value


def map_message(type_, opcode, requests, answers, wrong, wrong_answers=()):
    """Vectors of an opcode whose request and answer are maps: (name, map) and (name, map, error)."""
    return [
        *[good("request", type_, name, frame(opcode, pack(m)), {"correlationId": 1, **shown(m)}) for name, m in requests],
        *[good("response", f"{type_}-answer", name, frame(opcode | 0x80, pack(m)), {"correlationId": 1, **shown(m)}) for name, m in answers],
        *[bad(type_, name, frame(opcode, pack(m)), error) for name, m, error in wrong],
        bad(type_, "a key that does not exist", frame(opcode, pack({**requests[-1][1], "colour": 1})), "INVALID_ARGUMENT"),
        bad(type_, "an empty body", frame(opcode), "MALFORMED"),
        bad(type_, "an unknown flag", frame(opcode, pack(requests[0][1]), 1), "UNKNOWN_FLAGS"),
        *[bad(f"{type_}-answer", name, frame(opcode | 0x80, pack(m)), error) for name, m, error in wrong_answers],
        bad(f"{type_}-answer", "an array in place of a map", frame(opcode | 0x80, b"\x90"), "MALFORMED"),
    ]


def pid(n):
    return f"{n:016x}"


def good(kind, type_, name, raw, fields, **more):
    return {"name": name, "kind": kind, "type": type_, "hex": raw.hex(), "fields": fields, **more}


def bad(type_, name, raw, error, **more):
    return {"name": name, "kind": "malformed", "type": type_, "hex": raw.hex(), "error": error, **more}


def failed(opcode, code, retry, message, correlation=1):
    raw = message.encode()
    return frame(opcode, u16(code) + u32(retry) + u16(len(raw)) + raw, 0x80, 0, correlation)


KEY, HEADERS, PARTITION, NULL_VALUE, REPLICATED, DUE, ID = 1, 2, 4, 8, 16, 32, 64


def headers(pairs):
    out = b""
    for name, value in pairs:
        raw = name.encode()
        out += u8(len(raw)) + raw + (u16(0xFFFF) if value is None else u16(len(value)) + value)
    return out


def message(value, key=None, pairs=None, partition=None, due=None):
    flags, body = 0, b""
    if due is not None:
        kind, time, more = due
        flags, body = DUE, u8(kind | more) + u64(time)
    if partition is not None:
        flags, body = flags | PARTITION, body + u32(partition)
    if key is not None:
        flags, body = flags | KEY, body + u16(len(key)) + key
    if pairs:
        packed = headers(pairs)
        flags, body = flags | HEADERS, body + u16(len(packed)) + packed
    if value is None:
        return flags | NULL_VALUE, body
    return flags, body + value


def message_fields(value, key=None, pairs=None, partition=None, due=None):
    fields = {"headers": [{"name": n, "value": None if v is None else hexed(v)} for n, v in pairs or []],
              "value": None if value is None else hexed(value)}
    if key is not None:
        fields["key"] = hexed(key)
    if partition is not None:
        fields["partition"] = partition
    if due is not None:
        kind, time, more = due
        fields["due"] = {"kind": kind, "due": time, **({"unique": True} if more & 64 else {}), **({"ifAbsent": True} if more & 128 else {})}
    return fields


PAIRS = [("trace", b"\x01\x02"), ("empty", b""), ("null", None), ("trace", b"again"), ("größe", "ü".encode())]


def tail_record(offset, time, value, key=None, pairs=None, id_=None):
    flags, body = 0, b""
    if id_ is not None:
        flags, body = flags | ID, body + u64(id_[0]) + u16(id_[1]) + u48(id_[2])
    if key is not None:
        flags, body = flags | KEY, body + u32(len(key)) + key
    if pairs:
        packed = b""
        for name, item in pairs:
            raw = name.encode()
            packed += u16(len(raw)) + raw + (u32(MAX32) if item is None else u32(len(item)) + item)
        flags, body = flags | HEADERS, body + u32(len(packed)) + packed
    if value is None:
        flags |= NULL_VALUE
    body = u64(offset) + u64(time) + u8(flags) + body + (value or b"")
    return u32(len(body)) + body


def tail_fields(offset, time, value, key=None, pairs=None, id_=None):
    fields = {"offset": offset, "timestampMs": time, **message_fields(value, key, pairs)}
    if id_ is not None:
        fields["id"] = {"producerId": pid(id_[0]), "epoch": id_[1], "sequence": id_[2]}
    return fields
