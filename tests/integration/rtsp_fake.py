#!/usr/bin/python3
"""A scripted RTSP camera for what GStreamer's server cannot be: SHA-256 sign-in, redirects, RTP over UDP
that is lost, doubled or never sent.

Prints "port N", then one line for each request. Its pictures are no video: the client counts packets. Ends with its
standard input.
"""
import argparse
import hashlib
import random
import re
import socket
import socketserver
import struct
import sys
import threading
import time

SDP = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
       b"a=rtpmap:96 H264/90000\r\na=control:v\r\n")
options = None


def rtp(sequence):
    """A picture of one packet; every 25th is a key."""
    kind = 0x65 if sequence % 25 == 0 else 0x61
    return struct.pack(">BBHII", 0x80, 0xe0, sequence % 65536, sequence * 3600, 7) + bytes([kind, 0x88, 0x84, 0x21])


def shuffled(pictures):
    """Loses, doubles and swaps neighbours, the same way each time."""
    dice = random.Random(1)
    order = []
    for sequence in range(pictures):
        if sequence and dice.random() * 100 < options.lose:
            continue
        order.append(sequence)
        if dice.random() * 100 < options.double:
            order.append(sequence)
    for at in range(1, len(order) - 1):
        if dice.random() * 100 < options.swap:
            order[at], order[at + 1] = order[at + 1], order[at]
    return order


class Camera(socketserver.StreamRequestHandler):
    def say(self, line):
        print(line, flush=True)

    def reply(self, status, headers=b"", body=b""):
        if body:
            headers += b"Content-Length: %d\r\n" % len(body)
        self.wfile.write(b"RTSP/1.0 " + status + b"\r\nCSeq: " + self.sequence + b"\r\n" + headers + b"\r\n" + body)
        self.wfile.flush()

    def signed(self, method):
        if options.auth == "none":
            return True
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', self.headers.get("authorization", "")))

        def digest(text):
            return hashlib.sha256(text.encode()).hexdigest()
        secret = digest("camera:r:" + options.password)
        wanted = digest(":".join([secret, "n", given.get("nc", ""), given.get("cnonce", ""), "auth",
                                  digest(method + ":" + given.get("uri", ""))]))
        if given.get("response") == wanted:
            return True
        self.reply(b"401 Unauthorized", b'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=MD5\r\n'
                   b'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"\r\n')
        return False

    def play_udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for sequence in shuffled(options.pictures):
                sender.sendto(rtp(sequence), ("127.0.0.1", self.udp_port))
                time.sleep(0.002)

    def play_tcp(self):
        for sequence in range(options.pictures):
            data = rtp(sequence)
            self.wfile.write(b"$\0" + struct.pack(">H", len(data)) + data)
        self.wfile.flush()

    def set_up(self):
        transport = self.headers.get("transport", "")
        udp = re.search(r"client_port=(\d+)", transport)
        self.udp_port = int(udp.group(1)) if udp else 0
        if ("udp" if udp else "tcp") in options.refuse:
            self.reply(b"461 Unsupported Transport")
        elif udp:
            self.reply(b"200 OK", b"Session: 1\r\nTransport: RTP/AVP;unicast;client_port=%d-%d;"
                       b"server_port=50000-50001\r\n" % (self.udp_port, self.udp_port + 1))
        else:
            self.reply(b"200 OK", b"Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")

    def play(self):
        self.reply(b"200 OK", b"Session: 1\r\n")
        if self.udp_port == 0:
            self.play_tcp()
        elif not options.silent_udp:
            threading.Thread(target=self.play_udp, daemon=True).start()

    def answer(self, method):
        self.say(method + (" signed" if "authorization" in self.headers else ""))
        if options.redirect and method == "DESCRIBE":
            target = options.redirect.replace("PORT", str(self.server.server_address[1]))
            self.reply(b"302 Moved", b"Location: " + target.encode() + b"\r\n")
        elif method == "OPTIONS":
            self.reply(b"200 OK", b"Public: DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n")
        elif not self.signed(method):
            pass
        elif method == "DESCRIBE":
            self.reply(b"200 OK", b"", SDP)
        elif method == "SETUP":
            self.set_up()
        elif method == "PLAY":
            self.play()
        else:
            self.reply(b"200 OK", b"Session: 1\r\n")

    def handle(self):
        while True:
            head = self.rfile.peek(1)[:1]
            if head == b"$":
                frame = self.rfile.read(4)
                self.rfile.read(struct.unpack(">H", frame[2:])[0])
                continue
            line = self.rfile.readline().decode("latin-1")
            if not line:
                return
            self.headers = {}
            for header in iter(lambda: self.rfile.readline().decode("latin-1").strip(), ""):
                name, _, value = header.partition(":")
                self.headers[name.lower()] = value.strip()
            self.sequence = self.headers.get("cseq", "0").encode()
            self.answer(line.split(" ", 1)[0])


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--auth", choices=["none", "sha256"], default="none")
    parser.add_argument("--password", default="")
    parser.add_argument("--redirect", default="", help="PORT stands for the own one")
    parser.add_argument("--refuse", default="", help="tcp, udp: answers 461")
    parser.add_argument("--silent-udp", action="store_true")
    parser.add_argument("--lose", type=float, default=0, help="percent")
    parser.add_argument("--double", type=float, default=0)
    parser.add_argument("--swap", type=float, default=0)
    parser.add_argument("--pictures", type=int, default=100)
    options = parser.parse_args()
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print("port", server.server_address[1], flush=True)
        sys.stdin.read()


main()
