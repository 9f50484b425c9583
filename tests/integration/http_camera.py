#!/usr/bin/python3
"""A camera that speaks HTTP: MJPEG in several dialects, single pictures, HLS from a folder, sign-in, redirects, lies.

Prints "port N". --folder holds picture0.jpg, picture1.jpg, ... and HLS playlists. Ends with its standard input.
"""
import argparse
import base64
import hashlib
import http.server
import os
import re
import sys
import threading
import time

options = None
pictures = []
large = []


class Camera(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, kind=None, body=b"", headers=()):
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def signed(self):
        given = self.headers.get("Authorization", "")
        if options.auth == "basic":
            if given == "Basic " + base64.b64encode(("camera:" + options.password).encode()).decode():
                return True
            self.answer(401, headers=[("WWW-Authenticate", 'Basic realm="r"')])
            return False
        if options.auth == "digest":
            fields = dict(re.findall(r'(\w+)="?([^",]*)"?', given))

            def digest(text):
                return hashlib.md5(text.encode()).hexdigest()
            wanted = digest(":".join([digest("camera:r:" + options.password), "n", fields.get("nc", ""),
                                      fields.get("cnonce", ""), "auth", digest("GET:" + fields.get("uri", ""))]))
            if fields.get("response") == wanted:
                return True
            self.answer(401, headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"'),
                                      ("WWW-Authenticate", 'Basic realm="r"')])
            return False
        return True

    def mjpeg(self, boundary_named, boundary_sent, length, chunked):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=" + boundary_named)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(2000):
            data = pictures[number % len(pictures)]
            part = ("%s\r\nContent-Type: image/jpeg\r\n" % boundary_sent).encode()
            if length:
                part += b"Content-Length: %d\r\n" % (len(data) + length - 1)
            part += b"\r\n" + data + b"\r\n"
            if chunked:
                part = b"%x\r\n" % len(part) + part + b"\r\n"
            self.wfile.write(part)
            time.sleep(0.04)

    def do_GET(self):
        print("GET", self.path, flush=True)
        path = self.path.split("?")[0]
        try:
            if not self.signed():
                return
            if path == "/mjpeg":
                self.mjpeg("frame", "--frame", 1, False)
            elif path == "/mjpeg-chunked":
                self.mjpeg("--frame", "--frame", 0, True)
            elif path == "/mjpeg-lies":
                self.mjpeg('"x y"', "--something else", 1 if int(time.time()) % 2 else -300, False)
            elif path == "/mjpeg-stops":
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace")
                self.end_headers()
                self.wfile.write(b"--a\r\nContent-Type: image/jpeg\r\n\r\n" + pictures[0] + b"\r\n--a\r\n")
                self.close_connection = True
            elif path == "/mjpeg-endless":
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace")
                self.end_headers()
                self.wfile.write(b"--a\r\nContent-Type: image/jpeg\r\n\r\n")
                while True:
                    self.wfile.write(b"x" * 65536)
            elif path == "/mjpeg-sizes":
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=a")
                self.end_headers()
                for number in range(1000):
                    data = large[0] if number // 50 % 2 else pictures[0]
                    self.wfile.write(b"--a\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n")
                    time.sleep(0.04)
            elif path == "/jpeg":
                self.answer(200, "image/jpeg", pictures[int(time.time() * 10) % len(pictures)])
            elif path == "/html":
                self.answer(200, "text/html", b"<html>Sign in</html>")
            elif path == "/redirect":
                self.answer(302, headers=[("Location", options.redirect.replace("PORT", str(self.server.server_port)))])
            else:
                name = os.path.join(options.folder, os.path.basename(path))
                with open(name, "rb") as file:
                    self.answer(200, "application/vnd.apple.mpegurl" if name.endswith("m3u8") else "video/mp2t", file.read())
        except FileNotFoundError:
            self.answer(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--auth", choices=["none", "basic", "digest"], default="none")
    parser.add_argument("--password", default="")
    parser.add_argument("--redirect", default="")
    parser.add_argument("--tls", default="")
    options = parser.parse_args()
    for name in sorted(os.listdir(options.folder)):
        if name.endswith(".jpg"):
            with open(os.path.join(options.folder, name), "rb") as file:
                (large if name.startswith("large") else pictures).append(file.read())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    if options.tls:
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("port", server.server_port, flush=True)
    sys.stdin.read()


main()
