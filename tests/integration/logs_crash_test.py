#!/usr/bin/env python3
"""kill -9, a full disk and a store that goes away, under pushes of logs: every acknowledged line is there
afterwards, byte for byte, once, with its labels and metadata."""
import http.client
import json
import os
import random
import subprocess
import threading
import time

import logs
import moraine as m

ROUNDS = int(os.environ.get('MORAINE_CRASH_ROUNDS', '25'))
WRITERS = 3
STREAMS = 4
NS = 10**9
SHAPES = ('level=info msg="request done" path=/api/%d status=200 took=%dms', '{"id":%d,"user":"u%d","ok":true}',
          '10.0.%d.1 - - "GET /%d HTTP/1.1" 200', 'panic: %d goroutines\n\tat main.go:%d\n')


def line(writer, number, stream, binary):
    """The same line for the same place, so that what was acknowledged needs no memory of its bytes."""
    rng = random.Random('%d %d %d' % (writer, number, stream))
    kind = rng.randrange(6)
    if kind < 4:
        return (SHAPES[kind] % (rng.randrange(1000), rng.randrange(1 << 40))).encode()
    if kind == 4 or not binary:
        return ('ünïcödé \u2028 %d %s' % (rng.randrange(100), 'x' * rng.randrange(300))).encode()
    return rng.randbytes(rng.randrange(1, 200))


class Writer(threading.Thread):
    """Pushes batches over all its streams until the server dies; remembers what was answered."""

    def __init__(self, server, number, first, acknowledged, base_ns):
        super().__init__()
        self.server, self.number, self.next, self.base_ns = server, number, first, base_ns
        self.acknowledged = acknowledged
        self.stopping, self.refused = False, 0

    def streams(self, number, binary):
        time_ns = self.base_ns + number * 1000003
        out = []
        for i in range(STREAMS):
            text = line(self.number, number, i, binary)
            entry = (time_ns + i, text if binary else text.decode(), [('n', str(number)), ('trace_id', '%032x' % number)])
            out.append(({'job': 'crash', 'writer': str(self.number), 'i': str(i)}, [entry]))
        return out

    def run(self):
        while not self.stopping:
            number, self.next = self.next, self.next + 1
            way = number % 3
            try:
                if way == 0:
                    answer = logs.push(self.server, self.streams(number, True))
                else:
                    answer = logs.push_as_json(self.server, self.streams(number, False), compressed=way == 1)
            except (OSError, http.client.HTTPException):
                return
            if answer[0] == 204:
                self.acknowledged.append((self.number, number))
            elif answer[0] == 503:
                self.refused += 1
                time.sleep(0.005)
            else:
                raise AssertionError('push answered %d %s' % (answer[0], answer[1][:200]))


def check(server, acknowledged, base_ns, last):
    got = {}
    for labels, time_ns, text in logs.read_all(server, '{job="crash"}', base_ns, base_ns + (last + 2) * 1000003):
        stream = json.loads(labels)
        number, i = int(stream['n']), int(stream['i'])
        key = int(stream['writer']), number, i
        assert key not in got, 'twice: %s' % (key,)
        assert time_ns == base_ns + number * 1000003 + i, (key, time_ns)
        assert stream['trace_id'] == '%032x' % number, stream
        got[key] = text
    lost = wrong = 0
    for writer, number in acknowledged:
        for i in range(STREAMS):
            text = got.get((writer, number, i))
            lost += text is None
            wrong += text is not None and text != line(writer, number, i, number % 3 == 0)
    assert lost == 0 and wrong == 0, '%d lost and %d wrong of %d' % (lost, wrong, len(acknowledged) * STREAMS)
    return len(got)


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
    return max(w.next for w in writers) + 1, sum(w.refused for w in writers)


def flush_until_death(server):
    try:
        server.request('POST', '/ingester/flush')
    except (OSError, http.client.HTTPException):
        pass


def loop_of_kills(arguments):
    rng, acknowledged, first = random.Random(11), [], 0
    base_ns = (int(time.time()) - 7200) * NS
    data = m.work_dir('logcrash')
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
            check(server, acknowledged, base_ns, first)
            server.kill()
    server = m.Moraine(data, *arguments)
    server.flush()
    server.compact()
    count = check(server, acknowledged, base_ns, first)
    server.stop()
    print('%d rounds, %d acknowledged lines, %d found' % (ROUNDS, len(acknowledged) * STREAMS, count))
    assert len(acknowledged) > ROUNDS, 'too little was written for the test to mean anything'


def test_acknowledged_lines_survive_kills():
    loop_of_kills(['--limits', 'off'])


def test_acknowledged_lines_survive_kills_with_minio():
    loop_of_kills(['--limits', 'off', '--store', 's3://%s/logcrash-%d' % (os.environ['MORAINE_TEST_S3_BUCKET'],
                                                                       time.time_ns()),
                   '--s3.endpoint', os.environ['MORAINE_TEST_S3_ENDPOINT']])


def test_a_full_disk_refuses_lines_and_loses_none():
    disk, acknowledged = m.work_dir('disk'), []
    base_ns = (int(time.time()) - 7200) * NS
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk], check=True)
    try:
        arguments = ['--store', 'file://' + m.work_dir('store'), '--limits', 'off', '--ingester.lanes', '1']
        server = m.Moraine(os.path.join(disk, 'data'), *arguments)
        writer = Writer(server, 0, 0, acknowledged, base_ns)
        pad = [('pad', 'p' * 60000)]

        def push(number):
            streams = writer.streams(number, True)
            streams[0] = (streams[0][0], [(streams[0][1][0][0], streams[0][1][0][1], streams[0][1][0][2] + pad)])
            status, body, headers = logs.push(server, streams)
            if status == 204:
                acknowledged.append((0, number))
            else:
                assert status == 503 and headers['Retry-After'] and b'space' in body, (status, body)
            return status

        number = 0
        for number in range(0, 60, 3):
            assert push(number) == 204
        filler = os.path.join(disk, 'filler')
        with open(filler, 'wb') as f:
            free = os.statvfs(disk)
            try:
                f.write(b'\0' * (free.f_bavail * free.f_frsize))
            except OSError:
                pass
        refused = 0
        while refused < 5 and number < 6000:
            number += 3
            refused += push(number) == 503
        assert refused == 5, 'the disk was never full'
        os.unlink(filler)
        for _ in range(20):
            number += 3
            assert push(number) == 204, 'it did not resume when there was room again'
        check_padded(server, acknowledged, base_ns, number)
        server.kill()
        server = m.Moraine(server.data, *arguments)
        check_padded(server, acknowledged, base_ns, number)
        server.stop()
    finally:
        m._stop_all()
        subprocess.run(['umount', '-l', disk], check=True)


def check_padded(server, acknowledged, base_ns, last):
    """As check(), without the long values of metadata in each answer."""
    class Server:
        get_raw = staticmethod(lambda path, tenant=None, **p: server.get_raw(
            path, tenant, **{**p, 'query': p['query'].replace('}', '} | drop pad', 1)}))
    check(Server, acknowledged, base_ns, last)


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
        check(server, acknowledged, base_ns, first)
        resize(64 << 20)
        server.flush()
        check(server, acknowledged, base_ns, first)
        server.kill()
        server = m.Moraine(server.data, '--store', 'file://' + store, '--limits', 'off')
        check(server, acknowledged, base_ns, first)
        server.stop()
    finally:
        m._stop_all()
        subprocess.run(['umount', '-l', store], check=True)


if __name__ == '__main__':
    m.main(globals())
