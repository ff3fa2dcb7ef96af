#!/usr/bin/env python3
"""Queries that ask too much: each ends with an error that says why, in Prometheus' shape, takes no more
memory than it may, and leaves the server to the others."""
import json
import socket
import time
import urllib.parse

import moraine as m

MIB = 1 << 20
# Minutes of work without any data.
ENDLESS = 'quantile_over_time(0.3, (vector(time()) * 7 % 1009)[7d:1s])'
ENDLESS_RANGE = dict(query=ENDLESS, start='1700000000', end='1700160000', step='15')


def refused(server, status, kind, *says, path='/api/v1/query', **parameters):
    got, body, _ = server.get_raw(path, **parameters)
    answer = json.loads(body)
    assert (got, answer['status'], answer['errorType']) == (status, 'error', kind), (got, body[:500])
    for text in says:
        assert text in answer['error'], answer['error']


def cancelled(server):
    for line in server.request('GET', '/metrics')[1].decode().splitlines():
        if line.startswith('moraine_queries_total{result="canceled"}'):
            return float(line.split()[-1])
    return 0


def hang_up(server, path):
    """Sends a request and closes the connection while it is being worked on."""
    with socket.create_connection(('127.0.0.1', server.port)) as s:
        s.sendall(('GET %s HTTP/1.1\r\nHost: x\r\n\r\n' % path).encode())
        time.sleep(0.5)


def test_a_client_that_hangs_up_cancels_its_query():
    server = m.Moraine(None, '--query.threads', '1', '--limits.query_timeout', '0')
    asked = '/api/v1/query_range?' + urllib.parse.urlencode(ENDLESS_RANGE)
    for n in range(1, 4):
        hang_up(server, asked)
        m.wait_until('the query is cancelled', lambda: cancelled(server) == n, seconds=20)
        # Its thread, the only one, is free again.
        assert server.query('1 + 1', 0)[1] == '2'
    server.stop()


def test_time_runs_out():
    server = m.Moraine()
    refused(server, 503, 'timeout', 'timed out', path='/api/v1/query_range', timeout='1', **ENDLESS_RANGE)
    server.stop()
    server = m.Moraine(None, '--limits.query_timeout', '1s')
    refused(server, 503, 'timeout', 'timed out', path='/api/v1/query_range', timeout='100', **ENDLESS_RANGE)
    server.stop()


def fill(server, series, samples):
    now = int(time.time()) * 1000
    for first in range(0, series, 500):
        status, text, _ = server.push([
            ({'__name__': 'many', 'i': str(i), 'pod': 'pod-%d' % (i % 97)},
             [(now - 1000 * (samples - k), k) for k in range(samples)])
            for i in range(first, min(first + 500, series))])
        assert status == 204, text
    return now // 1000


def test_limits_of_a_query():
    server = m.Moraine(None, '--limits.query_samples_max', '10000', '--limits.query_series_max', '1500',
                       '--limits.query_range_max', '1d')
    now = fill(server, 2000, 20)
    refused(server, 422, 'execution', 'samples', query='many{i=~"1.*"}[1m]', time=str(now))
    refused(server, 422, 'execution', 'limits.query_series_max', '1500', query='count(many)', time=str(now))
    refused(server, 400, 'bad_data', 'limits.query_range_max', path='/api/v1/query_range', query='many',
            start='0', end='90000', step='60')
    assert server.query('count(many{i=~"1[0-9]"})', now)[0]['value'][1] == '10'
    server.stop()


def test_memory_of_a_query_is_bounded():
    server = m.Moraine(None, '--limits.query_bytes_max', '32MiB')
    now = fill(server, 5000, 20)
    server.query('count(many)', now)
    before = server.rss_bytes()
    for expression in ('many * on (i, pod) group_left () many', 'sort_by_label(many, "i") or many',
                       '{__name__=~".+"}[1h]'):
        parameters = dict(query=expression, start=str(now - 10000), end=str(now), step='1')
        if expression.endswith(']'):
            parameters = dict(query=expression, time=str(now))
        path = '/api/v1/query' + ('_range' if 'step' in parameters else '')
        status, body, _ = server.get_raw(path, **parameters)
        assert status == 200 or 'memory' in json.loads(body)['error'], body[:300]
        if 'step' in parameters:
            assert status == 422, (status, body[:300])
    assert server.rss_bytes() < before + 160 * MIB, (before, server.rss_bytes())
    server.stop()


def test_absurd_expressions_and_ranges():
    server = m.Moraine()
    ranged = lambda **p: dict(dict(path='/api/v1/query_range', query='up', start='0', end='60', step='15'), **p)
    before = server.rss_bytes()
    for depth in (10000, 200000):
        refused_deep = urllib.parse.urlencode({'query': '(' * depth + '1' + ')' * depth})
        status, body, _ = server.request('POST', '/api/v1/query', refused_deep,
                                         {'Content-Type': 'application/x-www-form-urlencoded'})
        assert status == 400 and b'nests deeper' in body, (status, body[:300])
    for regex in ('(a|b){1000}{1000}', 'a{1001}', '(((((a{100}){100}){100}){100}){100})', '('):
        refused(server, 400, 'bad_data', 'regex', query='up{a=~"%s"}' % regex)
    big = '|'.join('value%07d' % i for i in range(200000))
    status, body, _ = server.request('POST', '/api/v1/query', urllib.parse.urlencode({'query': 'up{a=~"%s"}' % big}),
                                     {'Content-Type': 'application/x-www-form-urlencoded'})
    assert status in (200, 400), (status, body[:300])
    refused(server, 400, 'bad_data', 'end timestamp must not be before start', **ranged(start='61'))
    refused(server, 400, 'bad_data', 'zero or negative', **ranged(step='0'))
    refused(server, 400, 'bad_data', 'zero or negative', **ranged(step='-5'))
    refused(server, 400, 'bad_data', '11,000', **ranged(end='11001', step='1'))
    refused(server, 400, 'bad_data', '"start"', **ranged(start='292277-01-01T00:00:00Z'))
    refused(server, 400, 'bad_data', '"end"', **ranged(end='1e300'))
    refused(server, 400, 'bad_data', '"start"', **ranged(start='NaN'))
    refused(server, 400, 'bad_data', '"step"', **ranged(step='1e300'))
    refused(server, 400, 'bad_data', '"time"', query='1', time='yesterday')
    refused(server, 400, 'bad_data', '"timeout"', query='1', timeout='soon')
    for expression in ('up[292277y]', 'up offset 292277y', 'up @ 1e300', 'vector(1)[1000y:1ms]'):
        got, body, _ = server.get_raw('/api/v1/query', query=expression)
        assert got in (200, 400, 422), (expression, got, body[:300])
    assert server.query('1', 9e12)[0] == 9e12  # far, and no reason to refuse it
    assert server.rss_bytes() < before + 96 * MIB, (before, server.rss_bytes())
    server.stop()


if __name__ == '__main__':
    m.main(globals())
