"""A camera that speaks ONVIF, for tests: answers the multicast question of WS-Discovery by UDP and the
device and media services by HTTP, on loopback. It checks the WS-Security digest as a camera does, by
its own clock, or asks for HTTP digest. What it says of its own address is wrong on purpose, as with
cameras behind a router: only the host that answered is to be believed."""
import base64
import hashlib
import http.server
import re
import socket
import threading
import sys
import time

WRONG_HOST = "198.51.100.77"
SOAP = '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" ' \
       'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" ' \
       'xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:ter="http://www.onvif.org/ver10/error">' \
       '<s:Body>%s</s:Body></s:Envelope>'
DENIED = '<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized</s:Value>' \
         '</s:Subcode></s:Code><s:Reason><s:Text>Sender not authorized</s:Text></s:Reason></s:Fault>'


def text_of(message, tag):
    found = re.search(rf"<(?:\w+:)?{tag}(?:\s[^>]*)?>([^<]*)<", message)
    return found.group(1) if found else ""


class Camera:
    """streams: [(token, name, codec, width, height, fps, path of the stream)] on rtsp_port."""

    def __init__(self, rtsp_port, streams, user="admin", password="pass", name="North gate", clock_ahead_s=0,
                 http_digest=False, snapshot=None, host="127.0.0.1", network=False, answers=1):
        self.rtsp_port, self.streams, self.user, self.password = rtsp_port, streams, user, password
        self.name, self.clock_ahead_s, self.http_digest, self.snapshot = name, clock_ahead_s, http_digest, snapshot
        self.requests = []  # what was asked, in order
        self.answers = answers  # to one question, each of another device
        self.nonce = "n" + str(time.time_ns())
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                camera.get(self)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                camera.post(self, body)

        self.http = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.http_port = self.http.server_address[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if network:  # the real group and port: only in a network namespace of the test's own
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.udp.bind(("", 3702))
            self.udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                socket.inet_aton("239.255.255.250") + socket.inet_aton(host))
        else:
            self.udp.bind((host, 0))
        self.udp_port = self.udp.getsockname()[1]
        for work in (self.http.serve_forever, self.answer_questions):
            threading.Thread(target=work, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.udp.close()

    # ---- WS-Discovery ----

    def answer_questions(self):
        while True:
            try:
                self.answer_question(*self.udp.recvfrom(65536))
            except OSError:  # closed
                return

    def answer_question(self, question, sender):
        for number in range(self.answers):
            self.answer_as(question, sender, number)
            if number % 50 == 49:
                time.sleep(0.02)  # what the other side's socket holds is not much

    def answer_as(self, question, sender, number):
        name = self.name.replace(" ", "%20")
        self.udp.sendto((
            '<s:Envelope xmlns:s="s" xmlns:a="a" xmlns:d="d"><s:Header><a:RelatesTo>'
            f'{text_of(question.decode(), "MessageID")}</a:RelatesTo></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch>'
            f'<a:EndpointReference><a:Address>urn:uuid:camera-{self.http_port}-{number}</a:Address></a:EndpointReference>'
            f'<d:Scopes>onvif://www.onvif.org/name/{name} onvif://www.onvif.org/hardware/Sim-1</d:Scopes>'
            f'<d:XAddrs>http://{WRONG_HOST}:{self.http_port}/onvif/device_service</d:XAddrs>'
            '</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>').encode(), sender)

    # ---- HTTP ----

    def reply(self, handler, status, body, content_type="application/soap+xml", headers=()):
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for key, value in headers:
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(body)

    def http_digest_fits(self, handler):
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', handler.headers.get("Authorization", "")))
        h = lambda text: hashlib.md5(text.encode()).hexdigest()
        if given.get("username") != self.user or given.get("nonce") != self.nonce:
            return False
        a1, a2 = h(f"{self.user}:camera:{self.password}"), h(f"{handler.command}:{given['uri']}")
        if "qop" in given:
            return given["response"] == h(f"{a1}:{self.nonce}:{given['nc']}:{given['cnonce']}:{given['qop']}:{a2}")
        return given["response"] == h(f"{a1}:{self.nonce}:{a2}")

    def challenge(self, handler):
        self.reply(handler, 401, b"", headers=[
            ("WWW-Authenticate", f'Digest realm="camera", nonce="{self.nonce}", qop="auth", algorithm=MD5')])

    def token_fits(self, body):
        user, digest, nonce, created = (text_of(body, tag) for tag in ("Username", "Password", "Nonce", "Created"))
        if user != self.user:
            return False
        at = time.mktime(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        if abs(at - time.time() - self.clock_ahead_s) > 5:
            return False  # as cameras do: a token of another time is none
        want = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self.password.encode()).digest()
        return base64.b64encode(want).decode() == digest

    def get(self, handler):
        if handler.path != "/snapshot.jpg" or self.snapshot is None:
            self.reply(handler, 404, b"", "text/plain")
        elif not self.http_digest_fits(handler):
            self.challenge(handler)
        else:
            self.reply(handler, 200, self.snapshot, "image/jpeg")

    def post(self, handler, body):
        request = re.search(r"<s:Body><m:(\w+)", body).group(1)
        self.requests.append(request)
        allowed = request == "GetSystemDateAndTime" or \
            (self.http_digest_fits(handler) if self.http_digest else self.token_fits(body))
        if not allowed and self.http_digest:
            self.challenge(handler)
        elif not allowed:
            self.reply(handler, 400, (SOAP % DENIED).encode())
        else:
            self.reply(handler, 200, (SOAP % getattr(self, request)(body)).encode())

    def GetSystemDateAndTime(self, _):
        now = time.gmtime(time.time() + self.clock_ahead_s)
        return ("<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:UTCDateTime><tt:Time>"
                f"<tt:Hour>{now.tm_hour}</tt:Hour><tt:Minute>{now.tm_min}</tt:Minute><tt:Second>{now.tm_sec}</tt:Second>"
                f"</tt:Time><tt:Date><tt:Year>{now.tm_year}</tt:Year><tt:Month>{now.tm_mon}</tt:Month>"
                f"<tt:Day>{now.tm_mday}</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>"
                "</tds:GetSystemDateAndTimeResponse>")

    def GetCapabilities(self, _):
        return ("<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media><tt:XAddr>"
                f"http://{WRONG_HOST}:{self.http_port}/onvif/media</tt:XAddr></tt:Media></tds:Capabilities>"
                "</tds:GetCapabilitiesResponse>")

    def GetDeviceInformation(self, _):
        return ("<tds:GetDeviceInformationResponse><tds:Manufacturer>Simulated</tds:Manufacturer>"
                "<tds:Model>Sim-1</tds:Model><tds:FirmwareVersion>1.2</tds:FirmwareVersion>"
                "</tds:GetDeviceInformationResponse>")

    def GetProfiles(self, _):
        return "<trt:GetProfilesResponse>" + "".join(
            f'<trt:Profiles token="{token}"><tt:Name>{name}</tt:Name><tt:VideoEncoderConfiguration><tt:Encoding>{codec}'
            f"</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>"
            f"<tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit></tt:RateControl>"
            "</tt:VideoEncoderConfiguration></trt:Profiles>"
            for token, name, codec, width, height, fps, _ in self.streams) + "</trt:GetProfilesResponse>"

    def GetStreamUri(self, body):
        path = {stream[0]: stream[6] for stream in self.streams}[text_of(body, "ProfileToken")]
        return (f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>rtsp://{WRONG_HOST}:{self.rtsp_port}{path}</tt:Uri>"
                "</trt:MediaUri></trt:GetStreamUriResponse>")

    def GetSnapshotUri(self, _):
        return (f"<trt:GetSnapshotUriResponse><trt:MediaUri><tt:Uri>http://{WRONG_HOST}:{self.http_port}/snapshot.jpg"
                "</tt:Uri></trt:MediaUri></trt:GetSnapshotUriResponse>")


if __name__ == "__main__":  # HOST RTSP_PORT USER PASSWORD: a camera on that network, until standard input ends
    found = Camera(int(sys.argv[2]), [("main", "Main", "H264", 1920, 1080, 25, "/live?main"),
                                      ("sub", "Sub", "H264", 640, 360, 25, "/live")],
                   sys.argv[3], sys.argv[4], host=sys.argv[1], network=True)
    print("ready", flush=True)
    sys.stdin.read()
