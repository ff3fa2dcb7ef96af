#!/usr/bin/env python3
"""32 clients query everything there is while writes, flushes and compaction go on: answers stay right.
The build under ThreadSanitizer runs this too; its reports fail the test."""
import json
import threading
import time
import urllib.parse

import moraine as m

CLIENTS, SERIES, ROUNDS = 32, 40, 12


def batch(start, n):
    return [({'__name__': 'x', 'i': str(i), 'job': 'ab'[i % 2]}, [((start + n) * 1000, n)])
            for i in range(SERIES)]


class Client(threading.Thread):
    """Asks in turn; what it finds wrong is in `problem`."""

    def __init__(self, server, number, start, written):
        super().__init__()
        self.server, self.number, self.start_s, self.written = server, number, start, written
        self.problem, self.asked, self.ending = None, 0, False

    def run(self):
        try:
            while not self.ending:
                self.ask(self.asked + self.number)
                self.asked += 1
        except Exception as error:
            self.problem = error

    def ask(self, n):
        server, end = self.server, self.start_s + self.written[0]
        span = dict(start=str(self.start_s), end=str(end))
        kind = n % 13
        if kind == 0:  # what was acknowledged before the question is in the answer
            got = server.query('sum(x)', end)
            assert got[0]['value'][1] == str(self.written_value(end) * SERIES), got
        elif kind == 1:
            server.query_range('sum by (job) (rate(x[5s]))', self.start_s, end, 1)
        elif kind == 2:
            assert server.get('/api/v1/labels', **span) == ['__name__', 'i', 'job']
        elif kind == 3:
            assert server.get('/api/v1/label/job/values', **span) == ['a', 'b']
        elif kind == 4:
            assert len(server.get('/api/v1/series', **{'match[]': 'x'}, **span)) == SERIES
        elif kind == 5:
            server.query_range('quantile_over_time(0.5, x[10s])', self.start_s, end, 1)
        elif kind == 6:
            assert server.get_raw('/federate', **{'match[]': 'x'})[0] == 200
        elif kind == 7:
            server.get('/api/v1/status/tsdb')
        elif kind == 8:
            server.query_range('topk(3, x) and on (i) x > 1', self.start_s, end, 1)
        elif kind == 9:
            server.get('/api/v1/query_exemplars', query='x', **span)
        elif kind == 10:
            server.get('/api/v1/query', tenant='anonymous|other', query='count(x)', time=str(end))
        elif kind == 11:
            self.ask_kept(self.written[0])
        else:
            request = m.field(1, b'\x08' + m.varint(self.start_s * 1000) + b'\x10' + m.varint(end * 1000) +
                              m.field(3, m.field(2, b'__name__') + m.field(3, b'x'))) + b'\x10\x01'
            assert server.request('POST', '/api/v1/read', m.snappy(request))[0] == 200

    def ask_kept(self, written):
        """Past what is written the newest value stands for a while: steps that the result cache has and
        the next write changes."""
        got = self.server.query_range('sum(x)', self.start_s, self.start_s + 2 * ROUNDS, 1)[0]['values']
        assert len(got) == 2 * ROUNDS + 1, got
        for n, (_, value) in enumerate(got):
            value = float(value) / SERIES
            assert value == n if n <= written else written <= value <= n, (n, written, got)

    def written_value(self, end):
        return end - self.start_s


def test_many_clients_while_data_moves():
    server = m.Moraine()
    start, written = int(time.time()) - 600, [0]
    assert server.push(batch(start, 0))[0] == 204
    clients = [Client(server, i, start, written) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    for n in range(1, ROUNDS + 1):
        assert server.push(batch(start, n))[0] == 204
        written[0] = n
        server.push(batch(start, n), tenant='other')
        if n % 3 == 0:
            server.flush()
        if n % 6 == 0:
            server.compact()
        time.sleep(0.2)
    for client in clients:
        client.ending = True
    for client in clients:
        client.join(120)
        assert not client.is_alive() and client.problem is None, client.problem
    print('%d questions' % sum(client.asked for client in clients))
    server.stop()
    assert 'ThreadSanitizer' not in server.log_text(), server.log_text()


if __name__ == '__main__':
    m.main(globals())
