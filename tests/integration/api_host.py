"""The API's test host (tests/unit/api_host_test.c) as a child process, and small HTTP and WebSocket clients that say
exactly the bytes they are given. Shared by api.t, http_strict.t and ws.t."""
import base64, json, os, shutil, socket, struct, subprocess, sys, tempfile, time

BUILD = os.environ.get('SIGHTLINE_BUILD', 'build/release')
PROGRAM = os.path.join(BUILD, 'tests', 'api_host_test')

count = failures = 0


def ok(passed, text):
    global count, failures
    count += 1
    failures += not passed
    print(('ok' if passed else 'not ok'), count, '-', text.replace('#', '\\#'), flush=True)
    return passed


def same(got, expected, text):
    if not ok(got == expected, text):
        print('# got %r, expected %r' % (got, expected), flush=True)


def done():
    print('1..%d' % count)
    sys.exit(1 if failures else 0)


if not os.path.exists(PROGRAM):
    print('1..0 # SKIP %s is not built' % PROGRAM)
    sys.exit(0)


class Host:
    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix='sightline-api-')
        self.process = subprocess.Popen([PROGRAM, '--serve', os.path.join(self.folder, 'data'), *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith('port '), line
        self.port = int(line.split()[1])

    def say(self, command):
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def resident_bytes(self):
        with open('/proc/%d/statm' % self.process.pid) as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGESIZE')

    def close(self):
        """Ends it; its exit status is 0 if nothing was left open."""
        self.process.stdin.close()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


class Answer:
    status = 0      # 0: closed without one
    body = b''
    headers = {}


def read_answer(connection, head_only=False):
    """One response, by its Content-Length; what came after it is in .rest."""
    answer, data = Answer(), b''
    try:
        while b'\r\n\r\n' not in data:
            piece = connection.recv(65536)
            if not piece:
                return answer
            data += piece
        head, data = data.split(b'\r\n\r\n', 1)
        lines = head.decode('latin-1').split('\r\n')
        answer.status = int(lines[0].split()[1])
        answer.headers = {}
        for line in lines[1:]:
            name, value = line.split(':', 1)
            answer.headers[name.lower()] = value.strip()
        length = 0 if head_only else int(answer.headers.get('content-length', 0))
        while len(data) < length:
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        answer.body, answer.rest = data[:length], data[length:]
    except (ConnectionResetError, socket.timeout):
        pass
    return answer


def connect(port, timeout_s=10):
    return socket.create_connection(('127.0.0.1', port), timeout_s)


def say_raw(port, data, timeout_s=10, head_only=False):
    with connect(port, timeout_s) as connection:
        try:
            connection.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return read_answer(connection, head_only)


def ask(port, method, path, headers=(), body=b'', host='localhost'):
    lines = ['%s %s HTTP/1.1' % (method, path), 'Host: ' + host, *headers]
    if body:
        lines.append('Content-Length: %d' % len(body))
    return say_raw(port, '\r\n'.join(lines + ['', '']).encode() + body, head_only=method == 'HEAD')


def ask_json(port, path, headers=()):
    answer = ask(port, 'GET', path, headers)
    return json.loads(answer.body)


class Closed(Exception):
    def __init__(self, code, reason=''):
        Exception.__init__(self, code, reason)
        self.code, self.reason = code, reason


class Ws:
    """A WebSocket client that can also break every rule."""

    def __init__(self, port, headers=(), timeout_s=10, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        self.socket.connect(('127.0.0.1', port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall('\r\n'.join(['GET /api/v1/ws HTTP/1.1', 'Host: localhost', 'Upgrade: websocket',
                                         'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
                                         'Sec-WebSocket-Key: ' + key, *headers, '', '']).encode())
        self.data = b''
        while b'\r\n\r\n' not in self.data:
            piece = self.socket.recv(1)
            if not piece:
                break
            self.data += piece
        self.status = int(self.data.split()[1]) if self.data else 0
        self.head, self.data = self.data, b''

    def frame(self, opcode, payload=b'', final=True, mask=b'\x01\x02\x03\x04', reserved=0):
        first = (0x80 if final else 0) | reserved << 4 | opcode
        masked = 0x80 if mask is not None else 0
        if len(payload) < 126:
            head = struct.pack('>BB', first, masked | len(payload))
        elif len(payload) < 65536:
            head = struct.pack('>BBH', first, masked | 126, len(payload))
        else:
            head = struct.pack('>BBQ', first, masked | 127, len(payload))
        if mask is None:
            return head + payload
        repeated = mask * (len(payload) // 4 + 1)
        return head + mask + bytes(a ^ b for a, b in zip(payload, repeated))

    def send(self, message):
        self.socket.sendall(self.frame(1, json.dumps(message).encode()))

    def _need(self, count):
        while len(self.data) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise Closed(1006)
            self.data += piece

    def receive_frame(self):
        """(final, opcode, payload)"""
        self._need(2)
        first, length = self.data[0], self.data[1]
        assert not length & 0x80, 'a server must not mask'
        at = 2
        if length == 126:
            self._need(4)
            length, at = struct.unpack('>H', self.data[2:4])[0], 4
        elif length == 127:
            self._need(10)
            length, at = struct.unpack('>Q', self.data[2:10])[0], 10
        self._need(at + length)
        payload, self.data = self.data[at:at + length], self.data[at + length:]
        return bool(first & 0x80), first & 15, payload

    def receive(self):
        """A whole message: a decoded JSON object, or bytes. Answers pings. Raises Closed."""
        parts, kind = [], 0
        while True:
            try:
                final, opcode, payload = self.receive_frame()
            except ConnectionResetError:
                raise Closed(1006)
            if opcode == 8:
                code = struct.unpack('>H', payload[:2])[0] if len(payload) >= 2 else 1005
                raise Closed(code, payload[2:].decode())
            if opcode == 9:
                self.socket.sendall(self.frame(10, payload))
            elif opcode < 8:
                kind = opcode or kind
                parts.append(payload)
                if final:
                    whole = b''.join(parts)
                    return json.loads(whole) if kind == 1 else whole

    def until(self, wanted):
        """The first message that `wanted` says yes to; others are passed over."""
        while True:
            message = self.receive()
            if wanted(message):
                return message

    def topic(self, name):
        return self.until(lambda message: isinstance(message, dict) and message.get('topic') == name)

    def close(self):
        self.socket.close()


def metric(port, name, headers=()):
    """The value of one sample, by its name with labels; None if it is not there."""
    for line in ask(port, 'GET', '/metrics', headers).body.decode().split('\n'):
        if line.startswith(name + ' '):
            return float(line.rsplit(' ', 1)[1])
    return None


def wait_for(condition, seconds=10):
    """Turns until it is true: for states of the other process that it does not tell by itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
    return False
