"""Vectors of subscriptions and leases, from section 12 of SPEC.md."""
from wire import *

TOKEN = bytes(range(1, 49))
OTHER = b"\xff" * 48


def entry(token, *indexes, count=None):
    return token + u16(len(indexes) if count is None else count) + b"".join(map(u16, indexes))


def entry_fields(token, *indexes):
    return {"token": hexed(token), "indexes": list(indexes)}


def subscribe():
    full = {"group": "billing", "topics": ["orders", "a.b-c_D9"], "mode": "key-ordered", "creditMessages": 65536,
            "creditBytes": 67108864, "leaseMs": 43200000, "start": {"timeMs": 1700000000123}, "dedupe": False}
    answer = {"subscription": MAX32, "assigned": 12, "mode": "shared", "creditMessages": 256, "creditBytes": 8388608, "leaseMs": 30000}
    one = {"group": "g", "topics": ["a"]}

    def request(name, map_, **more):
        return good("request", "subscribe", name, frame(0x31, pack(map_)), {"correlationId": 1, **map_}, **more)

    wrong = [
        ("no group", {"topics": ["a"]}, "INVALID_ARGUMENT"),
        ("a group with a slash", {**one, "group": "a/b"}, "INVALID_ARGUMENT"),
        ("a group of 101 letters", {**one, "group": "g" * 101}, "INVALID_ARGUMENT"),
        ("an empty group", {**one, "group": ""}, "INVALID_ARGUMENT"),
        ("a group of the node's own", {**one, "group": "__mine"}, "INVALID_ARGUMENT"),
        ("neither topics nor a prefix", {"group": "g"}, "INVALID_ARGUMENT"),
        ("topics and a prefix", {**one, "prefix": "a"}, "INVALID_ARGUMENT"),
        ("no topic in topics", {**one, "topics": []}, "INVALID_ARGUMENT"),
        ("257 topics", {**one, "topics": ["a"] * 257}, "INVALID_ARGUMENT"),
        ("a topic that is a number", {**one, "topics": [1]}, "INVALID_ARGUMENT"),
        ("a topic that is no name", {**one, "topics": ["a b"]}, "INVALID_TOPIC"),
        ("a mode that does not exist", {**one, "mode": "fair"}, "INVALID_ARGUMENT"),
        ("no credit", {**one, "creditMessages": 0}, "INVALID_ARGUMENT"),
        ("credit for 65,537", {**one, "creditMessages": 65537}, "INVALID_ARGUMENT"),
        ("credit for more than 64 MiB", {**one, "creditBytes": 67108865}, "INVALID_ARGUMENT"),
        ("a lease of 99 ms", {**one, "leaseMs": 99}, "INVALID_ARGUMENT"),
        ("a lease of more than 12 hours", {**one, "leaseMs": 43200001}, "INVALID_ARGUMENT"),
        ("a start that does not exist", {**one, "start": "now"}, "INVALID_ARGUMENT"),
        ("a start with another key", {**one, "start": {"time": 1}}, "INVALID_ARGUMENT"),
        ("a start without its time", {**one, "start": {}}, "INVALID_ARGUMENT"),
        ("a dedupe that is a number", {**one, "dedupe": 1}, "INVALID_ARGUMENT"),
        ("a key that does not exist", {**one, "credit": 1}, "INVALID_ARGUMENT"),
    ]
    return [
        request("a group and a topic", one),
        request("everything", full),
        request("a prefix, from the end", {"group": "g", "prefix": "orders.", "mode": "partition-ordered", "start": "end"}),
        request("the empty prefix is every topic", {"group": "g", "prefix": "", "start": "beginning", "leaseMs": 100, "dedupe": True}),
        request("the longest names", {"group": "g" * 100, "topics": ["t" * 249]}),
        good("request", "subscribe", "nil is the same as absent", frame(0x31, pack({**one, "prefix": None, "mode": None, "start": None, "dedupe": None})),
             {"correlationId": 1, **one}, reencode=False),
        good("response", "subscribe-answer", "what is granted", frame(0xB1, pack(answer)), {"correlationId": 1, **answer}),
        good("response", "subscribe-answer", "unknown keys of a newer node are ignored", frame(0xB1, pack({**answer, "assigned": 0, "epoch": 7})),
             {"correlationId": 1, **answer, "assigned": 0}, reencode=False),
        *[bad("subscribe", name, frame(0x31, pack(map_)), error) for name, map_, error in wrong],
        bad("subscribe", "an empty body", frame(0x31), "MALFORMED"),
        bad("subscribe", "an unknown flag", frame(0x31, pack(one), 1), "UNKNOWN_FLAGS"),
        bad("subscribe-answer", "a mode of a newer node", frame(0xB1, pack({**answer, "mode": "fair"})), "INVALID_ARGUMENT"),
        bad("subscribe-answer", "no subscription", frame(0xB1, pack({k: v for k, v in answer.items() if k != "subscription"})), "INVALID_ARGUMENT"),
    ]


def unsubscribe():
    return [
        good("request", "unsubscribe", "a subscription", frame(0x32, pack({"subscription": 3})), {"correlationId": 1, "subscription": 3}),
        good("response", "unsubscribe-answer", "an empty map", frame(0xB2, b"\x80"), {"correlationId": 1}),
        bad("unsubscribe", "an empty map", frame(0x32, b"\x80"), "INVALID_ARGUMENT"),
        bad("unsubscribe", "a key that does not exist", frame(0x32, pack({"subscription": 3, "now": True})), "INVALID_ARGUMENT"),
        bad("unsubscribe", "an empty body", frame(0x32), "MALFORMED"),
        bad("unsubscribe-answer", "an empty body", frame(0xB2), "MALFORMED"),
    ]


def assigned():
    def of(map_):
        return frame(0x39, pack(map_), 0, 0, 0)

    some = {"subscription": 1, "assigned": 4, "topics": ["orders", "orders.eu"]}
    none = {"subscription": 1, "assigned": 0, "topics": []}
    ended = {**none, "ended": {"code": 21, "message": "orders is gone"}}
    return [
        good("response", "assigned", "four partitions", of(some), some),
        good("response", "assigned", "a node that waits to take over", of(none), none),
        good("response", "assigned", "a subscription that the node ended", of(ended), ended),
        bad("assigned", "no topics", of({"subscription": 1, "assigned": 0}), "INVALID_ARGUMENT"),
        bad("assigned", "an end without a code", of({**none, "ended": {"message": ""}}), "INVALID_ARGUMENT"),
        bad("assigned", "an array in place of a map", frame(0x39, b"\x90", 0, 0, 0), "MALFORMED"),
        bad("assigned", "an unknown flag", frame(0x39, pack(some), 1, 0, 0), "UNKNOWN_FLAGS"),
    ]


def credit():
    def of(subscription, messages, size):
        return frame(0x37, u32(subscription) + u32(messages) + u32(size))

    def vector(name, *values):
        return good("request", "credit", name, of(*values), {"correlationId": 1, **dict(zip(("subscription", "messages", "bytes"), values))})

    return [
        vector("some", 1, 200, 1048576),
        vector("the most there is", MAX32, 65536, 67108864),
        vector("nothing for now", 1, 0, 0),
        bad("credit", "65,537 messages", of(1, 65537, 1), "INVALID_ARGUMENT"),
        bad("credit", "2^32 - 1 bytes", of(1, 1, MAX32), "INVALID_ARGUMENT"),
        bad("credit", "a byte too few", frame(0x37, u32(1) + u32(1) + b"\x00" * 3), "MALFORMED"),
        bad("credit", "a byte too many", frame(0x37, u32(1) + u32(1) + u32(1) + b"\x00"), "MALFORMED"),
        bad("credit", "an unknown flag", frame(0x37, u32(1) + u32(1) + u32(1), 1), "UNKNOWN_FLAGS"),
    ]


def run(first, records, attempts, topic=b"orders", cluster=0, partition=0, token=TOKEN, count=None, length=None):
    raw = b"".join(tail_record(**r) for r in records)
    return (u16(len(topic)) + topic + u8(cluster) + u32(partition) + token + u64(first)
            + u16(len(records) if count is None else count) + u32(len(raw) if length is None else length)
            + b"".join(map(u16, attempts)) + raw)


def run_fields(first, records, attempts, topic=b"orders", cluster=0, partition=0, token=TOKEN):
    read = [{"index": r["offset"] - first, "attempt": a, **tail_fields(**r)} for r, a in zip(records, attempts)]
    return {"topic": topic.decode(), "cluster": cluster, "partition": partition, "token": hexed(token), "firstOffset": first, "records": read}


def deliver():
    def vector(name, subscription, *runs):
        raw = u32(subscription) + b"".join(run(**r) for r in runs)
        return good("response", "deliver", name, frame(0x33, raw, 0, 0, 0), {"subscription": subscription, "runs": [run_fields(**r) for r in runs]})

    def broken(name, raw, error="MALFORMED", flags=0):
        return bad("deliver", name, frame(0x33, u32(1) + raw, flags, 0, 0), error)

    plain = {"offset": 5, "time": 1700000000123, "value": b"one", "id_": (0xFF, 1, 42)}
    null = {"offset": 6, "time": 0, "value": None, "key": b"k"}
    full = {"offset": 65540, "time": MAX53, "value": b"", "key": b"", "pairs": PAIRS, "id_": (MAX64, 65535, 2**48 - 1)}
    one = {"first": 5, "records": [plain], "attempts": [1]}
    raw = run(**one)
    return [
        vector("one message", 1, one),
        vector("runs of two partitions and of the backup cluster", MAX32,
               {"first": 5, "records": [plain, null], "attempts": [1, 65535]},
               {"first": 5, "records": [null, full], "attempts": [2, 1], "cluster": 1, "partition": MAX32, "token": OTHER},
               {"first": MAX53 - 1, "records": [{**plain, "offset": MAX53}], "attempts": [3], "topic": b"t" * 249, "partition": 7}),
        vector("indexes up to 65,535 with a gap", 2, {"first": 5, "records": [plain, full], "attempts": [1, 1]}),
        broken("no run", b""),
        bad("deliver", "a body that ends inside subscription", frame(0x33, b"\x00\x00\x01", 0, 0, 0), "MALFORMED"),
        broken("a topic longer than the body", u16(9) + b"orders"),
        broken("a head that ends inside the token", raw[:40]),
        broken("a run without records", run(5, [], [])),
        broken("attempts that do not fit", raw[:75]),
        broken("records longer than the body", raw[:-1]),
        broken("a record too few", run(5, [plain], [1, 1], count=2)),
        broken("a record too many", run(5, [plain, null], [1], count=1)),
        broken("a length that ends inside a record", run(5, [plain], [1], length=10)),
        broken("an offset below the first", run(6, [plain], [1])),
        broken("an offset 65,536 behind the first", run(5, [{**plain, "offset": 65541}], [1])),
        broken("offsets that do not rise", run(5, [plain, plain], [1, 1])),
        broken("attempt 0", run(5, [plain], [0])),
        broken("a first offset above 2^53 - 1", run(2**53, [plain], [1])),
        broken("a byte after the last run", raw + b"\x00"),
        broken("a flag on the frame", raw, "UNKNOWN_FLAGS", 1),
    ]


def broken_entries(type_, opcode, head=b""):
    def broken(name, raw, error="MALFORMED", flags=0):
        return bad(type_, name, frame(opcode, head + raw, flags), error)

    return [
        broken("no entry", b""),
        broken("an entry that ends inside its token", TOKEN[:-1]),
        broken("an entry without its count", TOKEN + b"\x00"),
        broken("an entry that names nothing", entry(TOKEN)),
        broken("an index too few", entry(TOKEN, 1, 2, count=3)),
        broken("a byte too many", entry(TOKEN, 1) + b"\x00"),
        broken("a second entry that names nothing", entry(TOKEN, 1) + entry(OTHER)),
        broken("an unknown flag", entry(TOKEN, 1), "UNKNOWN_FLAGS", 2),
    ]


LISTS = [("one message", [(TOKEN, 0)]), ("messages of two runs in any order", [(TOKEN, 65535, 0, 7), (OTHER, 1)]), ("a run twice", [(TOKEN, 1), (TOKEN, 1)])]


def raw_of(entries):
    return b"".join(entry(*e) for e in entries)


def fields_of(entries):
    return [entry_fields(*e) for e in entries]


def settled_answers(type_, opcode):
    def owner(place, node):
        return u16(place) + u8(len(node)) + node

    def answer(name, failures, owners=()):
        raw = u16(len(failures)) + b"".join(u16(n) for f in failures for n in f) + b"".join(owner(p, n.encode()) for p, n in owners)
        fields = {"correlationId": 1, "failures": [dict(zip(("entry", "index", "code"), f)) for f in failures],
                  "owners": [{"entry": p, "node": n} for p, n in owners]}
        return good("response", type_, name, frame(opcode, raw), fields)

    def broken(name, raw, error="MALFORMED", flags=0):
        return bad(type_, name, frame(opcode, raw, flags), error)

    return [
        answer("all good", []),
        answer("three messages failed, one is another node's", [(0, 5, 42), (0, 65535, 43), (65535, 0, 44)], [(65535, "n-2")]),
        broken("an empty body", b""),
        broken("a failure too few", u16(2) + u16(0) + u16(1) + u16(42)),
        broken("a failure with code 0", u16(1) + u16(0) + u16(1) + u16(0)),
        broken("an owner that ends inside its name", u16(0) + u16(0) + u8(4) + b"n-2"),
        broken("an owner that is not UTF-8", u16(0) + u16(0) + u8(1) + b"\xff"),
        broken("a flag", u16(0), "UNKNOWN_FLAGS", 1),
    ]


def ack():
    def vector(name, entries, flags=0):
        return good("request", "ack", name, frame(0x34, raw_of(entries), flags), {"correlationId": 1, "committed": flags == 1, "entries": fields_of(entries)})

    return [
        *[vector(name, entries) for name, entries in LISTS],
        vector("answered after the commit", LISTS[1][1], 1),
        *broken_entries("ack", 0x34),
        *settled_answers("ack-answer", 0xB4),
    ]


def nack():
    def head(delay, reason):
        return u32(delay) + u16(len(reason)) + reason

    def vector(name, entries, delay=MAX32, reason="", flags=0):
        fields = {"correlationId": 1, "dead": flags == 1, "reason": reason, "entries": fields_of(entries)}
        if delay != MAX32:
            fields["delayMs"] = delay
        return good("request", "nack", name, frame(0x35, head(delay, reason.encode()) + raw_of(entries), flags), fields)

    return [
        *[vector(name, entries) for name, entries in LISTS],
        vector("at once", LISTS[0][1], 0),
        vector("after the longest delay, with a reason", LISTS[1][1], MAX32 - 1, "später: Datenbank weg"),
        vector("to the dead letters", LISTS[0][1], 0, "r" * 1024, 1),
        *broken_entries("nack", 0x35, head(0, b"no")),
        bad("nack", "an empty body", frame(0x35), "MALFORMED"),
        bad("nack", "a reason longer than the body", frame(0x35, u32(0) + u16(9) + b"no"), "MALFORMED"),
        bad("nack", "a reason that is not UTF-8", frame(0x35, head(0, b"\xff") + entry(TOKEN, 1)), "MALFORMED"),
        bad("nack", "a reason of 1,025 bytes", frame(0x35, head(0, b"r" * 1025) + entry(TOKEN, 1)), "INVALID_ARGUMENT"),
        *settled_answers("nack-answer", 0xB5),
    ]


def extend():
    def vector(name, entries, lease=30000):
        return good("request", "extend", name, frame(0x36, u32(lease) + raw_of(entries)), {"correlationId": 1, "leaseMs": lease, "entries": fields_of(entries)})

    return [
        *[vector(name, entries) for name, entries in LISTS],
        vector("the shortest lease", LISTS[0][1], 100),
        vector("the longest lease", LISTS[0][1], 43200000),
        *broken_entries("extend", 0x36, u32(1000)),
        bad("extend", "an empty body", frame(0x36), "MALFORMED"),
        bad("extend", "a lease of 99 ms", frame(0x36, u32(99) + entry(TOKEN, 1)), "INVALID_ARGUMENT"),
        bad("extend", "a lease of 2^32 - 1", frame(0x36, u32(MAX32) + entry(TOKEN, 1)), "INVALID_ARGUMENT"),
        *settled_answers("extend-answer", 0xB6),
    ]


def commit():
    def vector(name, token, index, flags=0):
        return good("request", "commit", name, frame(0x38, token + u16(index), flags),
                    {"correlationId": 1, "committed": flags == 1, "token": hexed(token), "index": index})

    return [
        vector("a message", TOKEN, 0),
        vector("the last index, answered after the commit", OTHER, 65535, 1),
        bad("commit", "a byte too few", frame(0x38, TOKEN + b"\x00"), "MALFORMED"),
        bad("commit", "a byte too many", frame(0x38, TOKEN + u16(1) + b"\x00"), "MALFORMED"),
        bad("commit", "an unknown flag", frame(0x38, TOKEN + u16(1), 2), "UNKNOWN_FLAGS"),
        *settled_answers("commit-answer", 0xB8),
    ]


FILES = {
    "subscribe": (subscribe, "P-12.1 P-12.2 P-12.3"), "unsubscribe": (unsubscribe, "P-12.5"), "assigned": (assigned, "P-12.4"),
    "credit": (credit, "P-12.6"), "deliver": (deliver, "P-12.7 P-7.3 P-7.4"), "ack": (ack, "P-12.9 P-12.10"), "nack": (nack, "P-12.11 P-12.10"),
    "extend": (extend, "P-12.12 P-12.10"), "commit": (commit, "P-12.13 P-12.10"),
}
