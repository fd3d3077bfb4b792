"""Makes the vectors of dead letters and long retries, from SPEC.md alone."""
from wire import MAX53, bad, good, pack, pid, u16, u48, u64


def dead_header():
    def header(**more):
        return {"version": 1, "group": "billing", "cause": "nack", "reason": "no such customer: 42", "attempts": 16,
                "cluster": 0, "topic": "orders", "partition": 3, "offset": 70000, "timestampMs": 1700000000000,
                "firstFailureMs": 1700000001000, "lastFailureMs": 1700000009000, "fingerprint": "0123456789abcdef", **more}

    def fields(map_):
        out = {key: value for key, value in map_.items() if key != "version"}
        if "id" in out:
            out["id"] = {"producerId": pid(0xFF), "epoch": 1, "sequence": 42}
        return out

    plain = header()
    with_id = header(id=u64(0xFF) + u16(1) + u48(42))
    largest = header(cause="expiry", reason="", attempts=65535, cluster=1, partition=2**32 - 1, offset=MAX53)
    grown = header(later=True)

    def broken(name, map_, error="INVALID_ARGUMENT"):
        return bad("dead-header", name, pack(map_), error, framed=False)

    return [
        good("bytes", "dead-header", "of a record without an id", pack(plain), fields(plain)),
        good("bytes", "dead-header", "with the id that the message had", pack(with_id), fields(with_id)),
        good("bytes", "dead-header", "leases that ran out, at the largest place", pack(largest), fields(largest)),
        good("bytes", "dead-header", "a key that a newer node wrote is ignored", pack(grown), fields(header()), reencode=False),
        broken("version 2", header(version=2), "UNSUPPORTED_VERSION"),
        broken("a cause that is none", header(cause="bored"), "MALFORMED"),
        broken("an id of 15 bytes", header(id=b"\x01" * 15), "MALFORMED"),
        broken("a group that is a number", header(group=7)),
        broken("an offset below 0 is no number here", header(offset="-1")),
        bad("dead-header", "a foreign header of the same name", b"hello", "MALFORMED", framed=False),
        bad("dead-header", "an empty header", b"", "MALFORMED", framed=False),
        bad("dead-header", "a map cut short", pack(plain)[:-1], "MALFORMED", framed=False),
        bad("dead-header", "bytes behind the map", pack(plain) + b"\x00", "MALFORMED", framed=False),
    ]


def retry_header():
    def header(**more):
        return {"version": 1, "group": "billing", "attempts": 3, "topic": "orders", "partition": 3, "offset": 70000,
                "timestampMs": 1700000000000, "firstFailureMs": 1700000001000, **more}

    def fields(map_):
        return {key: value for key, value in map_.items() if key != "version"}

    plain = header()
    largest = header(attempts=65535, partition=2**32 - 1, offset=MAX53)

    def broken(name, map_, error="INVALID_ARGUMENT"):
        return bad("retry-header", name, pack(map_), error, framed=False)

    return [
        good("bytes", "retry-header", "of a message that failed three times", pack(plain), fields(plain)),
        good("bytes", "retry-header", "at the largest place", pack(largest), fields(largest)),
        good("bytes", "retry-header", "a key that a newer node wrote is ignored", pack(header(later=True)), fields(plain), reencode=False),
        broken("version 2", header(version=2), "UNSUPPORTED_VERSION"),
        broken("a group that is a number", header(group=7)),
        broken("an offset that is text", header(offset="-1")),
        bad("retry-header", "a foreign header of the same name", b"hello", "MALFORMED", framed=False),
        bad("retry-header", "an empty header", b"", "MALFORMED", framed=False),
        bad("retry-header", "a map cut short", pack(plain)[:-1], "MALFORMED", framed=False),
    ]


FILES = {"dead-header": (dead_header, "P-8.3"), "retry-header": (retry_header, "P-8.4")}
