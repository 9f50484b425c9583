"""A small WebSocket client (RFC 6455) for tests: JSON out, JSON or bytes in."""
import base64
import json
import os
import socket
import struct


class WebSocket:
    def __init__(self, port, path="/api/v1/ws", headers=()):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *headers]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError(head.split(b"\r\n")[0].decode())

    def _fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def _take(self, count):
        while len(self.buffer) < count:
            self._fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _frame(self, opcode, payload):
        mask = os.urandom(4)
        head = bytes([0x80 | opcode])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        else:
            head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def send(self, message):
        self._frame(1, json.dumps(message).encode())

    def receive(self, timeout):
        """A message: an object for text, bytes for binary; None when none came in time."""
        whole, kind = b"", None
        while True:
            self.socket.settimeout(timeout if kind is None and not self.buffer else 30)
            try:
                first, second = self._take(2)
            except (socket.timeout, TimeoutError):
                return None
            self.socket.settimeout(30)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            payload = self._take(size)
            opcode = first & 15
            if opcode == 9:
                self._frame(10, payload)
            elif opcode == 8:
                raise EOFError(payload[2:].decode(errors="replace"))
            elif opcode in (0, 1, 2):
                kind = kind or opcode
                whole += payload
                if first & 0x80:
                    return json.loads(whole) if kind == 1 else whole

    def close(self):
        self._frame(8, struct.pack(">H", 1000))
        self.socket.close()
