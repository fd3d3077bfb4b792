"""Vectors of groups, dead letters and delays, from sections 8, 13 and 14 of SPEC.md."""
from wire import *

BAD = "INVALID_ARGUMENT"
GROUP = ("a group", {"group": "billing"})
WRONG_GROUP = [("no group", {}, BAD), ("a group with a blank", {"group": "a b"}, BAD)]
DONE = ("an empty map", {})


def list_groups():
    one = {"group": "billing", "state": "active", "mode": "shared", "subscriptions": 16}
    idle = {"group": "old", "state": "idle", "subscriptions": 0}
    return map_message("list-groups", 0x40, [("all", {}), ("the next page of a prefix", {"prefix": "b", "after": "billing"})],
                       [("no groups", {"groups": []}), ("two, and more to come", {"groups": [one, idle], "more": True})],
                       [("a prefix that is a number", {"prefix": 1}, BAD)],
                       [("a group without a name", {"groups": [{"state": "idle", "subscriptions": 0}]}, BAD), ("no groups at all", {}, BAD)])


def describe_group():
    member = {"subscription": 1, "client": "worker-1", "peer": "10.0.0.1:5000", "creditMessages": 200, "out": 17, "idleMs": 5}
    place = {"cluster": 0, "topic": "orders", "partition": 0, "floor": 5, "endOffset": MAX53, "lag": 1000, "out": 17, "node": "n-1"}
    bare = {"cluster": 1, "topic": "orders", "partition": MAX32, "floor": 0}
    full = {"group": "billing", "state": "active", "mode": "key-ordered", "members": [member], "partitions": [place, bare]}
    held = {"group": "old", "state": "paused", "paused": {"by": "ops", "from": "10.0.0.1:5000", "atMs": MAX53}, "members": [], "partitions": []}
    return map_message("describe-group", 0x41, [GROUP],
                       [("members and partitions", full), ("an idle one", {"group": "old", "state": "idle", "members": [], "partitions": []}),
                        ("a paused one", held), ("what a newer node says is kept", {**full, "region": {"name": "eu"}})],
                       WRONG_GROUP, [("a partition without a floor", {**full, "partitions": [{"cluster": 0, "topic": "a", "partition": 0}]}, BAD),
                                     ("paused by nobody", {**held, "paused": {"atMs": 1}}, BAD)])


def pause_group():
    return map_message("pause-group", 0x42, [GROUP], [DONE], WRONG_GROUP)


def resume_group():
    return map_message("resume-group", 0x43, [GROUP], [DONE], WRONG_GROUP)


def reset_group():
    base = {"group": "billing", "topic": "orders"}
    moved = {"partitions": [{"cluster": 0, "partition": 0, "offset": 5}, {"cluster": 1, "partition": 0, "offset": MAX53}]}
    return map_message("reset-group", 0x44,
                       [("to the beginning", {**base, "to": "beginning"}), ("one partition to an offset", {**base, "partition": 3, "to": {"offset": MAX53}}),
                        ("to a time", {**base, "to": {"timeMs": 1700000000123}}), ("to the end", {**base, "to": "end"})],
                       [("where it goes on", moved)],
                       [("no place", base, BAD), ("a place that does not exist", {**base, "to": "now"}, BAD), ("no topic", {"group": "g", "to": "end"}, BAD),
                        ("two places", {**base, "to": {"offset": 1, "timeMs": 1}}, BAD), ("half an offset", {**base, "to": {"offset": 0.5}}, BAD),
                        ("a topic that is no name", {**base, "topic": "..", "to": "end"}, "INVALID_TOPIC")],
                       [("a partition without an offset", {"partitions": [{"cluster": 0, "partition": 0}]}, BAD)])


def delete_group():
    return map_message("delete-group", 0x45, [GROUP], [DONE], WRONG_GROUP)


OF = {"topic": "orders", "group": "billing"}
FILTER = {"id": "00000000000000ff-1-42", "reason": "time", "fingerprint": "c0ffee", "fromMs": 1, "toMs": MAX53, "partition": 3, "key": b"k\x00"}
WRONG_DEAD = [("no group", {"topic": "orders"}, BAD), ("no topic", {"group": "billing"}, BAD), ("a filter that is a string", {**OF, "filter": "x"}, BAD),
              ("a filter with a key that does not exist", {**OF, "filter": {"why": "x"}}, BAD), ("a time that is a string", {**OF, "filter": {"fromMs": "1"}}, BAD)]


def list_dead():
    letter = {"cluster": 0, "partition": 3, "offset": 17, "id": "00000000000000ff-1-42", "cause": "nack", "reason": "timeout", "attempts": 16,
              "origin": {"cluster": 1, "topic": "orders", "partition": 3, "offset": MAX53}, "firstFailureMs": 1700000000123, "lastFailureMs": 1700000000999,
              "fingerprint": "c0ffee", "valueBytes": 3}
    shown_ = {**letter, "key": b"k\x00", "value": b"\xff\x00v"}
    null = {**letter, "value": None}
    return map_message("list-dead", 0x46, [("of a group", OF), ("everything", {**OF, "filter": FILTER, "limit": 1000, "cursor": "3:17", "values": True})],
                       [("none", {"messages": []}), ("a page with more to come", {"messages": [letter], "cursor": "3:18"}), ("with values", {"messages": [shown_, null]})],
                       [*WRONG_DEAD, ("a limit of 1,001", {**OF, "limit": 1001}, BAD), ("a limit of 0", {**OF, "limit": 0}, BAD)],
                       [("a letter without its origin", {"messages": [{k: v for k, v in letter.items() if k != "origin"}]}, BAD)])


def redrive_dead():
    progress = {"job": "r-1", "state": "running", "scanned": 100, "matched": 60, "moved": 17}
    return map_message("redrive-dead", 0x47, [("how a job is doing", {"job": "r-1"}), ("all of a group", OF),
                                              ("everything", {**OF, "filter": FILTER, "ratePerSecond": 100, "limit": 5000, "dryRun": True})],
                       [("progress", progress), ("a dry run", {"state": "done", "scanned": 9, "matched": 2, "moved": 0}),
                        ("one that failed", {**progress, "state": "failed", "error": "the topic is gone"})],
                       [*WRONG_DEAD, ("a job and a topic", {**OF, "job": "r-1"}, BAD), ("a rate of 0", {**OF, "ratePerSecond": 0}, BAD)],
                       [("no state", {"scanned": 0, "matched": 0, "moved": 0}, BAD)])


def purge_dead():
    return map_message("purge-dead", 0x48, [("all of a group", OF), ("counting only", {**OF, "filter": {"toMs": 5}, "dryRun": True})],
                       [("how many", {"matched": 9, "purged": 9})], WRONG_DEAD, [("no count", {"matched": 9}, BAD)])


DELAY_ID = "d1-" + "01070000" + "00" * 4 + "00000000000000ff" + "0001" + "00000000002a"
BY_ID, BY_KEY = {"id": DELAY_ID}, {"topic": "orders", "key": "k-1"}
RAW_KEY = ("by topic and a key of bytes", {"topic": "orders", "key": b"\xff\x00"})
WRONG_REF = [("neither id nor key", {}, BAD), ("an id and a key", {**BY_ID, **BY_KEY}, BAD), ("a key without a topic", {"key": "k"}, BAD),
             ("a topic without a key", {"topic": "orders"}, BAD), ("a key that is a number", {"topic": "orders", "key": 1}, BAD)]
DELAYED = {"id": DELAY_ID, "topic": "orders", "dueMs": 1700000015123, "acceptedMs": 1700000000123, "messageId": "00000000000000ff-1-42", "valueBytes": 3}


def ref_vectors(type_, opcode, more, answers, wrong, wrong_answers):
    def string_key():
        fields = {"correlationId": 1, **BY_KEY, **more, "key": hexed(b"k-1")}
        return good("request", type_, "by topic and key", frame(opcode, pack({**BY_KEY, **more})), fields, reencode=False)

    refs = [("by id", {**BY_ID, **more}), (RAW_KEY[0], {**RAW_KEY[1], **more})]
    return [string_key(), *map_message(type_, opcode, refs, answers, [(n, {**m, **more}, e) for n, m, e in WRONG_REF] + wrong, wrong_answers)]


def get_delayed():
    full = {**DELAYED, "firstDueMs": 1700000010123, "key": b"k-1", "partition": 3, "cluster": 0, "value": b"\xffv\x00"}
    return ref_vectors("get-delayed", 0x50, {}, [("a delayed message", {"delay": DELAYED}), ("with everything", {"delay": full}), ("a null value", {"delay": {**full, "value": None}})],
                       [], [("no message", {}, BAD), ("a message without its due time", {"delay": {k: v for k, v in DELAYED.items() if k != "dueMs"}}, BAD)])


def list_delayed():
    return map_message("list-delayed", 0x51, [("all", {}), ("a page", {"topic": "orders", "fromMs": 5, "toMs": MAX53, "limit": 1000, "cursor": "c"})],
                       [("none", {"delays": []}), ("two, and more to come", {"delays": [DELAYED, DELAYED], "cursor": "c-2"}), ("of one cluster alone", {"delays": [DELAYED], "unreachable": [0]})],
                       [("a topic that is no name", {"topic": "a b"}, "INVALID_TOPIC"), ("a time that is a string", {"fromMs": "now"}, BAD), ("a limit of 1,001", {"limit": 1001}, BAD)],
                       [("a cursor that is a number", {"delays": [], "cursor": 1}, BAD)])


def delay_stats():
    return map_message("delay-stats", 0x52, [("of all", {}), ("of a topic", {"topic": "orders"})],
                       [("nothing pends", {"pending": 0}), ("some", {"pending": 10000000, "nextDueMs": 1700000000123}), ("of one cluster alone", {"pending": 1, "clusters": [{"cluster": 1, "pending": 1}], "unreachable": [0]}),
                        ("counted in part, and stuck", {"pending": 400000, "atLeast": True, "nextDueMs": 1700000000123, "stuckTopics": ["orders"]})],
                       [("a topic that is no name", {"topic": ""}, "INVALID_TOPIC")],
                       [("no count", {}, BAD), ("at least a number", {"pending": 1, "atLeast": 1}, BAD), ("a stuck topic that is a number", {"pending": 1, "stuckTopics": [1]}, BAD)])


def cancel_delayed():
    return ref_vectors("cancel-delayed", 0x53, {}, [(o, {"outcome": o}) for o in ("cancelled", "tooLate", "notFound", "accepted")], [], [("no outcome", {}, BAD)])


def move_delayed():
    return ref_vectors("move-delayed", 0x54, {"dueMs": 1700000000123}, [("moved", {"outcome": "moved", "dueMs": 1700000000123}), ("too late", {"outcome": "tooLate"})],
                       [("neither a time nor a delay", BY_ID, BAD), ("a time and a delay", {**BY_ID, "dueMs": 1, "delayMs": 1}, BAD), ("a time that is a string", {**BY_ID, "dueMs": "1"}, BAD)],
                       [("no outcome", {"dueMs": 1}, BAD)])


def schedule_series():
    base = {"topic": "orders", "value": b"tick"}
    full = {"series": "nightly", "topic": "orders", "key": b"k", "value": None, "every": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}, "count": 10,
            "untilMs": MAX53, "missed": "skip"}

    def wrong(name, every):
        return (name, {**base, "every": every}, BAD)

    return map_message("schedule-series", 0x55,
                       [("every second", {**base, "every": {"intervalMs": 1000}}), ("by cron", full), ("cron without a time zone", {**base, "every": {"cron": "* * * * *"}}),
                        ("growing intervals", {**base, "every": {"firstMs": 1000, "factor": 1.5, "maxMs": 60000}, "missed": "all"}),
                        ("growing without end", {**base, "every": {"firstMs": 1000, "factor": 2}, "missed": "once"})],
                       [("the first firing", {"series": "nightly", "nextMs": 1700000000123})],
                       [("no value", {"topic": "orders", "every": {"intervalMs": 1000}}, BAD), ("a value that is a number", {**base, "value": 1, "every": {"intervalMs": 1000}}, BAD),
                        ("no interval", base, BAD), wrong("an interval of 999 ms", {"intervalMs": 999}), wrong("an empty rule", {}),
                        wrong("an interval and cron", {"intervalMs": 1000, "cron": "* * * * *"}), wrong("a factor below 1", {"firstMs": 1000, "factor": 0.5}),
                        wrong("a longest interval below the first", {"firstMs": 2000, "factor": 2, "maxMs": 1000}), wrong("a rule that is a string", "daily"),
                        ("no firing", {**base, "every": {"intervalMs": 1000}, "count": 0}, BAD), ("a policy that does not exist", {**base, "every": {"intervalMs": 1000}, "missed": "none"}, BAD)],
                       [("no next firing", {"series": "nightly"}, BAD)])


def cancel_series():
    return map_message("cancel-series", 0x56, [("a series", {"series": "nightly"}), ("one firing", {"series": "nightly", "number": 7})],
                       [("cancelled", {"outcome": "cancelled"})], [("no series", {}, BAD), ("firing 0", {"series": "a", "number": 0}, BAD)], [("no outcome", {}, BAD)])


def list_series():
    one = {"series": "nightly", "topic": "orders", "every": {"intervalMs": 1000}, "fired": 7, "nextMs": 1700000000123, "missed": "once"}
    return map_message("list-series", 0x57, [("all", {}), ("a page", {"limit": 1, "cursor": "c"})], [("none", {"series": []}), ("one, and more to come", {"series": [one], "cursor": "c-2"}), ("of one cluster alone", {"series": [], "unreachable": [0]})],
                       [("a limit of 0", {"limit": 0}, BAD)], [("a series that is a string", {"series": ["nightly"]}, BAD)])


def mq_rule():
    first = {"version": 1, "series": "nightly", "every": {"intervalMs": 1000}, "missed": "once", "fired": 0}
    cron = {**first, "every": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}, "missed": "skip", "fired": 7, "count": 10, "untilMs": MAX53, "cancelled": [9, 10]}
    growing = {**first, "every": {"firstMs": 1000, "factor": 1.5, "maxMs": 60000}, "missed": "all", "fired": MAX53}

    def fields(map_):
        return {key: value for key, value in map_.items() if key != "version"}

    def broken(name, map_, error=BAD):
        return bad("mq-rule", name, pack(map_), error, framed=False)

    return [
        *[good("bytes", "mq-rule", name, pack(it), fields(it)) for name, it in (("an interval", first), ("everything", cron), ("growing intervals", growing))],
        good("bytes", "mq-rule", "a key that a newer node wrote is ignored", pack({**first, "later": True}), fields(first), reencode=False),
        broken("version 2", {**first, "version": 2}, "UNSUPPORTED_VERSION"),
        broken("no rule", {key: value for key, value in first.items() if key != "every"}),
        broken("a policy that does not exist", {**first, "missed": "none"}),
        broken("no policy", {key: value for key, value in first.items() if key != "missed"}),
        broken("firing 0 is cancelled", {**first, "cancelled": [0]}, "MALFORMED"),
        broken("what is cancelled is no array", {**first, "cancelled": 7}, "MALFORMED"),
        bad("mq-rule", "a foreign header of the same name", b"hello", "MALFORMED", framed=False),
        bad("mq-rule", "a map cut short", pack(first)[:-1], "MALFORMED", framed=False),
    ]


def cluster_status():
    one = {"cluster": "primary", "circuit": "open", "sinceMs": 1700000000123, "openings": 2, "why": "it has not answered for 3.1 s", "trustedInMs": 1500, "openTopics": ["orders"]}
    two = {"cluster": "backup", "circuit": "closed", "sinceMs": 1700000000000, "openings": 0, "why": "", "trustedInMs": None, "openTopics": []}
    full = {"inUse": "backup", "use": "auto", "setBy": None, "setAtMs": None, "switches": 1, "changedAtMs": 1700000000200, "clusters": [one, two],
            "elsewhere": [{"topic": "payments", "cluster": "primary"}]}
    return full


def clusters():
    full = cluster_status()
    return map_message("clusters", 0x61, [("empty", {})], [("on the backup", full), ("what a newer node says is kept", {**full, "region": "eu"})],
                       [("an unknown key", {"cluster": "primary"}, BAD)], [("no cluster in use", {k: v for k, v in full.items() if k != "inUse"}, BAD)])


def use_cluster():
    full = {**cluster_status(), "use": "backup", "setBy": "ops", "setAtMs": 1700000000300}
    return map_message("use-cluster", 0x62, [("by hand", {"use": "backup"}), ("by itself", {"use": "auto"})], [("set", full)],
                       [("no use", {}, BAD), ("a third cluster", {"use": "third"}, BAD), ("a number", {"use": 1}, BAD)],
                       [("clusters that are strings", {**full, "clusters": ["primary"]}, BAD)])


def list_aside():
    topic = {"topic": "orders", "lane": 0, "messages": 2, "bytes": 600, "sinceMs": 1700000000123}
    one = {"id": "00000000000000ff-1-42", "topic": "orders", "lane": 0, "acceptedMs": 1700000000000, "asideMs": 1700000000123, "code": "PARKED", "reason": "", "flags": 0, "body": b"v"}
    return map_message("list-aside", 0x63, [("by topic", {"log": "parked"}), ("a page", {"log": "undeliverable", "topic": "orders", "limit": 10, "cursor": "0/7"})],
                       [("nothing", {"topics": [], "messages": []}), ("one, and more to come", {"topics": [topic], "messages": [one], "cursor": "0/8"})],
                       [("no log", {}, BAD), ("a third log", {"log": "dead"}, BAD), ("an unknown key", {"log": "parked", "lane": 0}, BAD)],
                       [("topics that are strings", {"topics": ["orders"], "messages": []}, BAD), ("a body that is a string", {"topics": [], "messages": [{**one, "body": "v"}]}, BAD)])


def retry_aside():
    return map_message("retry-aside", 0x64, [("all", {"log": "undeliverable"}), ("a topic", {"log": "parked", "topic": "orders"})], [("two", {"messages": 2})],
                       [("no log", {"topic": "orders"}, BAD)], [("no number", {}, BAD)])


def purge_aside():
    return map_message("purge-aside", 0x65, [("a topic", {"log": "undeliverable", "topic": "orders"})], [("none", {"messages": 0})],
                       [("no topic", {"log": "undeliverable"}, BAD)], [("a number that is a string", {"messages": "2"}, BAD)])


FILES = {
    "list-groups": (list_groups, "P-13.1"), "describe-group": (describe_group, "P-13.2"), "pause-group": (pause_group, "P-13.3"), "resume-group": (resume_group, "P-13.3"),
    "reset-group": (reset_group, "P-13.4"), "delete-group": (delete_group, "P-13.5"), "list-dead": (list_dead, "P-13.6"), "redrive-dead": (redrive_dead, "P-13.7"),
    "purge-dead": (purge_dead, "P-13.8"), "get-delayed": (get_delayed, "P-14.1 P-14.2"), "list-delayed": (list_delayed, "P-14.3"), "delay-stats": (delay_stats, "P-14.4"),
    "cancel-delayed": (cancel_delayed, "P-14.5"), "move-delayed": (move_delayed, "P-14.6"), "schedule-series": (schedule_series, "P-14.7"),
    "cancel-series": (cancel_series, "P-14.8"), "list-series": (list_series, "P-14.9"),
    "mq-rule": (mq_rule, "P-8.5"),
    "clusters": (clusters, "P-15.1"), "use-cluster": (use_cluster, "P-15.2"),
    "list-aside": (list_aside, "P-16.1"), "retry-aside": (retry_aside, "P-16.2"), "purge-aside": (purge_aside, "P-16.3"),
}
