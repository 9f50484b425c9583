#!/usr/bin/python3
"""Every route of the table as every kind of caller; what the answers hold; the metrics, read strictly."""
import os, re, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from api_host import *

TOKEN = 'a-token-of-thirty-two-characters'

# ---- what is answered, without a token ----

host = Host()
port = host.port
host.say('events 30')

answer = ask(port, 'GET', '/api/v1/live')
same((answer.status, answer.body), (200, b'{"status":"live"}'), 'live')
for name, value in {'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer',
                    'x-frame-options': 'DENY', 'cache-control': 'no-store'}.items():
    same(answer.headers.get(name), value, 'header ' + name)
policy = answer.headers.get('content-security-policy', '')
ok("default-src 'self'" in policy and "frame-ancestors 'none'" in policy and 'unsafe' not in policy,
   'a content security policy without unsafe-...')
ok('server' not in answer.headers, 'no word about the server')

answer = ask(port, 'HEAD', '/api/v1/cameras')
full = ask(port, 'GET', '/api/v1/cameras')
same((answer.status, answer.body), (200, b''), 'HEAD has no body')
same(answer.headers['content-length'], full.headers['content-length'], 'and the length that GET has')

camera = json.loads(full.body)['cameras'][0]
same(sorted(camera), sorted(['name', 'state', 'reason', 'source', 'codec', 'video', 'width', 'height', 'fps', 'progress',
                             'coverage', 'frames', 'reconnects', 'decode_errors', 'packets_lost', 'packet_loss', 'lines', 'main', 'managed', 'zones',
                             'analysis', 'transport', 'decoder', 'decoder_note', 'classes', 'version']),
     'a camera has the members of protocol.md')
same((camera['name'], camera['state'], camera['video'], camera['coverage']), ('gate', 'streaming', 'h264', 0.98), 'its state')
same(camera['lines'], [{'name': 'door "A"', 'coordinates': [[0, 0], [1, 0.5]], 'a_to_b': 'in', 'b_to_a': 'out',
                        'classes': ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck']}], 'its line')
same(json.loads(full.body)['cameras'][1]['coverage'], None, 'a coverage that is not known yet is null')

counts = ask_json(port, '/api/v1/counts')
same(counts, {'seq': 30, 'counters': [
    {'camera': 'gate', 'counter': 'door "A"', 'kind': 'line', 'total': {'a_to_b': 20, 'b_to_a': 10},
     'classes': {'person': {'a_to_b': 20, 'b_to_a': 10}}},
    {'camera': 'gate', 'counter': 'hall', 'kind': 'zone', 'total': {'entries': 0, 'exits': 0, 'occupancy': 0}, 'classes': {}}]},
    'counts')
host.say('occupancy 3')
same(ask_json(port, '/api/v1/counts')['counters'][1]['classes'], {'person': {'entries': 0, 'exits': 0, 'occupancy': 3}},
     'occupancy')

events = ask_json(port, '/api/v1/events')
same([event['seq'] for event in events['events']], list(range(1, 31)), 'events from the beginning')
same(events['last_seq'], 30, 'last_seq')
same([event['seq'] for event in ask_json(port, '/api/v1/events?since=10&limit=5')['events']], [11, 12, 13, 14, 15], 'a page')
same(ask_json(port, '/api/v1/events?since=30')['events'], [], 'after the last')
same(ask_json(port, '/api/v1/events?limit=0')['events'], [], 'an empty page')
same(sorted(events['events'][0]), sorted(['seq', 'time', 'kind', 'camera', 'counter', 'direction', 'class', 'confidence',
                                          'class_share', 'track', 'frame', 'pts_ms', 'dwell_ms', 'rule', 'path']),
     'an event has the members of protocol.md')

door = '/api/v1/history?camera=gate&counter=door+%22A%22'
for bucket in ('minute', 'hour', 'day'):
    history = ask_json(port, door + '&bucket=' + bucket)
    same(sum(b['classes']['person']['a_to_b'] + b['classes']['person']['b_to_a'] for b in history['buckets']), 30,
         'history by %s sums to the events' % bucket)
    ok(all(0 <= b['coverage'] <= 1 for b in history['buckets']), 'coverage is a share')
same(ask_json(port, '/api/v1/history?camera=gate&counter=hall')['kind'], 'zone', 'the kind of a zone')
same(ask_json(port, door + '&from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z')['buckets'], [], 'a time without counts')
for path, status in {
        '/api/v1/history': 400, '/api/v1/history?camera=gate': 400, door + '&bucket=week': 400, door + '&from=tomorrow': 400,
        door + '&from=200&to=100': 400, door + '&from=0': 400, door + '&form=0': 400, door + '&camera=gate': 400,
        '/api/v1/history?camera=nope&counter=door': 404, '/api/v1/history?camera=gate&counter=nope': 404,
        '/api/v1/events?since=x': 400, '/api/v1/events?limit=1001': 400, '/api/v1/events?since=-1': 400,
        '/api/v1/live?x=1': 400, '/api/v1/cameras?x': 400, '/api/v1/nope': 404, '/api/v1/': 404, '/nope': 404,
        '/api/v1/live/': 404, '/API/v1/live': 404, '/api/v1/ws': 426}.items():
    answer = ask(port, 'GET', path)
    wrong = json.loads(answer.body)
    ok(answer.status == status and sorted(wrong) == ['error', 'message'] and wrong['message'], '%d for %s' % (status, path))

same(ask_json(port, '/api/v1/ready'), {'status': 'ready', 'problems': []}, 'ready')
host.say('problem disk is slow')
same((ask(port, 'GET', '/api/v1/ready').status, ask_json(port, '/api/v1/ready')['status']), (200, 'degraded'), 'degraded')
host.say('problem!disk is full')
answer = ask(port, 'GET', '/api/v1/ready')
same((answer.status, json.loads(answer.body)), (503, {'status': 'not_ready', 'problems': [{'what': 'ledger', 'text': 'disk is full'}]}),
     'not ready')
host.say('problem')
same(sorted(ask_json(port, '/api/v1/version')), ['backend', 'model', 'version'], 'version')

# ---- the dashboard's files ----

page = ask(port, 'GET', '/')
ok(page.status == 200 and page.headers['content-type'].startswith('text/html') and page.headers['cache-control'] == 'no-cache',
   'the page')
same(ask(port, 'GET', '/', ['If-None-Match: ' + page.headers['etag']]).status, 304, 'not modified')
same(ask(port, 'GET', '/', ['If-None-Match: "other"']).status, 200, 'modified')
same(ask(port, 'POST', '/').status, 405, 'a page takes no POST')

# ---- names that a stranger could point here ----

same(ask(port, 'GET', '/api/v1/counts', host='evil.example').status, 421, 'another name in Host, without a token: 421')
for name in ('localhost', 'localhost:%d' % port, '127.0.0.1', '127.0.0.1:%d' % port, '[::1]:%d' % port):
    same(ask(port, 'GET', '/api/v1/counts', host=name).status, 200, 'Host: ' + name)

# ---- metrics ----

def read_openmetrics(text):
    """Families by name; raises ValueError for anything that the standard does not allow."""
    suffixes = {'counter': ('_total', '_created'), 'gauge': ('',), 'info': ('_info',), 'stateset': ('',), 'unknown': ('',),
                'histogram': ('_bucket', '_count', '_sum', '_created'), 'summary': ('', '_count', '_sum', '_created')}
    if not text.endswith('# EOF\n') or '\r' in text:
        raise ValueError('the end')
    families, family, samples = {}, None, set()
    for line in text[:-len('# EOF\n')].split('\n')[:-1]:
        match = re.fullmatch(r'# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)', line)
        if match:
            what, name, value = match.groups()
            if family is None or family['name'] != name:
                if name in families:
                    raise ValueError('interleaved: ' + line)
                family = families[name] = {'name': name, 'samples': {}}
            if what in family or family['samples']:
                raise ValueError('twice or late: ' + line)
            if what == 'TYPE' and value not in suffixes:
                raise ValueError(line)
            if what == 'UNIT' and not name.endswith('_' + value):
                raise ValueError('unit: ' + line)
            family[what] = value
            continue
        match = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|\+Inf|-Inf)', line)
        if not match or family is None:
            raise ValueError(line)
        name, labels, value = match.groups()
        if name not in [family['name'] + suffix for suffix in suffixes[family['TYPE']]]:
            raise ValueError('of no family: ' + line)
        pairs = {}
        rest = labels or ''
        while rest:
            pair = re.match(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?=.)|$)', rest)
            if not pair or pair.group(1) in pairs:
                raise ValueError('labels: ' + line)
            pairs[pair.group(1)] = pair.group(2)
            rest = rest[pair.end():]
        key = (name, tuple(sorted(pairs.items())))
        if key in samples:
            raise ValueError('twice: ' + line)
        samples.add(key)
        if family['TYPE'] == 'counter' and float(value) < 0:
            raise ValueError('negative: ' + line)
        family['samples'][key] = float(value)
    return families

answer = ask(port, 'GET', '/metrics')
same(answer.headers['content-type'], 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'type of the metrics')
try:
    families = read_openmetrics(answer.body.decode())
    ok(True, 'the metrics are valid OpenMetrics')
except ValueError as error:
    families = {}
    ok(False, 'the metrics are valid OpenMetrics: %s' % error)
ok(all('HELP' in family and 'TYPE' in family for family in families.values()), 'all have type and help')
for name in ('sightline_build', 'sightline_crossings', 'sightline_zone_occupancy', 'sightline_zone_entries', 'sightline_zone_exits',
             'sightline_camera_up', 'sightline_camera_reconnects', 'sightline_frames_decoded', 'sightline_frames_analysed',
             'sightline_frames_still', 'sightline_frames_failed', 'sightline_decode_errors', 'sightline_decode_packets_dropped', 'sightline_decode_relief',
             'sightline_analysis_wanted_rate', 'sightline_analysis_given_rate', 'sightline_camera_losses', 'sightline_camera_connects_waiting',
             'sightline_rtp_packets_received', 'sightline_rtp_packets_lost', 'sightline_rtp_packets_late', 'sightline_rtp_loss_ratio', 'sightline_rtp_jitter_seconds',
             'sightline_frames_skipped', 'sightline_frames_dropped', 'sightline_count_coverage_ratio', 'sightline_ledger_commits', 'sightline_ledger_disk_free_bytes',
             'sightline_ledger_failed_commits', 'sightline_ledger_events_waiting', 'sightline_ledger_events_lost', 'sightline_ledger_coverage_lost',
             'sightline_ledger_last_commit_seconds', 'sightline_redis_state', 'sightline_http_requests', 'sightline_http_refusals',
             'sightline_ws_clients', 'sightline_ws_messages_dropped', 'process_resident_memory_bytes', 'process_cpu_seconds',
             'process_open_fds', 'sightline_pool_batches'):
    ok(name in families, 'there is ' + name)
crossings = {dict(key[1])['direction']: value for key, value in families['sightline_crossings']['samples'].items()
             if dict(key[1])['class'] == 'person'}
same(crossings, {'a_to_b': 20, 'b_to_a': 10}, 'crossings')
ok(all(dict(key[1])['line'] == 'door \\"A\\"' for key in families['sightline_crossings']['samples']), 'a name with quotes is escaped')
same(families['sightline_camera_up']['samples'][('sightline_camera_up', (('camera', 'gate'),))], 1, 'a camera that is up')
same(host.close(), 0, 'the host closes everything')

# ---- who may ask what ----

host = Host('--token', TOKEN)
port = host.port
bearer = ['Authorization: Bearer ' + TOKEN]
answer = ask(port, 'POST', '/api/v1/session', body=json.dumps({'token': TOKEN}).encode())
cookie = answer.headers.get('set-cookie', '')
same((answer.status, json.loads(answer.body)), (200, {'required': True, 'signed_in': True}), 'signing in')
ok('HttpOnly' in cookie and 'SameSite=Strict' in cookie and 'Path=/' in cookie and 'Max-Age=2592000' in cookie, 'its cookie')
session = ['Cookie: ' + cookie.split(';')[0]]

callers = {'nobody': [], 'another scheme': ['Authorization: Basic ' + TOKEN], 'an empty bearer': ['Authorization: Bearer '],
           'a forged session': ['Cookie: ' + cookie.split('=')[0] + '=' + 'A' * 43], 'the token': bearer, 'a session': session}
upgrade = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: ' + 'A' * 22 + '==']
normal = {'/api/v1/history': (400,), '/api/v1/ws': (101,), '/api/v1/jobs': (400, 501), '/api/v1/jobs/picture': (400,), '/api/v1/jobs/data': (400,),
          '/api/v1/cameras/*/snapshot': (404,), '/api/v1/snapshot': (400,)}
rows = subprocess.run([PROGRAM, '--routes'], capture_output=True, text=True).stdout.split('\n')[:-1]
ok(len(rows) >= 12, 'the table has %d rows' % len(rows))
for row in rows:
    method, path, rights = row.split()
    for name, headers in callers.items():
        if method in ('POST', 'DELETE') and path == '/api/v1/session':
            continue  # below
        may = rights == 'open' or name in ('the token', 'a session')
        status = ask(port, method, path, headers + (upgrade if path.endswith('/ws') else [])).status
        ok(status in (normal.get(path, (200,)) if may else (401,)), '%s %s as %s: %d' % (method, path, name, status))
# What is in no row: only the dashboard's files, for anybody.
for path in ('/api/v1/nope', '/api', '/debug', '/.git/config', '/api/v1/config'):
    same(ask(port, 'GET', path).status, 404, 'nothing at ' + path)
same(ask(port, 'GET', '/').status, 200, 'the page is open')

ok('problems' not in ask_json(port, '/api/v1/ready'), 'strangers learn no problems')
ok('problems' in ask_json(port, '/api/v1/ready', bearer), 'others do')
same(ask_json(port, '/api/v1/session'), {'required': True, 'signed_in': False}, 'the dashboard learns that it must ask')
same(ask_json(port, '/api/v1/session', session), {'required': True, 'signed_in': True}, 'or not')
same(ask(port, 'GET', '/api/v1/counts', bearer, host='counts.example').status, 200, 'with a token any name is fine')

own, foreign = 'Origin: http://localhost', 'Origin: http://evil.example'
body = json.dumps({'token': TOKEN}).encode()
same(ask(port, 'POST', '/api/v1/session', [foreign], body).status, 403, 'signing in from another site: 403')
same(ask(port, 'POST', '/api/v1/session', ['Origin: null'], body).status, 403, 'from nowhere: 403')
same(ask(port, 'POST', '/api/v1/session', [own], body).status, 200, 'from our own page')
same(ask(port, 'GET', '/api/v1/ws', session + upgrade + [foreign]).status, 403, 'a WebSocket from another site: 403')
same(ask(port, 'GET', '/api/v1/ws', session + upgrade + ['Origin: http://localhost.evil.example']).status, 403, 'from one that begins like us: 403')
same(ask(port, 'GET', '/api/v1/ws', session + upgrade + [own]).status, 101, 'from our own page')
for data in (b'', b'{}', b'[]', b'{"token":1}', b'x' * 100, b'{"token":"a","more":1}'):
    same(ask(port, 'POST', '/api/v1/session', body=data).status, 400, 'a body that is none: %r' % data[:20])

ws = Ws(port, session)
same(ws.receive()['type'], 'hello', 'a WebSocket of this session')
same(ask(port, 'DELETE', '/api/v1/session', session + [foreign]).status, 403, 'signing out from another site: 403')
answer = ask(port, 'DELETE', '/api/v1/session', session)
ok(answer.status == 200 and 'Max-Age=0' in answer.headers['set-cookie'], 'signing out')
try:
    while True:
        ws.receive()
except Closed as closed:
    same((closed.code, closed.reason), (1008, 'signed out'), 'ends its WebSockets')
same(ask(port, 'GET', '/api/v1/counts', session).status, 401, 'and the session')

statuses = [ask(port, 'POST', '/api/v1/session', body=b'{"token":"guess%d"}' % i).status for i in range(7)]
same(statuses, [401] * 5 + [429] * 2, 'five guesses a minute')
same(ask(port, 'POST', '/api/v1/session', body=body).status, 429, 'the right one after them is not heard')
same(ask(port, 'GET', '/api/v1/counts', bearer).status, 429, 'nor as a bearer')
same(ask(port, 'GET', '/api/v1/live').status, 200, 'what is open stays open')
same(ask(port, 'GET', '/api/v1/ready', bearer).status, 200, 'a probe too')
same(host.close(), 0, 'the host closes everything')
done()
