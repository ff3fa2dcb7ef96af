#!/usr/bin/env python3
"""kill -9, a full disk and a store that goes away, under pushes of spans: every acknowledged span is there
afterwards, with everything that was sent, once, in its one trace."""
import base64
import http.client
import json
import os
import random
import subprocess
import threading
import time

import moraine as m
import otlp

ROUNDS = int(os.environ.get('MORAINE_CRASH_ROUNDS', '25'))
WRITERS = 3
SPANS = 3  # of a push, in each of two traces
PUSHES = 4  # that add to the same traces
NS = 10**9
STATUS = {'message': (2, 'text'), 'code': (3, 'varint')}
EVENT = {'timeUnixNano': (1, 'fixed64'), 'name': (2, 'text'), 'attributes': (3, otlp.KEY_VALUE)}
SPAN = {'traceId': (1, 'id'), 'spanId': (2, 'id'), 'parentSpanId': (4, 'id'), 'name': (5, 'text'), 'kind': (6, 'varint'),
        'startTimeUnixNano': (7, 'fixed64'), 'endTimeUnixNano': (8, 'fixed64'), 'attributes': (9, otlp.KEY_VALUE),
        'events': (11, EVENT), 'status': (15, STATUS)}
TRACES = {'resourceSpans': (1, {'resource': (1, otlp.RESOURCE), 'scopeSpans': (2, {'scope': (1, otlp.SCOPE),
                                                                                 'spans': (2, SPAN)})})}


def trace_id(writer, number, which):
    return bytes([0xc0 + writer, which]) + bytes(10) + (number // PUSHES).to_bytes(4, 'big')


def span(writer, number, which, i, base_ns):
    """The same span for the same place, so that what was acknowledged needs no memory of its bytes."""
    rng = random.Random('%d %d %d %d' % (writer, number, which, i))
    start = base_ns + number * 1000003 + i * 1000
    place = number % PUSHES * SPANS + i + 1
    out = {'traceId': trace_id(writer, number, which), 'spanId': place.to_bytes(8, 'big'), 'name': 'op %d' % rng.randrange(20),
           'kind': rng.randrange(1, 6), 'startTimeUnixNano': start, 'endTimeUnixNano': start + rng.randrange(NS),
           'attributes': otlp.attributes([('n', number), ('pad', 'x' * rng.randrange(200)), ('share', rng.random()),
                                          ('ok', rng.random() < 0.5), ('list', [1, 2, rng.randrange(9)])])}
    if place > 1:
        out['parentSpanId'] = (1).to_bytes(8, 'big')
    if rng.random() < 0.3:
        out['status'] = {'code': 2, 'message': 'failed %d' % rng.randrange(9)}
        out['events'] = [{'timeUnixNano': start + 1, 'name': 'exception', 'attributes': otlp.attributes([('a', 'b')])}]
    return out


def request(writer, number, base_ns):
    return {'resourceSpans': [
        {'resource': {'attributes': otlp.attributes([('service.name', 'writer %d' % writer), ('part', which)])},
         'scopeSpans': [{'scope': {'name': 'crash'},
                         'spans': [span(writer, number, which, i, base_ns) for i in range(SPANS)]}]}
        for which in range(2)]}


class Writer(threading.Thread):
    """Pushes until the server dies; remembers what was answered."""

    def __init__(self, server, number, first, acknowledged, base_ns):
        super().__init__()
        self.server, self.number, self.next, self.base_ns = server, number, first, base_ns
        self.acknowledged = acknowledged
        self.stopping, self.refused, self.failure = False, 0, None

    def push(self, number):
        return otlp.post(self.server, '/v1/traces', TRACES, request(self.number, number, self.base_ns), number % 2 == 0)

    def run(self):
        while not self.stopping:
            number, self.next = self.next, self.next + 1
            try:
                status, body, _ = self.push(number)
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                self.acknowledged.append((self.number, number))
            elif status == 503:
                self.refused += 1
                time.sleep(0.005)
            else:
                self.failure = '%d %s' % (status, body[:200])
                return


def normal(sent, resource):
    """A sent span in the form in which normal_answer() has it."""
    text = otlp.to_json(SPAN, sent)
    return json.dumps([resource, text['name'], text['kind'], text['startTimeUnixNano'], text['endTimeUnixNano'],
                       text.get('parentSpanId', ''), sorted(json.dumps(a, sort_keys=True) for a in text['attributes']),
                       text.get('status', {}), text.get('events', [])], sort_keys=True)


KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']
CODES = {'STATUS_CODE_OK': 1, 'STATUS_CODE_ERROR': 2}


def normal_answer(got, resource):
    status = dict(got['status'])
    if 'code' in status:
        status['code'] = CODES[status['code']]
    return json.dumps([resource, got['name'], KINDS.index(got['kind'][len('SPAN_KIND_'):]), got['startTimeUnixNano'],
                       got['endTimeUnixNano'], base64.b64decode(got.get('parentSpanId', '')).hex(),
                       sorted(json.dumps(a, sort_keys=True) for a in got['attributes']), status,
                       got.get('events', [])], sort_keys=True)


class Reader:
    """Traces by their ids, over one connection."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=120)

    def trace(self, ident):
        self.connection.request('GET', '/api/traces/' + ident.hex())
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status == 404:
            return {}
        assert answer.status == 200, (answer.status, body[:300])
        found = {}
        for batch in json.loads(body)['batches']:
            resource = {a['key']: a['value'] for a in batch['resource']['attributes']}
            name = resource['service.name']['stringValue'] + ' ' + resource['part']['intValue']
            for scope in batch['scopeSpans']:
                assert scope['scope'] == {'name': 'crash'}, scope['scope']
                for one in scope['spans']:
                    key = int.from_bytes(base64.b64decode(one['spanId']), 'big')
                    assert key not in found, 'twice: %s %d' % (ident.hex(), key)
                    assert base64.b64decode(one['traceId']) == ident
                    found[key] = normal_answer(one, name)
        return found


def check(server, acknowledged, base_ns):
    reader, lost, wrong, count = Reader(server), 0, 0, 0
    pushes = {}
    for writer, number in acknowledged:
        pushes.setdefault((writer, number // PUSHES), []).append(number)
    for (writer, _), numbers in pushes.items():
        for which in range(2):
            found = reader.trace(trace_id(writer, numbers[0], which))
            count += len(found)
            for number in numbers:
                for i in range(SPANS):
                    sent = span(writer, number, which, i, base_ns)
                    got = found.get(int.from_bytes(sent['spanId'], 'big'))
                    lost += got is None
                    wrong += got is not None and got != normal(sent, 'writer %d %d' % (writer, which))
    assert lost == 0 and wrong == 0, '%d lost and %d wrong of %d' % (lost, wrong, len(acknowledged) * 2 * SPANS)
    return count


def run_writers(server, acknowledged, first, base_ns, seconds, meanwhile=lambda: None, kill=True):
    writers = [Writer(server, w, first, acknowledged, base_ns) for w in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(seconds)
    meanwhile()
    if kill:
        server.kill()
    for writer in writers:
        writer.stopping = True
        writer.join()
        assert writer.failure is None, writer.failure
    return max(w.next for w in writers) + 1, sum(w.refused for w in writers)


def flush_until_death(server):
    try:
        server.request('POST', '/ingester/flush')
    except (OSError, http.client.HTTPException):
        pass


def loop_of_kills(arguments):
    rng, acknowledged, first = random.Random(11), [], 0
    base_ns = (int(time.time()) - 7200) * NS
    data = m.work_dir('tracecrash')
    for number in range(ROUNDS):
        server = m.Moraine(data, *arguments)

        def meanwhile():
            if number % 5 == 1:
                # Die in the middle of a flush, too.
                threading.Thread(target=flush_until_death, args=(server,), daemon=True).start()
                time.sleep(rng.uniform(0, 0.03))
            if number % 7 == 3:
                server.flush()
                server.compact()
        first, _ = run_writers(server, acknowledged, first, base_ns, rng.uniform(0.02, 0.2), meanwhile)
        if number % 8 == 7 or number == ROUNDS - 1:
            server = m.Moraine(data, *arguments)
            check(server, acknowledged, base_ns)
            server.kill()
    server = m.Moraine(data, *arguments)
    server.flush()
    server.compact()
    count = check(server, acknowledged, base_ns)
    server.stop()
    print('%d rounds, %d acknowledged spans, %d found' % (ROUNDS, len(acknowledged) * 2 * SPANS, count))
    assert len(acknowledged) >= ROUNDS // 2, 'too little was written for the test to mean anything'


def test_acknowledged_spans_survive_kills():
    loop_of_kills(['--limits', 'off'])


def test_acknowledged_spans_survive_kills_with_minio():
    loop_of_kills(['--limits', 'off', '--store', 's3://%s/tracecrash-%d' % (os.environ['MORAINE_TEST_S3_BUCKET'],
                                                                         time.time_ns()),
                   '--s3.endpoint', os.environ['MORAINE_TEST_S3_ENDPOINT']])


def test_a_full_disk_refuses_spans_and_loses_none():
    disk, acknowledged = m.work_dir('disk'), []
    base_ns = (int(time.time()) - 7200) * NS
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk], check=True)
    try:
        arguments = ['--store', 'file://' + m.work_dir('store'), '--limits', 'off', '--ingester.lanes', '1']
        server = m.Moraine(os.path.join(disk, 'data'), *arguments)
        writer = Writer(server, 0, 0, acknowledged, base_ns)

        def push(number):
            # A span of another trace fills the log.
            message = request(0, number, base_ns)
            large = span(1, number, 0, 0, base_ns)
            large['attributes'].append({'key': 'large', 'value': 'p' * 60000})
            message['resourceSpans'][0]['scopeSpans'][0]['spans'].append(large)
            status, body, headers = otlp.post(server, '/v1/traces', TRACES, message)
            if status == 200:
                acknowledged.append((0, number))
            else:
                assert status == 503 and headers['Retry-After'] and b'space' in body, (status, body)
            return status

        number = 0
        for number in range(20):
            assert push(number) == 200
        filler = os.path.join(disk, 'filler')
        with open(filler, 'wb') as f:
            free = os.statvfs(disk)
            try:
                f.write(b'\0' * (free.f_bavail * free.f_frsize))
            except OSError:
                pass
        refused = 0
        while refused < 5 and number < 2000:
            number += 1
            refused += push(number) == 503
        assert refused == 5, 'the disk was never full'
        os.unlink(filler)
        for _ in range(20):
            number += 1
            assert push(number) == 200, 'it did not resume when there was room again'
        check(server, acknowledged, base_ns)
        server.kill()
        server = m.Moraine(server.data, *arguments)
        check(server, acknowledged, base_ns)
        server.stop()
    finally:
        m._stop_all()
        subprocess.run(['umount', '-l', disk], check=True)


def test_a_store_that_takes_nothing_delays_only_flushes():
    store, acknowledged = m.work_dir('store'), []
    base_ns = (int(time.time()) - 7200) * NS
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', store], check=True)
    try:
        server = m.Moraine(None, '--store', 'file://' + store, '--limits', 'off')
        first, refused = run_writers(server, acknowledged, 0, base_ns, 0.3, server.flush, kill=False)
        used = os.statvfs(store)
        resize = lambda size: subprocess.run(['mount', '-o', 'remount,size=%d' % size, store], check=True)
        resize((used.f_blocks - used.f_bfree) * used.f_frsize)
        first, refused = run_writers(server, acknowledged, first, base_ns, 0.3, kill=False)
        assert refused == 0
        status, body, _ = server.request('POST', '/ingester/flush', timeout=300)
        assert status >= 500, (status, body)
        first, refused = run_writers(server, acknowledged, first, base_ns, 0.3, kill=False)
        assert refused == 0
        check(server, acknowledged, base_ns)
        resize(64 << 20)
        server.flush()
        check(server, acknowledged, base_ns)
        server.kill()
        server = m.Moraine(server.data, '--store', 'file://' + store, '--limits', 'off')
        check(server, acknowledged, base_ns)
        server.stop()
    finally:
        m._stop_all()
        subprocess.run(['umount', '-l', store], check=True)


if __name__ == '__main__':
    m.main(globals())
