#!/usr/bin/python3
"""The WebSocket: the rules of RFC 6455 that a server must hold, the topics, slow clients, reconnecting under load."""
import os, sys, threading
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from api_host import *

host = Host()
port = host.port


def closed_with(ws):
    """The code and reason with which the server closes it; messages before that are passed over."""
    try:
        while True:
            ws.receive()
    except Closed as closed:
        return closed.code
    except socket.timeout:
        return 0  # it was not closed
    finally:
        ws.close()


def sends(*frames):
    """A greeted client that has sent these frames, given as (opcode, payload, options)."""
    ws = Ws(port, timeout_s=3)
    ws.receive()
    try:
        for opcode, payload, *options in frames:
            ws.socket.sendall(ws.frame(opcode, payload, **(options[0] if options else {})))
    except (ConnectionResetError, BrokenPipeError):
        pass
    return ws


# ---- RFC 6455 ----

ws = Ws(port)
same(ws.status, 101, 'upgraded')
ok(b'Sec-WebSocket-Extensions' not in ws.head, 'no extensions')
hello = ws.receive()
same((hello['type'], hello['protocol'], hello['last_seq']), ('hello', 1, 0), 'hello')
ws.socket.sendall(ws.frame(9, b'are you there'))
same(ws.receive_frame(), (True, 10, b'are you there'), 'a ping is answered')
ws.socket.sendall(ws.frame(9, b''))
same(ws.receive_frame(), (True, 10, b''), 'an empty one')
ws.socket.sendall(ws.frame(9, b'x' * 125))
same(ws.receive_frame(), (True, 10, b'x' * 125), 'the longest')
ws.socket.sendall(ws.frame(10, b'nobody asked'))
text = json.dumps({'type': 'subscribe', 'topics': ['counts']}).encode()
for i, byte in enumerate(text):  # as many fragments as bytes, with pings between
    ws.socket.sendall(ws.frame(1 if i == 0 else 0, bytes([byte]), final=i == len(text) - 1))
    if i == 5:
        ws.socket.sendall(ws.frame(9, b'between'))
        same(ws.receive_frame(), (True, 10, b'between'), 'a ping between fragments')
same(ws.receive()['type'], 'subscribed', 'a message in fragments, after a pong that nobody asked for')
ws.topic('counts')
for byte in ws.frame(1, text):
    ws.socket.sendall(bytes([byte]))
same(ws.receive()['type'], 'subscribed', 'a frame that comes byte by byte')
ws.topic('counts')
pad = json.dumps({'type': 'subscribe', 'topics': [], 'pad': ''}).encode()
ws.socket.sendall(ws.frame(1, pad[:-2] + b'x' * (65536 - len(pad)) + pad[-2:]))
same(ws.receive()['error'], 'invalid', 'a message of exactly 64 KiB is read')
ws.socket.sendall(ws.frame(8, struct.pack('>H', 1000) + b'bye'))
same(closed_with(ws), 1000, 'a close is answered with the same code')

# (libwebsockets reads frames without a mask: the mask is there for the caches between, not for us.)
for what, frames, codes in [
        ('a reserved bit', [(1, b'{}', {'reserved': 4})], (1002,)),
        ('the second reserved bit', [(1, b'{}', {'reserved': 2})], (1002,)),
        ('an unknown opcode', [(3, b'')], (1002,)),
        ('an unknown control opcode', [(11, b'')], (1002,)),
        ('a fragmented ping', [(9, b'', {'final': False})], (1002,)),
        ('a ping of 126 bytes', [(9, b'x' * 126)], (1002, 1006)),
        ('a continuation of nothing', [(0, b'{}')], (1002,)),
        ('a text within a text', [(1, b'{', {'final': False}), (1, b'}')], (1002,)),
        ('invalid UTF-8', [(1, b'"\xff"')], (1007,)),
        ('an overlong UTF-8 form', [(1, b'"\xc0\xaf"')], (1007,)),
        ('a surrogate in UTF-8', [(1, b'"\xed\xa0\x80"')], (1007,)),
        ('UTF-8 that ends too soon', [(1, b'"\xe2\x82')], (1007,)),
        ('invalid UTF-8 over two fragments', [(1, b'"\xe2', {'final': False}), (0, b'\x28"')], (1007,)),
        ('a binary message', [(2, b'{}')], (1003,)),
        ('a message over 64 KiB', [(1, b'x' * 65537)], (1009,)),
        ('a message of 1 MiB', [(1, b'x' * (1 << 20))], (1009, 1006)),
        ('one in fragments', [(1, b'x' * 40000, {'final': False}), (0, b'x' * 40000, {'final': False})], (1009,)),
        ('a close with one byte', [(8, b'x')], (1002, 1005)),
        ('a close with a code that is none', [(8, struct.pack('>H', 999))], (1002,)),
        ('a close with a reserved code', [(8, struct.pack('>H', 1005))], (1002,)),
        ('21 messages in a second', [(1, b'{}')] * 21, (1008,))]:
    got = closed_with(sends(*frames))
    ok(got in codes, '%s: closed with %d' % (what, got))

ws = sends(*[(1, b'{}')] * 20)
same({ws.receive()['error'] for _ in range(20)}, {'invalid'}, '20 messages in a second are answered')
ws.close()

# ---- topics ----

host.say('events 30')
ws = Ws(port)
ws.receive()
ws.send({'type': 'subscribe', 'topics': ['counts', 'health', 'tracks/gate', 'tracks/nope', 'nonsense']})
error = ws.receive()
same((error['type'], error['error']), ('error', 'not_found'), 'a topic that does not exist')
ws.send({'type': 'subscribe', 'topics': ['counts', 'health', 'tracks/gate', 'tracks/nope']})
error = ws.receive()
same((error['error'], error['topic'], error['message']), ('not_found', 'tracks/nope', 'no camera named nope'),
     'a camera that does not exist')
same([t['topic'] for t in ws.receive()['topics']], ['counts', 'health', 'tracks/gate'], 'the others are subscribed')
counts = ws.topic('counts')
same(counts['data'], ask_json(port, '/api/v1/counts'), 'first all counts, as HTTP gives them')
health = ws.topic('health')['data']
same((health['status'], [camera['name'] for camera in health['cameras']]), ('ready', ['gate', 'yard']), 'health')
host.say('occupancy 4')
counts = ws.topic('counts')['data']['counters']
same([(c['counter'], c['total']['occupancy']) for c in counts], [('hall', 4)], 'then only what has changed')
host.say('events 3')
counts = ws.until(lambda m: m.get('topic') == 'counts' and m['seq'] == 33)['data']['counters']
same([(c['counter'], c['total']) for c in counts], [('door "A"', {'a_to_b': 22, 'b_to_a': 11})], 'a crossing is told')
host.say('tracks gate 3')
tracks = ws.topic('tracks/gate')
same((tracks['data']['width'], tracks['data']['tracks'][1]),
     (1280, {'id': 2, 'class': 'car', 'score': 0.5, 'box': [0.05, 0.1, 0.1, 0.2], 'seen': False}), 'tracks')
host.say('problem disk is slow')
health = ws.until(lambda m: m.get('topic') == 'health' and m['data']['status'] == 'degraded')
same(health['data']['problems'], [{'what': 'ledger', 'text': 'disk is slow'}], 'a problem is told')
host.say('problem')
ws.send({'type': 'unsubscribe', 'topics': ['tracks/gate', 'health', 'events']})
ws.send({'type': 'subscribe', 'topics': ['events']})
ws.until(lambda m: m.get('type') == 'subscribed')
host.say('tracks gate 1')
host.say('events 1')
seen = []
ws.until(lambda m: seen.append(m.get('topic')) or m.get('topic') == 'events')
ok('tracks/gate' not in seen, 'an unsubscribed topic is silent')
host.say('rename garden')
ws.topic('cameras')
ok(True, 'everybody learns that the cameras have changed')
ws.send({'type': 'subscribe', 'topics': ['tracks/garden']})
same(ws.until(lambda m: 'type' in m)['type'], 'subscribed', 'the new name')
host.say('rename yard')
ws.close()

ws = Ws(port)
ws.receive()
ws.send({'type': 'subscribe', 'topics': ['events'], 'since': 20})
same([ws.topic('events')['seq'] for _ in range(14)], list(range(21, 35)), 'since replays')
event = ask_json(port, '/api/v1/events?since=34&limit=1')['events']
host.say('events 1')
message = ws.topic('events')
same((message['seq'], message['data']), (35, ask_json(port, '/api/v1/events?since=34')['events'][0]), 'and goes on')
ws.send({'type': 'subscribe', 'topics': ['events'], 'since': 1000})
same(ws.receive()['error'], 'invalid', 'a since of another ledger is an error')
ws.close()
ws = Ws(port)
ws.receive()
ws.send({'type': 'subscribe', 'topics': ['counts', 'tracks/gate', 'counts', 'tracks/gate']})
same([t['topic'] for t in ws.receive()['topics']], ['counts', 'tracks/gate'], 'a topic that is named twice is one')
ws.topic('counts')
ws.send({'type': 'subscribe', 'topics': ['tracks/gate'] * 65})
same(ws.receive()['error'], 'invalid', '65 topics in a message')
ws.close()

# ---- video ----

def picture(ws):
    data = ws.until(lambda m: isinstance(m, bytes))
    version, kind, flags, _, channel, width, height, pts_us, wall_us = struct.unpack('<BBBBIHHqq', data[:28])
    ok(version == 1 and width == 1280 and height == 720 and data[28:] == bytes(i * 7 % 256 for i in range(len(data) - 28)),
       'a picture of %d bytes arrives whole' % (len(data) - 28))
    return kind, flags, channel

viewer, plain = Ws(port), Ws(port)
for client, video in ((viewer, 'h264'), (plain, 'jpeg')):
    client.receive()
    client.send({'type': 'subscribe', 'topics': ['video/gate', 'video/yard'], 'video': video})
    topics = client.receive()['topics']
    same([t['channel'] for t in topics], [1, 2], 'channels')
    same({t['codec'] for t in topics}, {None}, 'a codec that is not known yet')
same(host.say('want'), 'want 6 2', 'H.264 and JPEG are asked of gate, JPEG of yard')
host.say('unit gate h264 2000 0')
host.say('unit gate h264 300000 1')
told = viewer.receive()
same(told['topics'], [{'topic': 'video/gate', 'channel': 1, 'codec': 'avc1.64001f'}], 'the codec is told before the first picture')
same(picture(viewer), (2, 1, 1), 'a key frame comes first')
host.say('unit gate h264 2000 0')
same(picture(viewer), (2, 0, 1), 'then the others')
host.say('unit gate jpeg 50000 1')
host.say('unit yard jpeg 60000 1')
same(picture(plain), (1, 1, 1), 'JPEG for who asked for it')
same(picture(plain), (1, 1, 2), 'on the channel of its camera')
same(picture(viewer), (1, 1, 2), 'and where there is no H.264')
viewer.send({'type': 'unsubscribe', 'topics': ['video/gate']})
ok(wait_for(lambda: host.say('want') == 'want 2 2'), 'nobody wants H.264 any more')
viewer.close()
plain.close()
ok(wait_for(lambda: host.say('want') == 'want 0 0'), 'nor any video')

# ---- slow clients ----

before = host.resident_bytes()
slow = [Ws(port, receive_buffer=4096) for _ in range(200)]
for client in slow:
    client.send({'type': 'subscribe', 'topics': ['events', 'counts', 'tracks/gate', 'video/gate', 'health'], 'since': 0, 'video': 'h264'})
ok(wait_for(lambda: metric(port, 'sightline_ws_subscriptions') == 1000), '200 clients subscribe and never read')
peak = 0
for i in range(200):
    host.say('unit gate h264 60000 %d' % (i % 20 == 0))
    host.say('tracks gate 60')
    host.say('events 5')
    peak = max(peak, host.resident_bytes() - before)
print('# %.1f MiB for 200 clients that never read' % (peak / 2**20))
# Under a sanitizer freed memory stays in quarantine, and the figure would say nothing.
sanitized = b'__asan_' in open(PROGRAM, 'rb').read() or b'__tsan_' in open(PROGRAM, 'rb').read()
ok(peak < 60 << 20 or sanitized, 'they cost less than 300 KiB each')
fast = Ws(port)
fast.receive()
start = time.monotonic()
fast.send({'type': 'subscribe', 'topics': ['counts']})
fast.topic('counts')
ok(time.monotonic() - start < 1, 'others are served at once')
ok(wait_for(lambda: metric(port, 'sightline_ws_clients') == 1, 30), 'they are closed')
ok(metric(port, 'sightline_ws_clients_closed_total{reason="behind"}') == 200, 'for being behind')
ok(metric(port, 'sightline_ws_messages_dropped_total') > 0, 'pictures were dropped meanwhile')
fast.close()
for client in slow:
    client.close()

# ---- reconnecting under load ----

first = ask_json(port, '/api/v1/events?limit=0')['last_seq']
host.say('flow 20000')
got, last = [], first
while last < first + 20000:
    ws = Ws(port)
    ws.receive()
    ws.send({'type': 'subscribe', 'topics': ['events'], 'since': last})
    for _ in range(997):
        last = ws.topic('events')['seq']
        got.append(last)
        if last == first + 20000:
            break
    ws.close()  # in mid-stream: what it was sent and has not read is read again
same(got == list(range(first + 1, first + 20001)), True, '20,000 events over 21 connections: none lost, none doubled, in order')
same(host.close(), 0, 'the host closes everything')

# ---- silence ----

host = Host('--fast')
port = host.port
ws = Ws(port)
ws.receive()
same(ws.receive_frame()[1], 9, 'the server pings')
ok(wait_for(lambda: metric(port, 'sightline_ws_clients') == 0), 'a client that does not answer is closed')
same(metric(port, 'sightline_ws_clients_closed_total{reason="silent"}'), 1, 'for being silent')
ws.close()
ws = Ws(port)
ws.receive()
start = time.monotonic()
ws.send({'type': 'subscribe', 'topics': ['health']})
while time.monotonic() - start < 5:
    ws.receive()
ok(True, 'one that answers stays')
same(host.close(), 0, 'the host closes everything')
done()
