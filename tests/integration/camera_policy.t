#!/usr/bin/python3
"""Where a camera may lead: nothing that it says takes us from the internet into the house or from the house to this
machine, a name is looked up once and what is connected to is what was judged, and credentials stay with their host.

In a network of its own (network and mount namespaces, so that nothing outside is touched): 198.18.0.1 stands for the
internet, 10.77.0.1 for the house, and a name server on it changes its answers.
"""
import collections
import http.server
import json
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "source_rtsp_test")
CROWD = os.path.join(tap.BUILD, "tests", "camera_crowd_test")
PUBLIC, HOUSE, HERE_ADDRESS, METADATA = "198.18.0.1", "10.77.0.1", "127.0.0.1", "169.254.169.254"
RTSP, HTTP, RTMP, SRT = 8554, 8080, 1935, 9000
INSIDE = "SIGHTLINE_POLICY_INSIDE"
reached = []  # (address at which somebody came, what he asked for, whether he signed it)
answers = {}  # name: the addresses of each question after the other; the last one stays
asked = collections.Counter()


def enter():
    """This test again, in namespaces of its own; returns inside."""
    if INSIDE in os.environ:
        return
    spaces = ["unshare", "-n", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-n", "-m"]
    if subprocess.run([*spaces, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        tap.skip_all("namespaces are not permitted")
    os.execvpe(spaces[0], [*spaces, sys.executable, os.path.abspath(__file__)], dict(os.environ, **{INSIDE: "1"}))


def build_network():
    place = tap.folder()
    for name, text in (("resolv.conf", f"nameserver {HERE_ADDRESS}\noptions timeout:1\n"), ("nsswitch.conf", "hosts: files dns\n")):
        with open(os.path.join(place, name), "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run(["mount", "--bind", file.name, os.path.realpath("/etc/" + name)], check=True)
    for line in ("link set lo up", f"addr add {PUBLIC}/32 dev lo", f"addr add {HOUSE}/32 dev lo", f"addr add {METADATA}/32 dev lo"):
        subprocess.run(["ip", *line.split()], check=True)


# ---- who answers ----

class Names(socketserver.BaseRequestHandler):
    """Answers for A alone; there is no other kind of address here."""

    def handle(self):
        data, back = self.request
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, (kind,) = ".".join(labels), struct.unpack(">H", data[at + 1:at + 3])
        found = []
        if kind == 1 and name in answers:
            asked[name] += 1
            found = answers[name][0]
            if len(answers[name]) > 1:
                answers[name].pop(0)
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in found)
        head = data[:2] + struct.pack(">HHHHH", 0x8180 if name in answers else 0x8183, 1, len(found), 0, 0)
        back.sendto(head + data[12:at + 5] + records, self.client_address)


class Web(http.server.BaseHTTPRequestHandler):
    """/to/ADDRESS redirects there, /list/ADDRESS is a playlist of a piece there, /all/ADDRESS one of a playlist, and
    /map/ADDRESS one whose beginning lies there."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, kind, body, headers=()):
        reached.append((self.connection.getsockname()[0], self.path, "Authorization" in self.headers or b"Username" in self.body))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, what, *place = self.path.split("/")
        there = f"http://{place[0]}:{HTTP}/end" if place else ""
        hls = "application/vnd.apple.mpegurl"
        if what == "to":
            self.answer(307, "text/plain", b"", [("Location", there)])
        elif what == "list":
            self.answer(200, hls, f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{there}\n".encode())
        elif what == "map":
            self.answer(200, hls, f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="{there}"\n#EXTINF:1,\nend\n'.encode())
        elif what == "all":
            self.answer(200, hls, f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{there}\n".encode())
        elif what == "empty":  # a live stream whose first piece is still to come
            self.answer(200, hls, b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n")
        else:
            self.answer(404, "text/plain", b"")

    do_POST = do_GET


class Rtsp(socketserver.StreamRequestHandler):
    """/to/ADDRESS redirects there; else it wants to be signed in to, and then has no stream."""

    def handle(self):
        while True:
            line = self.rfile.readline().decode("latin-1")
            if not line.strip():
                return
            headers = dict(header.lower().split(":", 1) for header in iter(lambda: self.rfile.readline().decode("latin-1").strip(), ""))
            method, url, _ = line.split()
            path = "/" + url.split("/", 3)[3]
            reached.append((self.request.getsockname()[0], path, "authorization" in headers))
            if path.startswith("/to/") and method == "DESCRIBE":
                status, more = "302 Moved", f"Location: rtsp://u:v@{path[4:]}:{RTSP}/end\r\n"
            elif path == "/end" and method == "DESCRIBE" and "authorization" not in headers:
                status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="r"\r\n'
            else:
                status, more = ("200 OK" if method == "OPTIONS" else "404 Not Found"), ""
            self.wfile.write(f"RTSP/1.0 {status}\r\nCSeq:{headers.get('cseq', ' 0')}\r\n{more}\r\n".encode())


class Closing(socketserver.BaseRequestHandler):
    def handle(self):
        reached.append((self.request.getsockname()[0], "rtmp", False))


def serve():
    socketserver.ThreadingTCPServer.daemon_threads = True
    for server in (socketserver.ThreadingUDPServer((HERE_ADDRESS, 53), Names), http.server.ThreadingHTTPServer(("", HTTP), Web),
                   socketserver.ThreadingTCPServer(("", RTSP), Rtsp), socketserver.ThreadingTCPServer(("", RTMP), Closing)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    for address in (PUBLIC, HERE_ADDRESS, METADATA):
        threading.Thread(target=hear_srt, args=(address,), daemon=True).start()


def hear_srt(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((address, SRT))
        while True:
            one.recv(2048)
            reached.append((address, "srt", False))


# ---- who asks ----

def play(url, user="", password="", seconds=5):
    """What the source says, and at which addresses it was."""
    reached.clear()
    asked.clear()
    text = subprocess.run([CLIENT, "play", url, user, password, "1", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False).stdout
    return text, list(reached)


def ok(passed, what, *notes):
    if not tap.ok(passed, what):
        for note in notes:
            tap.diag(note)


NARROWER = [(PUBLIC, HOUSE), (PUBLIC, HERE_ADDRESS), (HOUSE, HERE_ADDRESS)]
WIDER = [(HERE_ADDRESS, HOUSE), (HERE_ADDRESS, PUBLIC), (HOUSE, PUBLIC), (PUBLIC, PUBLIC)]
WAYS = [("an RTSP redirect", f"rtsp://%s:{RTSP}/to/%s"), ("an HTTP redirect", f"http://%s:{HTTP}/to/%s"),
        ("a piece of a playlist", f"http://%s:{HTTP}/list/%s"), ("the beginning of its pieces", f"http://%s:{HTTP}/map/%s"),
        ("a playlist in a playlist", f"http://%s:{HTTP}/all/%s")]


def check_ways():
    for what, url in WAYS:
        for start, end in NARROWER:
            text, came = play(url % (start, end))
            ok("ended refused" in text and "which cameras_allowed does not name" in text and {at for at, _, _ in came} == {start},
               f"{what} from {start} to {end} is not followed", text, came)
        for start, end in WIDER:
            text, came = play(url % (start, end))
            ok((end, "/end") in [one[:2] for one in came], f"{what} from {start} to {end} is", text, came)


def check_credentials():
    for url in (f"rtsp://%s:{RTSP}/to/%s", f"http://%s:{HTTP}/to/%s"):
        text, came = play(url % (HOUSE, PUBLIC), "admin", "c4n4ry")
        ok((PUBLIC, "/end", True) not in came and (PUBLIC, "/end", False) in came and "c4n4ry" not in text,
           f"{url[:4]}: another host is told no password", text, came)
    text, came = play(f"rtsp://{HOUSE}:{RTSP}/to/{HOUSE}", "admin", "c4n4ry")
    ok((HOUSE, "/end", True) in came, "the same host is", text, came)


def check_names():
    for scheme, port in (("rtsp", RTSP), ("http", HTTP), ("rtmp", RTMP), ("srt", SRT)):
        answers[f"{scheme}.test"] = [[PUBLIC], [HERE_ADDRESS]]
        text, came = play(f"{scheme}://{scheme}.test:{port}/one", seconds=2)
        ok({at for at, _, _ in came} == {PUBLIC} and asked[f"{scheme}.test"] == 1,
           f"{scheme}: the name is asked for once, and what it said then is connected to", text, came, asked)
        answers[f"{scheme}.test"] = [[METADATA, PUBLIC]]
        text, came = play(f"{scheme}://{scheme}.test:{port}/one", seconds=2)
        ok({at for at, _, _ in came} == {PUBLIC}, f"{scheme}: of several addresses only one that is allowed", text, came)
        answers[f"{scheme}.test"] = [[METADATA]]
        text, came = play(f"{scheme}://{scheme}.test:{port}/one", seconds=2)
        ok(not came and "ended refused" in text and "metadata" in text, f"{scheme}: a name of a forbidden one is refused", text, came)
    answers["moving.test"] = [[PUBLIC], [HERE_ADDRESS]]
    text, came = play(f"http://moving.test:{HTTP}/empty")
    ok("ended refused" in text and {at for at, _, _ in came} == {PUBLIC}, "a name that moves into the house between two looks at a playlist", text, came)


def check_move():
    """A camera that gets another address while it is away: each attempt asks for the name anew."""
    answers["moved.test"] = [["10.77.0.99"], [PUBLIC]]  # nobody is at the first
    reached.clear()
    text = subprocess.run([CROWD, "watch", "4", "0", f"rtsp://moved.test:{RTSP}/x"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False).stdout
    ok("backoff cannot connect" in text and {at for at, _, _ in reached} == {PUBLIC}, "a camera that has moved is found by its name", text, reached)


def check_rtmp_credentials():
    """FFmpeg would take what stands before the '/' for the host, and look a part of the password up."""
    answers["admin"] = [[PUBLIC]]
    for password in ("1935/c4n4ry", "1935?c4n4ry", "1935#c4n4ry"):
        text, came = play(f"rtmp://{HOUSE}:{RTMP}/one", "admin", password, seconds=2)
        ok("ended refused" in text and "cannot hold" in text and not came and asked["admin"] == 0 and "c4n" not in text,
           f"rtmp: a password with '{password[4]}' is refused, and nobody is asked", text, came)
    text, came = play(f"rtmp://{HOUSE}:{RTMP}/one", "admin", "c4n@4:ry", seconds=2)
    ok({at for at, _, _ in came} == {HOUSE} and "4:ry" not in text, "one with '@' and ':' is not", text, came)


def check_onvif():
    server = tap.Server("http: {port: 0}\ndata: data\nlog: {level: debug}\n")

    def streams(service):
        reached.clear()
        body = json.dumps({"do": "streams", "service": service, "user": "admin", "password": "c4n4ry"}).encode()
        job = json.loads(server.request("/api/v1/jobs", "POST", body)[2])
        ended = lambda: [one for one in [server.get(f"/api/v1/jobs?id={job['id']}")] if one["state"] != "running"]
        return (tap.wait_for(ended, 20) or [{}])[0].get("error") or "", list(reached)
    error, came = streams(f"http://{HOUSE}:{HTTP}/to/{PUBLIC}")
    ok("another host" in error and {at for at, _, _ in came} == {HOUSE}, "ONVIF: a redirect to another host is not followed", error, came)
    error, came = streams(f"http://{HOUSE}:{HTTP}/to/{HOUSE}")
    ok((HOUSE, "/end") in [one[:2] for one in came], "ONVIF: one to the same host is", error, came)
    ok("c4n4ry" not in server.log() + error, "and nothing is told of the password")
    ok(server.stop() == 0, "the server stops")


if not os.path.exists(CLIENT):
    tap.skip_all("no %s" % CLIENT)
enter()
build_network()
serve()
check_ways()
check_credentials()
check_names()
check_move()
check_rtmp_credentials()
check_onvif()
tap.done()
