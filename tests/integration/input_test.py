#!/usr/bin/env python3
"""What bad and odd input gets over HTTP: Prometheus' own statuses and shapes, a text that says what
to do, and nothing that was accepted is lost."""
import json
import socket
import struct
import time

import moraine as m

NOW = int(time.time() * 1000)
STALE = struct.pack('<Q', 0x7ff0000000000002)


def expect(answer, status, *texts):
    got, body, _ = answer
    assert got == status, '%d instead of %d: %s' % (got, status, body[:300])
    for text in texts:
        assert text in body.decode(errors='replace'), '%r is not in %r' % (text, body[:300])


def alive(server):
    assert server.request('GET', '/ready')[0] == 200


def test_a_request_with_some_bad_samples_keeps_the_good_ones():
    server = m.Moraine()
    good = ({'__name__': 'good', 'a': 'b'}, [(NOW, 1.0)])
    for bad, text in [
        (([('__name__', 'x'), ('a', '1'), ('a', '2')], [(NOW, 1.0)]), 'duplicate'),
        (({'__name__': b'not utf-8 \xff'}, [(NOW, 1.0)]), 'UTF-8'),
        (({'a': 'no name'}, [(NOW, 1.0)]), 'name'),
        (({'__name__': 'x', 'l' * 2000: 'v'}, [(NOW, 1.0)]), 'label_name_bytes'),
        (({'__name__': 'x', 'l': 'v' * 70000}, [(NOW, 1.0)]), 'label_value_bytes'),
        (({'__name__': 'x', **{'l%03d' % i: 'v' for i in range(200)}}, [(NOW, 1.0)]), 'label_names'),
        (({'__name__': 'x'}, [(NOW + 86400000, 1.0)]), 'future'),
    ]:
        tenant = 't%d' % (hash(text) % 1000000)
        expect(server.push([bad, good], tenant), 400, text)
        assert len(server.query('good', NOW / 1000, tenant)) == 1, text
    server.stop()


def test_values_come_back_bit_for_bit():
    server = m.Moraine()
    values = [(NOW - 5000, float('inf')), (NOW - 4000, float('-inf')), (NOW - 3000, 5e-324),
              (NOW - 2000, -0.0), (NOW - 1000, 1.7976931348623157e308)]
    expect(server.push([({'__name__': 'odd'}, values)]), 204)
    expect(server.push([({'__name__': 'not_a_number'}, [(NOW, m.struct.pack('<Q', 0x7ff8000000000001))])]), 204)
    for _ in range(2):
        got = server.query('odd[10s]', NOW / 1000)[0]['values']
        assert [v for _, v in got] == ['+Inf', '-Inf', '5e-324', '-0', '1.7976931348623157e+308'], got
        assert server.query('not_a_number', NOW / 1000)[0]['value'][1] == 'NaN'
        server.flush()
    server.stop()


def test_stale_markers_end_a_series():
    server = m.Moraine()
    server.push([({'__name__': 's'}, [(NOW - 60000, 1.0), (NOW - 30000, STALE)])])
    assert len(server.query('s', (NOW - 40000) / 1000)) == 1
    assert server.query('s', NOW / 1000) == []
    server.stop()


def test_any_order_of_timestamps_and_duplicates():
    server = m.Moraine()
    labels = {'__name__': 'order'}
    for t in (5, 1, 3, 2, 4, 3, 1):
        expect(server.push([(labels, [(NOW + t * 1000 - 10000, float(t))])]), 204)
    for step in ('head', 'flushed', 'compacted'):
        got = server.query('order[20s]', NOW / 1000)[0]['values']
        assert [float(v) for _, v in got] == [1, 2, 3, 4, 5], (step, got)
        server.flush() if step == 'head' else server.compact()
    expect(server.push([(labels, [(NOW, 1.0)])]), 204)
    expect(server.push([(labels, [(NOW, 1.0)])]), 204)
    expect(server.push([(labels, [(NOW, 2.0)])]), 400, 'duplicate')
    server.stop()


def test_tenants_are_apart_and_their_names_are_checked():
    server = m.Moraine()
    server.push([({'__name__': 'mine'}, [(NOW, 1.0)])], 'team-a')
    assert server.query('mine', NOW / 1000, 'team-a') != []
    assert server.query('mine', NOW / 1000, 'team-b') == []
    assert server.get('/api/v1/labels', 'team-b') == []
    assert server.get('/api/v1/series', 'team-b', **{'match[]': 'mine'}) == []
    both = server.query('mine', NOW / 1000, 'team-a|team-b')
    assert both[0]['metric']['__tenant_id__'] == 'team-a', both
    for name in ('../../etc', 'a/b', 'x' * 300, '.', '..', 'a b', 'ü'):
        status = server.push([({'__name__': 'x'}, [(NOW, 1.0)])], name.encode().decode('latin-1'))[0]
        assert 400 <= status < 500, (name, status)
        status = server.get_raw('/api/v1/query', name.encode().decode('latin-1'), query='1')[0]
        assert 400 <= status < 500, (name, status)
    expect(server.push([({'__name__': 'x'}, [(NOW, 1.0)])], 'a|b'), 400)
    alive(server)
    server.stop()


def test_bodies_that_are_not_what_they_claim():
    server = m.Moraine()
    good = m.write_request([({'__name__': 'x', 'a': 'b'}, [(NOW, 1.0)])])
    for body in (b'', b'\xff' * 50, b'\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01', b'\xff\xff\xff\xff\x0f',
                 m.snappy(good)[:-1], m.snappy(b'\x0a\xff\xff\xff\xff\x0f'), m.snappy(b'\x0a\x7f')):
        status, text, _ = server.push_bytes(body)
        assert status in (204, 400, 413), (status, text)
    for cut in range(1, len(good)):
        status, text, _ = server.push_bytes(m.snappy(good[:cut]))
        assert status in (204, 400), (cut, status, text)
    expect(server.push_bytes(m.snappy(good), **{'Content-Type': 'text/html'}), 415)
    expect(server.push_bytes(m.snappy(good), **{'Content-Encoding': 'br'}), 415)
    # A bomb: 4 GiB declared, and 200 MB that are really there.
    expect(server.push_bytes(m.varint(1 << 32) + b'\x00a'), 400)
    copies = b'\xfe\x01\x00' * 3200000
    expect(server.push_bytes(m.varint(64 * 3200000 + 1) + b'\x00a' + copies), 413)
    expect(server.push([({'__name__': 'x', 'big': 'v' * 10_000_000}, [(NOW, 1.0)])]), 400)
    alive(server)
    assert server.rss_bytes() < 400 << 20
    server.stop()


def test_http_that_is_not_right():
    server = m.Moraine()
    for raw, status in [
        (b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b' 404 '),
        (b'BREW / HTTP/1.1\r\nHost: x\r\n\r\n', b' 4'),
        (b'GET /api/v1/push HTTP/1.1\r\nHost: x\r\n\r\n', b' 405 '),
        (b'POST /api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n', b' 400 '),
        (b'POST /api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n', b' 413 '),
        (b'GET / HTTP/1.1\r\nX: ' + b'y' * 200000 + b'\r\n\r\n', b' 431 '),
        (b'\x16\x03\x01\x02\x00\x01\x00', b' 400 '),
    ]:
        with socket.create_connection(('127.0.0.1', server.port), 10) as s:
            s.sendall(raw)
            try:
                got = s.recv(200)
            except ConnectionError:
                got = b''
            assert status in got.split(b'\r\n')[0] + b' ', (raw[:60], got[:100])
    alive(server)
    server.stop()


def test_queries_that_are_not_right_say_so_in_prometheus_shape():
    server = m.Moraine()
    for path, parameters, status, kind in [
        ('/api/v1/query', {'query': 'sum('}, 400, 'bad_data'),
        ('/api/v1/query', {}, 400, 'bad_data'),
        ('/api/v1/query', {'query': '1', 'time': 'yesterday'}, 400, 'bad_data'),
        ('/api/v1/query_range', {'query': '1', 'start': '10', 'end': '5', 'step': '1'}, 400, 'bad_data'),
        ('/api/v1/query_range', {'query': '1', 'start': '1', 'end': '5', 'step': '0'}, 400, 'bad_data'),
        ('/api/v1/query_range', {'query': '1', 'start': '0', 'end': '100000', 'step': '1'}, 400, 'bad_data'),
        ('/api/v1/query_range', {'query': '1', 'start': '-9e18', 'end': '9e18', 'step': '1'}, 400, 'bad_data'),
        ('/api/v1/series', {}, 400, 'bad_data'),
        ('/api/v1/series', {'match[]': '{}'}, 400, 'bad_data'),
        ('/api/v1/query', {'query': '(' * 10000 + '1' + ')' * 10000}, 400, 'bad_data'),
        ('/api/v1/query', {'query': 'up{a=~"(((((((((((((((x{100}){100}){100})"}'}, 400, 'bad_data'),
    ]:
        got, body, headers = server.get_raw(path, **parameters)
        answer = json.loads(body)
        assert answer['status'] == 'error' and answer['error'], (path, parameters, body[:300])
        assert got == status and answer['errorType'] == kind, (path, str(parameters)[:80], got, body[:300])
        assert headers['Content-Type'].startswith('application/json')
    # 1970 and the year 292277 are times like any other.
    assert server.get('/api/v1/query', query='1+1', time='4')['result'] == [4, '2']
    assert server.get_raw('/api/v1/status/flags')[0] == 404
    alive(server)
    server.stop()


def test_malformed_expressions_say_where_and_what_was_expected():
    server = m.Moraine()
    before = server.rss_bytes()
    for expression, text in [
        ('sum(rate(http_requests_total[5m])', '1:34: parse error: unclosed left parenthesis'),
        ('up{job="a"', '1:11: parse error: unexpected end of input inside braces'),
        ('up offset', '1:10: parse error: unexpected end of input in offset, expected number, duration, step(), or range()'),
        ('rate(up)', '1:6: parse error: expected type range vector in call to function "rate", got instant vector'),
        ('sum by (a b) (up)', '1:11: parse error: unexpected identifier "b" in grouping opts, expected "," or ")"'),
        ('up[5x]', '1:4: parse error: bad number or duration syntax: "5"'),
        ('1 +\n  nope(2)', '2:3: parse error: unknown function with name "nope"'),
        ('up{job=~"("}', '1:4: parse error: error parsing regexp: missing closing ): `(`'),
        ('up == on(a) group_left(a) up', '1:4: parse error: label "a" must not occur in ON and GROUP clause at once'),
    ]:
        for path in ('/api/v1/query', '/prometheus/api/v1/query', '/api/v1/query_range', '/api/v1/format_query',
                     '/api/v1/parse_query'):
            more = dict(start='0', end='60', step='15') if path.endswith('range') else {}
            answer = server.get_raw(path, query=expression, **more)
            expect(answer, 400)
            body = json.loads(answer[1])
            assert body['errorType'] == 'bad_data' and text in body['error'], (expression, path, body)
    assert server.rss_bytes() < before + (32 << 20)
    server.stop()


def test_experiments_can_be_turned_off():
    server = m.Moraine(None, '--query.experimental_functions', 'false')
    for expression in ('limitk(1, up)', 'mad_over_time(up[5m])', 'up + on(a) fill(0) up', 'info(up)'):
        for path in ('/api/v1/query', '/api/v1/format_query', '/api/v1/parse_query'):
            expect(server.get_raw(path, query=expression), 400, 'enabled')
    for expression in ('sum(up)', 'rate(up[1m + 1m] smoothed)', 'first_over_time(up[1m])'):  # no experiments any more
        expect(server.get_raw('/api/v1/query', query=expression), 200)
    server.stop()


if __name__ == '__main__':
    m.main(globals())
