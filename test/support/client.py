"""A whole MQP client without dependencies, from protocol/SPEC.md, "A client in an afternoon".
client.py HOST PORT produce TOPIC < LINES  |  client.py HOST PORT tail TOPIC COUNT [PARTITION]"""
import queue, socket, struct, sys, threading, time

def frame(opcode, body, topic=0, correlation=1):
    return struct.pack(">IBBHI", 8 + len(body), opcode, 0, topic, correlation) + body

def read():
    if len(head := stream.read(12)) < 12:
        sys.exit("the node closed the connection: what is unanswered is UNKNOWN")
    length, opcode, flags, topic, _ = struct.unpack(">IBBHI", head)
    if not 8 <= length <= 1114112:
        sys.exit(f"a frame of {length} bytes")
    body = stream.read(length - 8)
    if flags & 0x80:
        code, retry_ms, size = struct.unpack_from(">HIH", body)
        sys.exit(f"refused: code {code}, retry after {retry_ms} ms: {body[8 : 8 + size].decode()}")
    return (opcode, flags, topic, body) if opcode != 3 else read()  # after GOAWAY answers still come

def ask(request):
    return sock.sendall(request) or read()

def send(topic, lines):  # sequence and correlation id are the line's number, from 1
    n = len(lines) + 1
    while True:
        while n > len(lines) or not rewinds.empty():
            n, wait_ms = rewinds.get()
            time.sleep(wait_ms / 1000)
        sock.sendall(frame(0x20, n.to_bytes(6, "big") + lines[n - 1], topic, n))
        n += 1

def produce(topic, lines):
    left = len(lines)
    rewinds.put((1, 0))
    threading.Thread(target=send, args=(topic, lines), daemon=True).start()
    while left > 0:  # answers are read while lines are sent, or both sides could wait for ever
        _, form, _, body = read()
        for at in range(0, len(body), (8, 24, 16)[form]):
            first, count, code = struct.unpack_from(">IHH", body, at)
            left -= count if form < 2 else 0
            if form == 2 and code in (1, 12, 22, 33, 41):  # retriable: wait and go back to this line
                rewinds.put((first, max(10, *struct.unpack_from(">Q", body, at + 8))))
            elif form == 2 and code != 31:  # OUT_OF_SEQUENCE: behind it, is sent again
                sys.exit(f"line {first}: refused with code {code}")

def tail(topic, wanted, partition=0):
    start, position = 1, 0
    while wanted > 0:
        request = struct.pack(">IBQII", partition, start, position, 1 << 20, 1000)
        body = ask(frame(0x30, request, topic))[3]
        start, position, at = 0, *struct.unpack_from(">Q", body, 20), 32
        while at < len(body) and wanted > 0:
            length, flags = struct.unpack_from(">I16xB", body, at)
            value, at, wanted = at + 21 + 16 * (flags >> 6 & 1), at + 4 + length, wanted - 1
            for _ in range((flags & 1) + (flags >> 1 & 1)):  # key and headers are skipped
                value += 4 + struct.unpack_from(">I", body, value)[0]
            sys.stdout.buffer.write(body[value:at] + b"\n")

sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
stream, rewinds = sock.makefile("rb"), queue.SimpleQueue()
verb, name, *rest = sys.argv[3:]
ask(frame(1, struct.pack(">4sHHQHQB2s3x", b"MQP1", 1, 1, 0, 0, int(time.time() * 1000), 2, b"py")))
opened = ask(frame(0x10, name.encode()))[2]
if verb == "produce":
    produce(opened, [line.rstrip(b"\n") for line in sys.stdin.buffer])
else:
    tail(opened, *map(int, rest))
