#!/usr/bin/python3
"""Malformed requests, slow ones and too many: refused with the right status, and others are served meanwhile."""
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from api_host import *

host = Host('--fast', '--clients', '64')
port = host.port
GOOD = b'Host: localhost\r\n\r\n'

# The nineteen that libwebsockets 4.1.6 answers with 200 or that a parser gets wrong, and some more.
malformed = {
    'no Host': b'GET /api/v1/live HTTP/1.1\r\n\r\n',
    'two Hosts': b'GET /api/v1/live HTTP/1.1\r\nHost: a\r\n' + GOOD,
    'conflicting lengths': b'POST /api/v1/session HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n' + GOOD + b'{}',
    'length and chunked': b'POST /api/v1/session HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n' + GOOD + b'0\r\n\r\n',
    'chunked': b'POST /api/v1/session HTTP/1.1\r\nTransfer-Encoding: chunked\r\n' + GOOD + b'0\r\n\r\n',
    'a hidden coding': b'POST /api/v1/session HTTP/1.1\r\nTransfer-Encoding:\tchunked\r\n' + GOOD + b'0\r\n\r\n',
    'a negative length': b'POST /api/v1/session HTTP/1.1\r\nContent-Length: -1\r\n' + GOOD,
    'a 20-digit length': b'POST /api/v1/session HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n' + GOOD,
    'a signed length': b'POST /api/v1/session HTTP/1.1\r\nContent-Length: +2\r\n' + GOOD + b'{}',
    'a blank before the colon': b'GET /api/v1/live HTTP/1.1\r\nHost : localhost\r\n\r\n',
    'a folded header': b'GET /api/v1/live HTTP/1.1\r\nX: a\r\n b\r\n' + GOOD,
    'bare LF': b'GET /api/v1/live HTTP/1.1\nHost: localhost\n\n',
    'a bare CR in a header': b'GET /api/v1/live HTTP/1.1\r\nX: a\rb\r\n' + GOOD,
    'a NUL in a header': b'GET /api/v1/live HTTP/1.1\r\nX: a\0b\r\n' + GOOD,
    'HTTP/9.9': b'GET /api/v1/live HTTP/9.9\r\n' + GOOD,
    'HTTP/1.1 in lower case': b'GET /api/v1/live http/1.1\r\n' + GOOD,
    'no version': b'GET /api/v1/live\r\n\r\n',
    'a climb': b'GET /../../etc/passwd HTTP/1.1\r\n' + GOOD,
    'an escaped climb': b'GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n' + GOOD,
    'a NUL in the path': b'GET /index.html%00 HTTP/1.1\r\n' + GOOD,
    'a backslash': b'GET /..\\..\\x HTTP/1.1\r\n' + GOOD,
    'the absolute form': b'GET http://localhost/ HTTP/1.1\r\n' + GOOD,
    'two blanks': b'GET  /api/v1/live HTTP/1.1\r\n' + GOOD,
    'a header without a name': b'GET /api/v1/live HTTP/1.1\r\n: a\r\n' + GOOD,
    'TLS on the plain port': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\0' * 32,
    'the preface of HTTP/2': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
}
for what, data in malformed.items():
    answer = say_raw(port, data)
    ok(400 <= answer.status < 600 and answer.status != 404 and answer.headers.get('connection') == 'close',
       '%s: refused (%d)' % (what, answer.status))

with connect(port) as connection:
    connection.sendall(b'POST /api/v1/session HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n' + GOOD +
                       b'0\r\n\r\nGET /api/v1/live HTTP/1.1\r\n' + GOOD)
    data = b''
    while piece := connection.recv(4096):
        data += piece
    same(data.count(b'HTTP/1.1 '), 1, 'a smuggled second request gets no answer')

# Limits, each with its own status.
same(ask(port, 'GET', '/' + 'a' * 4096).status, 414, 'a target over 4 KiB: 414')
same(ask(port, 'GET', '/' + 'a' * 100000).status, 414, 'a target of 100 kB: 414')
same(ask(port, 'GET', '/' + 'a' * 4000).status, 404, 'a target within 4 KiB is looked up')
same(ask(port, 'GET', '/api/v1/live', ['X: ' + 'a' * 17000]).status, 431, 'a head over 16 KiB: 431')
same(ask(port, 'GET', '/api/v1/live', ['X: ' + 'a' * 16000]).status, 200, 'a head within 16 KiB is read')
same(ask(port, 'GET', '/api/v1/live', ['X: a'] * 2000).status, 431, '2,000 headers: 431')
same(ask(port, 'GET', '/api/v1/live', ['X: a'] * 64).status, 431, '65 headers: 431')
same(ask(port, 'POST', '/api/v1/session', ['Content-Length: 1048577']).status, 413, 'a body over 1 MiB: 413')
same(ask(port, 'POST', '/api/v1/session', ['Content-Length: 4096']).status, 413, 'a body larger than the route takes: 413')
same(ask(port, 'GET', '/api/v1/live', ['Content-Length: 1']).status, 413, 'a body where none is taken: 413')
same(ask(port, 'PUT', '/api/v1/live').status, 501, 'a method that we do not know: 501')
same(ask(port, 'POST', '/api/v1/live').status, 405, 'a method that is not for this path: 405')
same(ask(port, 'GET', '/api/v1/live', ['Expect: 100-continue']).status, 417, 'an expectation: 417')

# One connection, many requests.
with connect(port) as connection:
    connection.sendall(b''.join(b'GET /api/v1/live HTTP/1.1\r\n' + GOOD for _ in range(50)))
    data = b''
    while data.count(b'{"status":"live"}') < 50:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    same(data.count(b'HTTP/1.1 200 OK'), 50, '50 requests in one breath are answered in order')
with connect(port) as connection:
    for byte in b'GET /api/v1/live HTTP/1.1\r\n' + GOOD:
        connection.sendall(bytes([byte]))
    same(read_answer(connection).status, 200, 'a request that comes byte by byte')
with connect(port) as connection:
    connection.sendall(b'GET /api/v1/live HTTP/1.1\r\n' + GOOD)
    connection.shutdown(socket.SHUT_WR)
    same(read_answer(connection).status, 200, 'a client that has no more to say gets its answer')

# Slow ones: closed in time.
with connect(port) as connection:
    start = time.monotonic()
    connection.sendall(b'GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n')
    same(read_answer(connection).status, 408, 'a head that does not end: 408')
    ok(0.5 < time.monotonic() - start < 3, 'at its deadline')
with connect(port) as connection:
    connection.sendall(b'POST /api/v1/session HTTP/1.1\r\nContent-Length: 10\r\n' + GOOD + b'{')
    ok(read_answer(connection).status in (408, 200), 'a body that does not come')
with connect(port) as connection:
    same(connection.recv(1), b'', 'a connection that says nothing is closed')

# 300 half-open requests on 64 places; a user still gets in.
slow, served = [], 0
for i in range(300):
    connection = connect(port)
    connection.sendall(b'GET / HTTP/1.1\r\n')
    slow.append(connection)
    if i % 10 == 9:
        served += wait_for(lambda: ask(port, 'GET', '/api/v1/live').status == 200, 2)
same(served, 30, '300 half-open requests on 64 places do not keep anybody out')
ok(wait_for(lambda: (metric(port, 'sightline_http_evicted_total') or 0) > 100), 'the oldest of them made room')
for connection in slow:
    connection.close()
ok(wait_for(lambda: metric(port, 'sightline_http_connections') == 1), 'and all of them are gone')

# All places taken by WebSockets, which are not pushed out: a newcomer is told so.
wall = [Ws(port) for _ in range(64)]
same({ws.status for ws in wall}, {101}, '64 WebSockets on 64 places')
same(ask(port, 'GET', '/api/v1/live').status, 503, 'the 65th client: 503')
wall.pop().close()
ok(wait_for(lambda: ask(port, 'GET', '/api/v1/live').status == 200), 'one leaves, one comes in')
for ws in wall:
    ws.close()
same(host.close(), 0, 'the host closes everything')
done()
