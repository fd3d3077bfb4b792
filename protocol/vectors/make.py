"""Writes the golden vectors beside this file: a second implementation of MQP, made from SPEC.md alone.

It shares nothing with the codec in TypeScript, so that an error there cannot hide in its own tests.
  python3 protocol/vectors/make.py          writes
  python3 protocol/vectors/make.py --check  writes nothing, exit 1 when a file differs
In `fields`, bytes are {"hex": "…"} or {"hex": "…", "times": n}, producer and node ids 16 hex digits, absent fields are left out.
"""
import hashlib
import json
import pathlib
import struct
import sys

import admin
import consume
import dead
from wire import *

HERE = pathlib.Path(__file__).parent

# --- [P-2] [P-3] frames and errors -------------------------------------------------------------


def frames():
    return [
        bad("frame", "a length of 7 cannot hold a header", frame(2, length=7), "MALFORMED"),
        bad("frame", "a length of 0", u32(0), "MALFORMED"),
        bad("frame", "a length above the limit is refused by its four bytes alone", u32(1114113), "FRAME_TOO_LARGE"),
        bad("frame", "a length of 2^32 - 1", u32(MAX32), "FRAME_TOO_LARGE"),
        bad("frame", "before HELLO 8,193 is too long", u32(8193), "FRAME_TOO_LARGE", frameBytesMax=8192),
        bad("frame", "an HTTP request is a length above the limit", b"GET / HTTP/1.1\r\n", "FRAME_TOO_LARGE", frameBytesMax=8192),
    ]


def errors():
    return [
        good("response", "error", "an ERROR frame", failed(0x80, 9, 0, "no HELLO came in 5 s", 0),
             {"opcode": 0x80, "correlationId": 0, "code": 9, "retryAfterMs": 0, "message": "no HELLO came in 5 s"}),
        good("response", "error", "a FAILED answer to OPEN_TOPIC with a hint", failed(0x90, 22, 1500, "später noch einmal", 77),
             {"opcode": 0x90, "correlationId": 77, "code": 22, "retryAfterMs": 1500, "message": "später noch einmal"}),
        good("response", "error", "an empty message and a code of a newer node", failed(0x81, 999, MAX32, "", MAX32),
             {"opcode": 0x81, "correlationId": MAX32, "code": 999, "retryAfterMs": MAX32, "message": ""}),
        bad("error", "an error body that ends inside its message", frame(0x80, u16(2) + u32(0) + u16(5) + b"abcd", 0x80), "MALFORMED"),
        bad("error", "an error body with a byte too many", frame(0x80, u16(2) + u32(0) + u16(1) + b"ab", 0x80), "MALFORMED"),
        bad("error", "an error message that is not UTF-8", frame(0x80, u16(2) + u32(0) + u16(1) + b"\xff", 0x80), "MALFORMED"),
        bad("error", "an empty error body", frame(0x80, b"", 0x80), "MALFORMED"),
    ]


# --- [P-4] session -----------------------------------------------------------------------------


def hello_body(magic=b"MQP1", low=1, high=1, producer=0, epoch=0, clock=0, name=b"", mechanism=0, auth=b""):
    return (magic + u16(low) + u16(high) + u64(producer) + u16(epoch) + u64(clock)
            + u8(len(name)) + name + u8(mechanism) + u16(len(auth)) + auth)


def hello_fields(**given):
    fields = {"correlationId": 1, "unordered": False, "versionMin": 1, "versionMax": 1, "producerId": pid(0),
              "epoch": 0, "clientTimeMs": 0, "name": "", "authMechanism": 0, "auth": hexed(b"")}
    return {**fields, **given}


LIMITS = {"frameBytesMax": 1114112, "messageBytesMax": 1048576, "keyBytesMax": 32768, "headersBytesMax": 32768,
          "topicsPerConnectionMax": 1024, "inFlightMessagesMax": 65536, "inFlightBytesMax": 33554432,
          "tailBytesMax": 1048576, "idleTimeoutMs": 300000}
HELLO_MAP = {"nodeId": "n-1", "nodeVersion": "0.1.0", "backend": "embedded", "features": ["tail", "batch"],
             "limits": LIMITS, "serverTimeMs": 1700000000123}


def hello():
    answer = u16(1) + u64(0xDEADBEEF00000001) + u16(7) + u48(2**48 - 1)
    answer_fields = {"correlationId": 1, "version": 1, "producerId": pid(0xDEADBEEF00000001), "epoch": 7,
                     "lastSequence": 2**48 - 1, **HELLO_MAP}
    newer = {**HELLO_MAP, "region": "eu", "limits": {**LIMITS, "newLimit": 1}}
    no_limits = {k: v for k, v in HELLO_MAP.items() if k != "limits"}
    wide = b"\xdf" + u32(6) + pack(HELLO_MAP)[1:]
    huge = hello_body(clock=MAX53 + 1)
    token = hello_body(producer=MAX64, epoch=65535, clock=MAX53, high=9, name="zähler".encode(), mechanism=1, auth=b"s3cret\x00\xff")
    return [
        good("request", "hello", "the smallest HELLO", frame(1, hello_body()), hello_fields()),
        good("request", "hello", "an unordered HELLO with everything in it", frame(1, token, 1, 0, MAX32),
             hello_fields(correlationId=MAX32, unordered=True, versionMax=9, producerId=pid(MAX64), epoch=65535,
                          clientTimeMs=MAX53, name="zähler", authMechanism=1, auth=hexed(b"s3cret\x00\xff"))),
        good("request", "hello", "a name of 255 bytes", frame(1, hello_body(name=b"n" * 255)), hello_fields(name="n" * 255)),
        good("response", "hello-answer", "an answer with every limit", frame(0x81, answer + pack(HELLO_MAP)), answer_fields),
        good("response", "hello-answer", "unknown keys of a newer node are ignored", frame(0x81, answer + pack(newer)), answer_fields, reencode=False),
        good("response", "hello-answer", "a map32 is a map", frame(0x81, answer + wide), answer_fields, reencode=False),
        bad("hello", "another magic", frame(1, hello_body(magic=b"MQP2")), "BAD_MAGIC"),
        bad("hello", "an empty body", frame(1), "BAD_MAGIC"),
        bad("hello", "a first frame that is no HELLO", frame(2, b"MQP1"), "BAD_MAGIC"),
        bad("hello", "an unknown flag", frame(1, hello_body(), 2), "UNKNOWN_FLAGS"),
        bad("hello", "versionMin above versionMax", frame(1, hello_body(low=2)), "MALFORMED"),
        bad("hello", "a proof with the mechanism none", frame(1, hello_body(auth=b"x")), "MALFORMED"),
        bad("hello", "an unknown mechanism", frame(1, hello_body(mechanism=2)), "AUTHENTICATION_FAILED"),
        bad("hello", "a proof of 4,097 bytes", frame(1, hello_body(mechanism=1, auth=b"x" * 4097)), "MALFORMED"),
        bad("hello", "a name that is not UTF-8", frame(1, hello_body(name=b"\xc3\x28")), "MALFORMED"),
        bad("hello", "a clock above 2^53 - 1", frame(1, huge), "MALFORMED"),
        bad("hello", "a byte too few", frame(1, hello_body()[:-1]), "MALFORMED"),
        bad("hello", "a byte too many", frame(1, hello_body() + b"\x00"), "MALFORMED"),
        bad("hello-answer", "a body that ends inside lastSequence", frame(0x81, answer[:-1]), "MALFORMED"),
        bad("hello-answer", "a body without its map", frame(0x81, answer), "MALFORMED"),
        bad("hello-answer", "a map without limits", frame(0x81, answer + pack(no_limits)), "INVALID_ARGUMENT"),
    ]


def ping():
    return [
        good("request", "ping", "an empty PING", frame(2), {"correlationId": 1, "body": hexed(b"")}),
        good("request", "ping", "a PING with bytes", frame(2, b"\x00abc\xff", 0, 0, 9), {"correlationId": 9, "body": hexed(b"\x00abc\xff")}),
        good("response", "pong", "its answer holds the same", frame(0x82, b"\x00abc\xff", 0, 0, 9), {"correlationId": 9, "body": hexed(b"\x00abc\xff")}),
        bad("ping", "an unknown flag", frame(2, b"", 1), "UNKNOWN_FLAGS"),
    ]


def goaway():
    return [
        good("response", "goaway", "a node that drains", frame(3, u16(12) + u32(20000), 0, 0, 0), {"reason": 12, "drainMs": 20000}),
        bad("goaway", "a byte too few", frame(3, u16(12) + u32(20000)[:-1], 0, 0, 0), "MALFORMED"),
        bad("goaway", "a byte too many", frame(3, u16(12) + u32(20000) + b"\x00", 0, 0, 0), "MALFORMED"),
        bad("goaway", "an unknown flag", frame(3, u16(12) + u32(0), 4, 0, 0), "UNKNOWN_FLAGS"),
    ]


def status():
    answer = {"nodeId": "n-1", "uptimeMs": 5000000000, "lanes": [{"lane": 0, "waiting": 300}], "draining": False}
    return [
        good("request", "status", "STATUS", frame(0x60), {"correlationId": 1}),
        good("response", "status-answer", "its answer", frame(0xE0, pack(answer)), {"correlationId": 1, "map": answer}),
        bad("status", "a body", frame(0x60, b"\x80"), "MALFORMED"),
        bad("status", "an unknown flag", frame(0x60, b"", 0x10), "UNKNOWN_FLAGS"),
        bad("status-answer", "an array in place of a map", frame(0xE0, b"\x90"), "MALFORMED"),
    ]


# --- [P-5] topics ------------------------------------------------------------------------------


def open_topic():
    answer = {"name": "orders", "partitions": 4, "messageBytesMax": 1048588, "replicationFactor": 3,
              "minInsyncReplicas": 2, "ack": ["stored", "replicated"], "warnings": []}
    warned = {**answer, "replicationFactor": 1, "warnings": ["replication factor 1: a broker's loss is a message's loss"]}
    longest = "a" * 249
    return [
        good("request", "open-topic", "a topic", frame(0x10, b"orders"), {"correlationId": 1, "name": "orders", "isExisting": False}),
        good("request", "open-topic", "a topic that is not to be made", frame(0x10, b"orders", 1), {"correlationId": 1, "name": "orders", "isExisting": True}),
        good("request", "open-topic", "the longest name", frame(0x10, longest.encode()), {"correlationId": 1, "name": longest, "isExisting": False}),
        good("request", "open-topic", "a name of dots, dashes and underscores", frame(0x10, b"a.b-c_D9"), {"correlationId": 1, "name": "a.b-c_D9", "isExisting": False}),
        good("response", "open-topic-answer", "its id stands in the header", frame(0x90, pack(answer), 0, 1), {"correlationId": 1, "topicId": 1, **answer}),
        good("response", "open-topic-answer", "the highest id, and a warning", frame(0x90, pack(warned), 0, 65535), {"correlationId": 1, "topicId": 65535, **warned}),
        bad("open-topic", "no name", frame(0x10), "INVALID_TOPIC"),
        bad("open-topic", "a name of 250 bytes", frame(0x10, b"a" * 250), "INVALID_TOPIC"),
        bad("open-topic", "a name with a blank", frame(0x10, b"a b"), "INVALID_TOPIC"),
        bad("open-topic", "a name with a letter beyond ASCII", frame(0x10, "größe".encode()), "INVALID_TOPIC"),
        bad("open-topic", "a name that ends in a line feed", frame(0x10, b"orders\n"), "INVALID_TOPIC"),
        bad("open-topic", "two dots", frame(0x10, b".."), "INVALID_TOPIC"),
        bad("open-topic", "a name that is not UTF-8", frame(0x10, b"\xff"), "MALFORMED"),
        bad("open-topic", "an unknown flag", frame(0x10, b"orders", 2), "UNKNOWN_FLAGS"),
        bad("open-topic-answer", "topic id 0", frame(0x90, pack(answer)), "MALFORMED"),
        bad("open-topic-answer", "no partitions", frame(0x90, pack({**answer, "partitions": 0}), 0, 1), "INVALID_ARGUMENT"),
    ]


DESCRIPTION = {"name": "orders",
               "partitions": [{"partition": 0, "startOffset": 5, "endOffset": MAX53, "leader": 1},
                              {"partition": 1, "startOffset": 0, "endOffset": 0}],
               "replicationFactor": 3, "minInsyncReplicas": 2, "messageBytesMax": 1048588,
               "config": {"retention.ms": "604800000"}}


def create_topic():
    full = {"name": "orders", "partitions": 12, "replicationFactor": 3, "config": {"retention.ms": "604800000"}}
    deep = b"\x81" + pack("config") + b"\x91" * 20 + b"\x01"
    wrong = [
        ("a name that is a number", pack({"name": 5}), "INVALID_ARGUMENT"),
        ("no name", pack({"partitions": 1}), "INVALID_ARGUMENT"),
        ("a key that does not exist", pack({"name": "a", "partition": 1}), "INVALID_ARGUMENT"),
        ("no partitions", pack({"name": "a", "partitions": 0}), "INVALID_ARGUMENT"),
        ("half a partition", b"\x82" + pack("name") + pack("a") + pack("partitions") + b"\xcb" + struct.pack(">d", 1.5), "INVALID_ARGUMENT"),
        ("a config value that is a number", pack({"name": "a", "config": {"x": 1}}), "INVALID_ARGUMENT"),
        ("a name that is not allowed", pack({"name": "a/b"}), "INVALID_TOPIC"),
        ("an empty body", b"", "MALFORMED"),
        ("a string in place of a map", pack("name"), "MALFORMED"),
        ("a byte after the map", pack(full) + b"\x00", "MALFORMED"),
        ("a map that ends too early", pack(full)[:-1], "MALFORMED"),
        ("a map32 of 2^32 - 1 entries", b"\xdf" + u32(MAX32), "MALFORMED"),
        ("an array32 of 2^32 - 1 items", b"\x81" + pack("config") + b"\xdd" + u32(MAX32), "MALFORMED"),
        ("a string that promises 4 GiB", b"\x81" + b"\xdb" + u32(MAX32) + b"name", "MALFORMED"),
        ("a key that is a number", b"\x81\x01\x01", "MALFORMED"),
        ("an ext type", b"\x81" + pack("name") + b"\xd4\x01\x00", "MALFORMED"),
        ("the byte that msgpack never uses", b"\x81" + pack("name") + b"\xc1", "MALFORMED"),
        ("arrays 20 levels deep", deep, "MALFORMED"),
        ("a string that ends inside a character", b"\x82" + pack("name") + b"\xa2o\xd0" + pack("partitions") + pack(1), "MALFORMED"),
    ]
    return [
        good("request", "create-topic", "a name alone", frame(0x11, pack({"name": "orders"})), {"correlationId": 1, "name": "orders"}),
        good("request", "create-topic", "everything", frame(0x11, pack(full)), {"correlationId": 1, **full}),
        good("request", "create-topic", "partitions as a float that is whole",
             frame(0x11, b"\x82" + pack("name") + pack("a") + pack("partitions") + b"\xcb" + struct.pack(">d", 4)),
             {"correlationId": 1, "name": "a", "partitions": 4}, reencode=False),
        good("request", "create-topic", "nil is the same as absent", frame(0x11, pack({"name": "a", "partitions": None})),
             {"correlationId": 1, "name": "a"}, reencode=False),
        good("response", "create-topic-answer", "a description", frame(0x91, pack(DESCRIPTION)), {"correlationId": 1, **DESCRIPTION}),
        *[bad("create-topic", name, frame(0x11, raw), error) for name, raw, error in wrong],
        bad("create-topic", "an unknown flag", frame(0x11, pack(full), 1), "UNKNOWN_FLAGS"),
    ]


def describe_topic():
    over = {**DESCRIPTION, "partitions": [{"partition": 0, "startOffset": 2**60, "endOffset": 0}]}
    return [
        good("request", "describe-topic", "a name", frame(0x12, pack({"name": "orders"})), {"correlationId": 1, "name": "orders"}),
        good("response", "describe-topic-answer", "a partition without leader", frame(0x92, pack(DESCRIPTION)), {"correlationId": 1, **DESCRIPTION}),
        bad("describe-topic", "an empty map", frame(0x12, b"\x80"), "INVALID_ARGUMENT"),
        bad("describe-topic-answer", "an offset above 2^53 - 1", frame(0x92, pack(over)), "INVALID_ARGUMENT"),
    ]


def list_topics():
    topics = [{"name": f"t{i:02d}", "partitions": 4} for i in range(17)]
    return [
        good("request", "list-topics", "all", frame(0x13, b"\x80"), {"correlationId": 1}),
        good("request", "list-topics", "the next page of a prefix", frame(0x13, pack({"prefix": "t", "after": "t16"})), {"correlationId": 1, "prefix": "t", "after": "t16"}),
        good("response", "list-topics-answer", "no topics", frame(0x93, pack({"topics": []})), {"correlationId": 1, "topics": [], "more": False}, reencode=False),
        good("response", "list-topics-answer", "17 topics, and more to come", frame(0x93, pack({"topics": topics, "more": True})), {"correlationId": 1, "topics": topics, "more": True}),
        bad("list-topics", "a prefix that is a number", frame(0x13, pack({"prefix": 1})), "INVALID_ARGUMENT"),
        bad("list-topics-answer", "a topic that is a string", frame(0x93, pack({"topics": ["a"]})), "INVALID_ARGUMENT"),
    ]


# --- [P-6] produce -----------------------------------------------------------------------------


def produce_vector(name, sequence, replicated=False, topic=1, correlation=1, **given):
    flags, body = message(**given)
    fields = {"topic": topic, "correlationId": correlation, "sequence": sequence, "replicated": replicated}
    return good("request", "produce", name,
                frame(0x20, u48(sequence) + body, flags | (REPLICATED if replicated else 0), topic, correlation),
                {**fields, **message_fields(**given)})


def produce():
    def broken(name, body, error="MALFORMED", flags=0):
        return bad("produce", name, frame(0x20, body, flags, 1), error)

    return [
        produce_vector("a value alone", 1, value=b"hello"),
        produce_vector("an empty value", 2, value=b""),
        produce_vector("a null value", 3, value=None),
        produce_vector("an empty key is a key", 4, value=b"v", key=b""),
        produce_vector("everything", 2**48 - 1, True, 65535, MAX32, value=bytes(range(256)), key=b"k\x00k", pairs=PAIRS, partition=MAX32),
        produce_vector("everything but a value", 2**32, value=None, key=b"k", pairs=PAIRS, partition=0),
        produce_vector("a long key and the longest header name", 5, value=b"v", key=b"k" * 300, pairs=[("n" * 255, b"x")]),
        broken("sequence 0", u48(0) + b"v"),
        broken("a body that ends inside the sequence", b"\x00\x00\x00\x00\x01"),
        broken("an empty body", b""),
        broken("PARTITION without its bytes", u48(1) + b"\x00\x00\x00", flags=PARTITION),
        broken("KEY without its length", u48(1) + b"\x00", flags=KEY),
        broken("a key longer than the body", u48(1) + u16(6) + b"hello", flags=KEY),
        broken("headers longer than the body", u48(1) + u16(100) + headers(PAIRS), flags=HEADERS),
        broken("a header that ends inside its value", u48(1) + u16(7) + b"\x01a" + u16(9) + b"xxx", flags=HEADERS),
        broken("a header without a name", u48(1) + u16(3) + b"\x00" + u16(0) + b"v", flags=HEADERS),
        broken("a header name that is longer than the headers", u48(1) + u16(2) + b"\x05ab", flags=HEADERS),
        broken("bytes after a null value", u48(1) + b"v", flags=NULL_VALUE),
        produce_vector("due 15 s after acceptance", 6, value=b"v", due=(0, 15000, 0)),
        produce_vector("due at a time, unique by its key, if absent", 7, True, value=b"v", key=b"k", pairs=PAIRS, partition=2, due=(1, MAX53, 64 | 128)),
        produce_vector("due on a level, a null value", 8, value=None, due=(2, 60000, 0)),
        broken("DUE without its bytes", u48(1) + b"\x00" * 8, flags=DUE),
        broken("a due time above 2^53 - 1, which a node refuses alone", u48(1) + u8(0) + u64(2**53) + b"v", flags=DUE),
        broken("an unknown flag", u48(1) + b"v", "UNKNOWN_FLAGS", 0x40),
    ]


def batch_body(sequence, messages, count=None):
    body = u48(sequence) + u16(len(messages) if count is None else count)
    for given in messages:
        flags, raw = message(**given)
        body += u32(1 + len(raw)) + u8(flags) + raw
    return body


def produce_batch():
    mixed = [{"value": b"one"}, {"value": None, "key": b"k"}, {"value": b"", "pairs": PAIRS, "partition": 3}, {"value": b"x" * 300, "due": (0, 1, 0)}]

    def batch_vector(name, sequence, messages, flags=0, topic=1, correlation=1):
        fields = {"topic": topic, "correlationId": correlation, "sequence": sequence, "replicated": flags == REPLICATED,
                  "messages": [message_fields(**given) for given in messages]}
        return good("request", "produce-batch", name, frame(0x21, batch_body(sequence, messages), flags, topic, correlation), fields)

    def broken(name, body, error="MALFORMED", flags=0):
        return bad("produce-batch", name, frame(0x21, body, flags, 1), error)

    one = [{"value": b"v"}]
    return [
        batch_vector("one record", 1, one),
        batch_vector("four records of all kinds, replicated, correlation ids that wrap", 2**40, mixed, REPLICATED, 2, MAX32 - 1),
        batch_vector("the last sequence there is", 2**48 - 1, one),
        broken("count 0", batch_body(1, [])),
        broken("sequence 0", batch_body(0, one)),
        broken("sequences beyond 2^48 - 1", batch_body(2**48 - 1, one * 2)),
        broken("a record too few", batch_body(1, one, 2)),
        broken("a record too many", batch_body(1, one * 2, 1)),
        broken("a record of length 0", u48(1) + u16(1) + u32(0)),
        broken("a record longer than the body", u48(1) + u16(1) + u32(3) + b"\x00v"),
        broken("a record of 4 GiB", u48(1) + u16(1) + u32(MAX32) + b"\x00v"),
        broken("a key that reaches into the next record", u48(1) + u16(2) + u32(4) + u8(KEY) + u16(2) + b"k" + u32(2) + b"\x00v"),
        broken("bytes after a record's null value", u48(1) + u16(1) + u32(2) + u8(NULL_VALUE) + b"v"),
        broken("REPLICATED inside a record", u48(1) + u16(1) + u32(2) + u8(REPLICATED) + b"v", "UNKNOWN_FLAGS"),
        broken("KEY on the frame", batch_body(1, one), "UNKNOWN_FLAGS", KEY),
        broken("a body that ends inside count", u48(1) + b"\x00"),
    ]


def produced():
    def entry(first, count, rest):
        return u32(first) + u16(count) + rest

    def place(cluster, partition, offset, pad=0):
        return u8(cluster) + u8(pad) + u32(partition) + u32(pad) + u64(offset)

    def answer(name, form, raws, entries, **more):
        return good("response", "produced", name, frame(0xA0, b"".join(raws), form, 0, 0), {"form": form, "entries": entries}, **more)

    def broken(name, body, error="MALFORMED", form=0):
        return bad("produced", name, frame(0xA0, body, form, 0, 0), error)

    return [
        answer("a plain run", 0, [entry(1, 500, u16(0))], [{"first": 1, "count": 500}]),
        answer("plain runs, one of which wraps", 0, [entry(MAX32, 65535, u16(0)), entry(70000, 1, u16(0))],
               [{"first": MAX32, "count": 65535}, {"first": 70000, "count": 1}]),
        answer("placed runs, on both clusters", 1, [entry(1, 2, place(0, 3, 10)), entry(3, 1, place(1, MAX32, MAX53))],
               [{"first": 1, "count": 2, "cluster": 0, "partition": 3, "offset": 10},
                {"first": 3, "count": 1, "cluster": 1, "partition": MAX32, "offset": MAX53}]),
        answer("an offset that is not known", 1, [entry(1, 2, place(0, 0, MAX64))],
               [{"first": 1, "count": 2, "cluster": 0, "partition": 0, "offset": -1}]),
        answer("reserved bytes are ignored", 1, [entry(1, 2, place(0, 3, 10, 0xEE))],
               [{"first": 1, "count": 2, "cluster": 0, "partition": 3, "offset": 10}], reencode=False),
        answer("refusals with a hint, an expected sequence, and nothing", 2,
               [entry(1, 1, u16(33) + u64(1500)), entry(2, 9, u16(31) + u64(2**48 - 1)), entry(11, 1, u16(30) + u64(0))],
               [{"first": 1, "count": 1, "code": 33, "detail": 1500}, {"first": 2, "count": 9, "code": 31, "detail": 2**48 - 1},
                {"first": 11, "count": 1, "code": 30, "detail": 0}]),
        answer("delayed messages", 3, [entry(1, 500, u16(0) + u64(1_700_000_000_000)), entry(MAX32, 2, u16(0) + u64(MAX53))],
               [{"first": 1, "count": 500, "acceptedMs": 1_700_000_000_000}, {"first": MAX32, "count": 2, "acceptedMs": MAX53}]),
        broken("a scheduled entry with a code", entry(1, 1, u16(33) + u64(1)), form=3),
        broken("no entry", b""),
        broken("half an entry", entry(1, 1, b"\x00")),
        broken("an entry and a half, placed", entry(1, 1, place(0, 0, 0)) + b"\x00" * 12, form=1),
        broken("a plain entry that covers nothing", entry(1, 0, u16(0))),
        broken("a plain entry with a code", entry(1, 1, u16(33))),
        broken("a refusal with code 0", entry(1, 1, u16(0) + u64(0)), form=2),
        broken("an offset above 2^53 - 1", entry(1, 1, place(0, 0, 2**53)), form=1),
        broken("a hint above 2^53 - 1", entry(1, 1, u16(33) + u64(2**53)), form=2),
        broken("form 4", entry(1, 1, u16(0)), "UNKNOWN_FLAGS", 4),
        broken("form 130", entry(1, 1, u16(0)), "UNKNOWN_FLAGS", 130),
    ]


# --- [P-7] [P-8] tail, the Kafka header, ids -----------------------------------------------------


def tail():
    def request(partition, start, position, most, wait):
        return u32(partition) + u8(start) + u64(position) + u32(most) + u32(wait)

    def request_vector(name, *values, topic=1):
        fields = dict(zip(("partition", "from", "position", "bytesMax", "waitMs"), values))
        return good("request", "tail", name, frame(0x30, request(*values), 0, topic), {"correlationId": 1, "topic": topic, **fields})

    def head(count, following=10):
        return u32(2) + u64(5) + u64(MAX53) + u64(following) + u32(count)

    def answer(name, records, following=10):
        fields = {"correlationId": 1, "partition": 2, "startOffset": 5, "endOffset": MAX53, "nextOffset": following, "count": len(records)}
        raw = head(len(records), following) + b"".join(tail_record(**r) for r in records)
        return good("response", "tail-answer", name, frame(0xB0, raw), {**fields, "records": [tail_fields(**r) for r in records]})

    def broken(name, body, error="MALFORMED", flags=0):
        return bad("tail-answer", name, frame(0xB0, body, flags), error)

    plain = {"offset": 5, "time": 1700000000123, "value": b"one", "id_": (0xFF, 1, 42)}
    one = tail_record(**plain)
    short = u32(16) + u64(5) + u64(0)
    return [
        request_vector("from the beginning", 0, 1, 0, 1048576, 1000),
        request_vector("from the highest offset, on the highest topic", MAX32, 0, MAX53, MAX32, MAX32, topic=65535),
        request_vector("from the end", 3, 2, 0, 1, 0),
        request_vector("from a time", 3, 3, 1700000000123, 65536, 30000),
        answer("nothing came", [], MAX53),
        answer("a record with an id", [plain], 6),
        answer("records of all kinds", [
            plain,
            {"offset": 6, "time": 0, "value": None, "key": b"k"},
            {"offset": 9, "time": MAX53, "value": b"", "key": b"", "pairs": PAIRS, "id_": (MAX64, 65535, 2**48 - 1)},
        ]),
        answer("a key longer than 65,535 bytes, and a header name longer than 255",
               [{"offset": 5, "time": 1, "value": b"v", "key": b"k" * 65536, "pairs": [("n" * 300, None)]}], 6),
        bad("tail", "from 4", frame(0x30, request(0, 4, 0, 1, 0), 0, 1), "INVALID_ARGUMENT"),
        bad("tail", "a position above 2^53 - 1", frame(0x30, request(0, 0, 2**53, 1, 0), 0, 1), "MALFORMED"),
        bad("tail", "a byte too few", frame(0x30, request(0, 0, 0, 1, 0)[:-1], 0, 1), "MALFORMED"),
        bad("tail", "a byte too many", frame(0x30, request(0, 0, 0, 1, 0) + b"\x00", 0, 1), "MALFORMED"),
        bad("tail", "an unknown flag", frame(0x30, request(0, 0, 0, 1, 0), 1, 1), "UNKNOWN_FLAGS"),
        broken("a head that is too short", head(0)[:-1]),
        broken("a nextOffset above 2^53 - 1", head(0, 2**53)),
        broken("a record too few", head(2) + one),
        broken("a record too many", head(1) + one + one),
        broken("a count of 2^32 - 1", head(MAX32) + one),
        broken("a record longer than the body", head(1) + one[:-1]),
        broken("a record that is too short for its head", head(1) + short),
        broken("an id that does not fit its record", head(1) + u32(20) + u64(5) + u64(0) + u8(ID) + b"\x00" * 3),
        broken("a key that does not fit its record", head(1) + u32(22) + u64(5) + u64(0) + u8(KEY) + u32(9) + b"k"),
        broken("a key that reaches into the next record", head(2) + u32(22) + u64(5) + u64(0) + u8(KEY) + u32(9) + b"k" + one),
        broken("headers that do not fit their record", head(1) + u32(22) + u64(5) + u64(0) + u8(HEADERS) + u32(9) + b"h"),
        broken("a header that ends inside its value", head(1) + u32(28) + u64(5) + u64(0) + u8(HEADERS) + u32(7) + u16(1) + b"n" + u32(9)),
        broken("bytes after a null value", head(1) + u32(18) + u64(5) + u64(0) + u8(NULL_VALUE) + b"v"),
        broken("a record with the flag of PARTITION", head(1) + u32(17) + u64(5) + u64(0) + u8(PARTITION), "UNKNOWN_FLAGS"),
        broken("a flag on the frame", head(0), "UNKNOWN_FLAGS", 1),
    ]


def mq_header():
    def raw(producer, epoch, sequence, origin, accepted, due=None, version=1, flags=None):
        tail_ = b"" if due is None else u64(due)
        flags = (0 if due is None else 1) if flags is None else flags
        return u8(version) + u8(flags) + u64(producer) + u16(epoch) + u48(sequence) + u64(origin) + u64(accepted) + tail_

    def fields(producer, epoch, sequence, origin, accepted, due=None):
        out = {"producerId": pid(producer), "epoch": epoch, "sequence": sequence, "originNode": pid(origin), "acceptedMs": accepted}
        return out if due is None else {**out, "dueMs": due}

    small, large = (0xFF, 1, 42, 7, 1700000000123), (MAX64, 65535, 2**48 - 1, MAX64, MAX53, MAX53)
    return [
        good("bytes", "mq-header", "34 bytes", raw(*small), fields(*small)),
        good("bytes", "mq-header", "42 bytes with a due time", raw(*large), fields(*large)),
        bad("mq-header", "version 2", raw(*small, version=2), "UNSUPPORTED_VERSION", framed=False),
        bad("mq-header", "an unknown flag", raw(*small, flags=2), "UNKNOWN_FLAGS", framed=False),
        bad("mq-header", "DUE without its time", raw(*small, flags=1), "MALFORMED", framed=False),
        bad("mq-header", "a time without DUE", raw(*large, flags=0), "MALFORMED", framed=False),
        bad("mq-header", "sequence 0", raw(0xFF, 1, 0, 7, 1), "MALFORMED", framed=False),
        bad("mq-header", "a foreign header of the same name", b"hello", "UNSUPPORTED_VERSION", framed=False),
        bad("mq-header", "an empty header", b"", "MALFORMED", framed=False),
    ]


def message_id():
    def text(value, producer, epoch, sequence):
        return good("bytes", "message-id", value, value.encode(), {"producerId": pid(producer), "epoch": epoch, "sequence": sequence})

    wrong = ["", "ff-1-42", "00000000000000FF-1-42", "00000000000000ff-1-0", "00000000000000ff-01-42", "00000000000000ff-65536-1",
             f"00000000000000ff-1-{2**48}", "00000000000000ff-1-42 ", "00000000000000ff-1", "g0000000000000ff-1-1", "00000000000000ff--1-1"]
    return [
        text("00000000000000ff-1-42", 0xFF, 1, 42),
        text(f"ffffffffffffffff-65535-{2**48 - 1}", MAX64, 65535, 2**48 - 1),
        text("0000000000000000-0-1", 0, 0, 1),
        *[bad("message-id", f"text {json.dumps(value)}", value.encode(), "INVALID_ARGUMENT", framed=False) for value in wrong],
    ]


def murmur2(raw):
    m, mask = 0x5BD1E995, MAX32
    h = (0x9747B28C ^ len(raw)) & mask
    for at in range(0, len(raw) // 4 * 4, 4):
        k = int.from_bytes(raw[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = raw[len(raw) // 4 * 4:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def delay_bytes(kind, name, partition=None, version=1):
    own = (murmur2(name) & 0x7FFFFFFF) % 16
    return u8(version) + u8(own if partition is None else partition) + u8(kind) + bytes(5) + name


def delay_text(raw):
    return b"d1-" + raw.hex().encode()


def delay_id():
    def message_name(producer, epoch, sequence):
        return u64(producer) + u16(epoch) + u48(sequence)

    def of(name, raw):
        return good("bytes", "delay-id", name, delay_text(raw), {"id": hexed(raw)})

    first = message_name(0xFF, 1, 42)
    key = hashlib.sha256(b"orders" + b"\0" + b"o-17").digest()[:16]
    raw = delay_bytes(0, first)
    wrong = {"an empty text": b"", "capitals": delay_text(raw).upper(), "a byte too few": delay_text(raw[:-1]),
             "version 2": delay_text(delay_bytes(0, first, version=2)), "kind 4": delay_text(delay_bytes(4, first)),
             "another partition": delay_text(delay_bytes(0, first, partition=(raw[1] + 1) % 16)),
             "a byte between kind and name": delay_text(raw[:7] + b"\1" + raw[8:])}
    return [
        of("of a message", raw),
        of("of the largest message id", delay_bytes(0, message_name(MAX64, 65535, 2**48 - 1))),
        of("of topic orders and key o-17", delay_bytes(1, key)),
        of("of the series nightly", delay_bytes(2, hashlib.sha256(b"nightly").digest()[:16])),
        of("of a message on a level", delay_bytes(3, first)),
        *[bad("delay-id", name, text, "INVALID_ARGUMENT", framed=False) for name, text in wrong.items()],
    ]


def mq_to():
    mq = u8(1) + u8(1) + u64(0xFF) + u16(1) + u48(42) + u64(7) + u64(1700000000123) + u64(1700000015123)
    id_ = {"producerId": pid(0xFF), "epoch": 1, "sequence": 42, "originNode": pid(7), "acceptedMs": 1700000000123, "dueMs": 1700000015123}

    def raw(flags, rest, version=1, head=mq):
        return u8(version) + u8(flags) + head + rest

    def fields(topic, absent=False, **more):
        return {"nullValue": False, "topic": topic, **more, "ifAbsent": absent, "mq": hexed(mq), "id": id_}

    topic = u8(6) + b"orders"
    full = raw(KEY | PARTITION | 0x80, topic + u32(3) + u16(4) + b"o-17")
    return [
        good("bytes", "mq-to", "a topic alone", raw(0, topic), fields("orders")),
        good("bytes", "mq-to", "everything", full, fields("orders", True, partition=3, key=hexed(b"o-17"))),
        good("bytes", "mq-to", "a null value", raw(8, topic), fields("orders", nullValue=True)),
        good("bytes", "mq-to", "an empty key", raw(KEY, topic + u16(0)), fields("orders", key=hexed(b""))),
        bad("mq-to", "version 2", raw(0, topic, 2), "UNSUPPORTED_VERSION", framed=False),
        bad("mq-to", "an mq header without a due time", raw(0, topic, head=u8(1) + u8(0) + mq[2:]), "MALFORMED", framed=False),
        bad("mq-to", "a byte too many", raw(0, topic + b"x"), "MALFORMED", framed=False),
        bad("mq-to", "a key that is cut", full[:-1], "MALFORMED", framed=False),
        bad("mq-to", "nothing", b"", "MALFORMED", framed=False),
    ]


FILES = {
    "frame": (frames, "P-2.1 P-2.3"), "error": (errors, "P-3.1 P-3.2"), "hello": (hello, "P-4.1 P-4.2"), "ping": (ping, "P-4.3"),
    "goaway": (goaway, "P-4.4"), "status": (status, "P-4.5"), "open-topic": (open_topic, "P-5.1 P-5.5"),
    "create-topic": (create_topic, "P-5.2 P-1.5 P-1.6"), "describe-topic": (describe_topic, "P-5.3"),
    "list-topics": (list_topics, "P-5.4"), "produce": (produce, "P-6.1 P-6.3 P-6.13"), "produce-batch": (produce_batch, "P-6.2"),
    "produced": (produced, "P-6.5 P-6.14"), "tail": (tail, "P-7.1 P-7.2 P-7.3 P-7.4"), "mq-header": (mq_header, "P-8.1"),
    "message-id": (message_id, "P-1.4"), "delay-id": (delay_id, "P-6.15"), "mq-to": (mq_to, "P-8.2"),
    **consume.FILES, **admin.FILES, **dead.FILES,
}


def main():
    differing = 0
    for name, (make, clauses) in FILES.items():
        vectors = make()
        for vector in vectors:
            vector.setdefault("framed", vector["kind"] != "bytes")
        lines = ",\n".join("    " + json.dumps(v, ensure_ascii=False) for v in vectors)
        text = (f'{{\n  "made": "by make.py, from SPEC.md; do not edit",\n  "clauses": {json.dumps(clauses.split())},\n'
                f'  "vectors": [\n{lines}\n  ]\n}}\n')
        path = HERE / f"{name}.json"
        if path.exists() and path.read_text("utf8") == text:
            continue
        differing += 1
        if "--check" in sys.argv:
            print(f"{path.name} is not what make.py gives", file=sys.stderr)
        else:
            path.write_text(text, "utf8")
            print(f"wrote {path.name}: {len(vectors)}")
    return 1 if differing and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
