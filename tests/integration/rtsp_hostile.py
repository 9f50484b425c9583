#!/usr/bin/python3
"""A camera that lies: mutated replies, descriptions, RTP and RTCP, another way in each session.

Prints "port N". The sessions follow from --seed: the same seed and order give the same bytes. Ends with its
standard input.
"""
import argparse
import asyncio
import random
import struct
import sys

SDP = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\na=control:*\r\nt=0 0\r\n"
       "m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=control:a\r\n"
       "m=video 0 RTP/AVP %d\r\na=rtpmap:%d %s/90000\r\n"
       "a=fmtp:%d packetization-mode=1;sprop-parameter-sets=Z0IAHpWoKA9k,aM48gA==\r\n"
       "a=framerate:25\r\na=control:v\r\n")
CODECS = [(96, "H264"), (96, "H265"), (26, "JPEG"), (96, "MP4V-ES")]
NASTY = [b"\0", b"\r\n", b"\n\n", b":", b"$", b"%s%n%x", b"A" * 5000, b"99999999999999999999", b"-1",
         b"\xff" * 9, b"=\"", b";;;;", b"rtsp://", b"Content-Length: 4294967295\r\n", b"m=video 0 RTP/AVP 96\r\n",
         b"a=fmtp:96 sprop-parameter-sets=" + b"A" * 3000 + b"\r\n", b"interleaved=0-0", b"Session: \x01\r\n"]


def mutate(dice, data):
    """A few changes of random kinds; often none."""
    data = bytearray(data)
    for _ in range(dice.choice([0, 0, 0, 1, 1, 2, 5, 20])):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at:at + dice.choice([1, 2, 10, 100])]
        elif kind == 2:
            data[at:at] = dice.choice(NASTY)
        elif kind == 3:
            data[at:at] = data[at:at + dice.randrange(1, 200)]
        elif kind == 4:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 40)))
        elif at < len(data):
            data[at] ^= 1 << dice.randrange(8)
    return bytes(data)


def payload(dice, codec):
    noise = bytes(dice.randrange(256) for _ in range(dice.choice([0, 1, 2, 3, 8, 40, 400])))
    starts = {
        "H264": [b"\x67", b"\x68", b"\x65", b"\x41", b"\x7c\x85", b"\x7c\x05", b"\x7c\x45", b"\x7c\xc5",
                 b"\x78\0\4\x67abc\0\2\x68a", b"\x78\xff\xff", b"\x79\0\0\0\2\x65a", b"\x7d\x85\0\0", b"\x1f", b""],
        "H265": [b"\x40\1", b"\x42\1", b"\x26\1", b"\2\1", b"\x62\1\x93", b"\x62\1\x13", b"\x62\1\x53",
                 b"\x60\1\0\3\x40\1a\xff\xff", b"\x60\1\0", b"\x64\1", b""],
        "JPEG": [b"\0\0\0\0\1\x32\x28\x1e", b"\0\0\0\x10\1\x32\x28\x1e", b"\0\0\0\0\1\xff\x28\x1e\0\0\0\x80",
                 b"\0\0\0\0\1\xff\x28\x1e\0\0\xff\xff", b"\0\0\0\0\x41\x32\x28\x1e\0\1\xc0\0", b"\0\xff\xff\xff\1\x32\0\0"],
        "MP4V-ES": [b"\0\0\1\xb0\1", b"\0\0\1\xb6\x10", b"\0\0\1\xb6\x50", b"\0\0\1", b""],
    }
    return dice.choice(starts[codec]) + noise


def frames(dice, kind, codec):
    sequence, timestamp = dice.randrange(65536), dice.randrange(1 << 32)
    for _ in range(dice.choice([0, 1, 20, 200])):
        sequence = (sequence + dice.choice([1, 1, 1, 1, 1, 1, 2, 0, -1, 5000])) % 65536
        timestamp = (timestamp + dice.choice([0, 0, 3600, 3600, -3600, 1 << 31, 90000 * 1000])) % (1 << 32)
        first = dice.choice([0x80, 0x80, 0x80, 0x80, 0x80, 0x90, 0xa0, 0x8f, 0x40])
        marker = dice.choice([0, 0x80])
        body = struct.pack(">BBHII", first, marker | kind, sequence, timestamp, dice.choice([7, 7, 7, 8]))
        body += payload(dice, codec)
        channel = 0
        if dice.random() < 0.1:
            channel = 1
            body = dice.choice([
                struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, dice.randrange(1 << 32), 0, timestamp, 1, 1),
                struct.pack(">BBHI", 0x81, dice.choice([201, 202, 204, 192]), 1, 7),
                struct.pack(">BBH", 0x80, 200, 0xffff), b""])
        if dice.random() < 0.1:
            body = mutate(dice, body)[:65535]
        yield bytes([0x24, channel]) + struct.pack(">H", len(body)) + body
    if dice.random() < 0.3:
        yield b"$\1\0\x08" + struct.pack(">BBHI", 0x81, 203, 1, 7)
    if dice.random() < 0.3:
        yield dice.choice(NASTY)


def reply(dice, request, kind, codec):
    method = request.split(b" ", 1)[0]
    sequence = next((line.split(b":", 1)[1].strip() for line in request.split(b"\r\n")
                     if line.lower().startswith(b"cseq:")), b"0")
    status, headers, body = b"200 OK", b"", b""
    if dice.random() < 0.08 and method != b"OPTIONS":
        status = dice.choice([b"401 Unauthorized", b"302 Found", b"404 Not Found", b"461 X", b"100 Continue"])
        headers = dice.choice([
            b'WWW-Authenticate: Digest realm="r", nonce="n%d"\r\n' % dice.randrange(9),
            b'WWW-Authenticate: Digest realm="r", nonce="n%d", stale=true, qop="auth"\r\n' % dice.randrange(99),
            b'WWW-Authenticate: Basic realm="r"\r\n', b"Location: rtsp://u:p@x/\r\n", b""])
    elif method == b"DESCRIBE":
        text = (SDP % (kind, kind, codec, kind)).encode()
        body = mutate(dice, text) if dice.random() < 0.3 else text
        headers = b"Content-Base: rtsp://127.0.0.1/x/\r\n"
    elif method == b"SETUP":
        headers = b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=%d\r\n" % dice.choice([1, 60])
    elif method == b"OPTIONS":
        headers = b"Public: DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
    if body:
        headers += b"Content-Length: %d\r\n" % len(body)
    whole = b"RTSP/1.0 " + status + b"\r\nCSeq: " + sequence + b"\r\n" + headers + b"\r\n" + body
    if method == b"PLAY":
        whole += b"".join(frames(dice, kind, codec))
    return mutate(dice, whole) if dice.random() < 0.15 else whole


class Camera:
    def __init__(self, seed):
        self.seed = seed
        self.sessions = 0

    async def serve(self, reader, writer):
        dice = random.Random(self.seed * 1000003 + self.sessions)
        self.sessions += 1
        kind, codec = dice.choice(CODECS)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                while request[:1] == b"$" and len(request) > 4:
                    request = request[4 + struct.unpack(">H", request[2:4])[0]:]
                if dice.random() < 0.03:
                    break
                if dice.random() < 0.03:
                    continue
                data = reply(dice, request, kind, codec)
                cut = dice.choice([len(data), len(data), 1 + len(data) // 2, 100])
                for at in range(0, len(data), max(cut, 1)):
                    writer.write(data[at:at + max(cut, 1)])
                    await writer.drain()
                if request.startswith(b"TEARDOWN") or (request.startswith(b"PLAY") and dice.random() < 0.5):
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    camera = Camera(options.seed)
    server = await asyncio.start_server(camera.serve, "127.0.0.1", 0, backlog=64)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print("sessions", camera.sessions, flush=True)
    server.close()


asyncio.run(main())
