#!/usr/bin/env python3
"""What bad and odd pushes of logs get over HTTP: Loki's statuses, plain texts that name the limit, the good
entries of a push kept, and every accepted byte read back."""
import gzip
import json
import time

import logs
import moraine as m

NS = 10**9
NOW = int(time.time() * NS)
ARGUMENTS = ('--logs.discover_service_name', 'off', '--logs.discover_levels', 'off')


def expect(answer, status, *texts):
    got, body, _ = answer
    assert got == status, '%d instead of %d: %s' % (got, status, body[:300])
    for text in texts:
        assert text in body.decode(errors='replace'), '%r is not in %r' % (text, body[:300])


def one(line, time_ns=NOW, labels=None, metadata=()):
    return [(labels or {'job': 'a'}, [(time_ns, line, list(metadata))])]


def lines(server, tenant=None, query='{job=~".+"}', since=NOW - 8 * 86400 * NS):
    return sorted(line for _, _, line in logs.read_all(server, query, since, NOW + 3600 * NS, tenant))


def configured(text, *arguments):
    path = m.work_dir('config') + '/moraine.yaml'
    with open(path, 'w') as f:
        f.write(text)
    return m.Moraine(None, '--config', path, *arguments)


def test_every_protocol_stores_the_same():
    server = m.Moraine()
    streams = one('hällo "world"\n\t', metadata=[('trace_id', 'ab' * 16), ('user', 'ü')])
    ways = {
        'proto': lambda t: logs.push(server, streams, t),
        'json': lambda t: logs.push_as_json(server, streams, t),
        'gzip': lambda t: logs.push_as_json(server, streams, t, compressed=True),
        'prom': lambda t: logs.post(server, logs.push_json(streams), t, '/api/prom/push',
                                    **{'Content-Type': 'application/json; charset=utf-8'}),
        'prefix': lambda t: logs.post(server, logs.push_json(streams), t, '/logs/loki/api/v1/push',
                                      **{'Content-Type': 'application/json'}),
    }
    answers = {}
    for tenant, way in ways.items():
        expect(way(tenant), 204)
        found = logs.ask(server, 'query_range', tenant, query='{job="a"}', start=str(NOW - NS), end=str(NOW + NS))
        answers[tenant] = json.dumps(found['data']['result'], sort_keys=True)
        assert 'service_name' in answers[tenant] and 'trace_id' in answers[tenant], answers
    assert len(set(answers.values())) == 1, answers
    server.stop()


def test_lines_come_back_byte_for_byte():
    server = m.Moraine(None, *ARGUMENTS)
    odd = [b'', b'\0', b'\xff\xfe\x80', b'a\0b\0c', b'\n', b'\r\n  trailing  ', 'ünïcödé \u2028 \U0001f600'.encode(),
           bytes(range(256)), b'%s%n {{ .x }} `"\\', b'x' * 100000, b'0', b'-0', b'007', b'1e5', b'0x1F', b'+1',
           b'18446744073709551616', b'2026-01-02T03:04:05.678901234Z', b'DEADBEEF-dead-BEEF-dead-beefdeadbeef']
    for i, line in enumerate(odd):
        expect(logs.push(server, one(line, NOW + i)), 204)
    for step in (lambda: None, server.flush, server.compact):
        step()
        assert lines(server) == sorted(odd)
    server.kill()
    server = m.Moraine(server.data, *ARGUMENTS)
    assert lines(server) == sorted(odd)
    # JSON's answer stays JSON whatever the bytes are.
    status, body, _ = server.get_raw('/loki/api/v1/query_range', query='{job="a"}', start=str(NOW - NS))
    assert status == 200 and len(json.loads(body.decode('utf-8'))['data']['result'][0]['values']) == len(odd)
    server.stop()


def test_any_order_and_exact_duplicates_once():
    server = m.Moraine(None, *ARGUMENTS)
    for i in (5, 1, 3, 1, 2, 4, 3):
        expect(logs.push(server, one('line %d' % i, NOW + i * NS - 60 * NS)), 204)
    same = NOW - 30 * NS
    for text in ('x', 'y', 'x', 'y'):
        expect(logs.push(server, one(text, same)), 204)
    want = sorted([b'line %d' % i for i in range(1, 6)] + [b'x', b'y'])
    for step in (lambda: None, server.flush, server.compact):
        step()
        assert lines(server) == want, lines(server)
    # The same ones again, now that the first are in blocks.
    expect(logs.push(server, one('x', same)), 204)
    assert lines(server) == want
    server.flush()
    server.compact()
    assert lines(server) == want
    server.stop()


def test_a_push_with_some_bad_entries_keeps_the_good_ones():
    server = m.Moraine(None, *ARGUMENTS)
    good = ({'job': 'good'}, [(NOW, 'good')])
    cases = {
        'ancient': ([({'job': 'x'}, [(1, '1970')])], 'too old'),
        'future': ([({'job': 'x'}, [(NOW + 400 * 86400 * NS, 'later')])], 'future'),
        'year3000': ([({'job': 'x'}, [(32503680000 * NS, 'year 3000')])], 'future'),
        'long': ([({'job': 'x'}, [(NOW, 'x' * (1 << 20))])], 'log_line_bytes_max'),
        'metadata': ([({'job': 'x'}, [(NOW, 'x', [('k', 'v' * 70000)])])], 'log_metadata_bytes_max'),
        'names': ([({'job': 'x'}, [(NOW, 'x', [('k%d' % i, 'v') for i in range(300)])])], 'log_metadata_names_max'),
        'label': ([({'job': 'x', 'l' * 2000: 'v'}, [(NOW, 'x')])], 'label_name'),
        'value': ([({'job': 'x', 'l': 'v' * 70000}, [(NOW, 'x')])], 'label_value'),
        'labels': ([({'job': 'x', **{'l%03d' % i: 'v' for i in range(200)}}, [(NOW, 'x')])], 'label_names'),
    }
    for tenant, (bad, text) in cases.items():
        expect(logs.push(server, bad + [good], tenant), 400, text)
        assert lines(server, tenant) == [b'good'], tenant
        if tenant == 'year3000':
            # JSON's times are nanoseconds in 64 bits, which end in 2262: that's no entry but a wrong body.
            expect(logs.push_as_json(server, bad + [good], tenant + '-json'), 400, 'nanoseconds')
            continue
        expect(logs.push_as_json(server, bad + [good], tenant + '-json'), 400, text)
        assert lines(server, tenant + '-json') == [b'good'], tenant
    assert server.metric('moraine_gateway_rejected_log_entries_total') == 2 * len(cases) - 1
    server.stop()


def test_long_lines_are_cut_where_that_is_wanted():
    server = configured('limits:\n  log_line_bytes_max: 100\noverrides:\n  cut:\n    limits:\n'
                        '      log_line_truncate: on\n', *ARGUMENTS)
    expect(logs.push(server, one('y' * 101), 'plain'), 400, '101 bytes', 'limits.log_line_bytes_max', '100')
    expect(logs.push(server, one('y' * 101), 'cut'), 204)
    assert lines(server, 'cut') == [b'y' * 100]
    assert server.metric('moraine_gateway_log_entries_truncated_total') == 1
    server.stop()


def test_bodies_that_are_not_what_they_claim():
    server = m.Moraine()
    proto, text = {'Content-Type': 'application/x-protobuf'}, {'Content-Type': 'application/json'}
    good = logs.push_request(one('x', metadata=[('a', 'b')]))
    for body in (b'\xff' * 50, b'\x80' * 10 + b'\x01', m.snappy(good)[:-1], m.snappy(b'\x0a\xff\xff\xff\xff\x0f'),
                 m.varint(1 << 32) + b'\x00a'):
        expect(logs.post(server, body, 'cuts', **proto), 400)
    for cut in range(1, len(good)):
        status, said, _ = logs.post(server, m.snappy(good[:cut]), 'cuts', **proto)
        assert status in (204, 400), (cut, status, said)
    whole = logs.push_json(one('x', metadata=[('a', 'b')]))
    for cut in range(len(whole)):
        status, said, _ = logs.post(server, whole[:cut], 'cuts', **text)
        assert status == 400 and said, (cut, status)
    for body in (b'', b'null', b'[]', b'{"streams":5}', b'{"streams":[{"stream":"a","values":[]}]}', b'[' * 100000,
                 b'{"streams":[{"stream":{"a":"b"},"values":[["now","x"]]}]}',
                 b'{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}',
                 b'{"streams":[{"stream":{"a":"b"},"values":[["1","\\ud800\\u12"]]}]}'):
        status, said, _ = logs.post(server, body, 'cuts', **text)
        assert status in (204, 400, 422), (body[:50], status, said)
    # As Loki, what isn't called JSON is read as snappy and protobuf.
    expect(logs.post(server, whole, 'cuts', **{'Content-Type': 'text/html'}), 400, 'snappy')
    expect(logs.post(server, whole, 'cuts', **{'Content-Encoding': 'br', **text}), 400, 'gzip')
    expect(logs.post(server, b'\x1f\x8b\x08rest', 'cuts', **{'Content-Encoding': 'gzip', **text}), 400)
    expect(logs.post(server, gzip.compress(b' ' * 200_000_000, 9), 'cuts', **{'Content-Encoding': 'gzip', **text}), 413)
    assert server.rss_bytes() < 400 << 20
    expect(logs.push_as_json(server, one('still here'), 'fine'), 204)
    assert lines(server, 'fine') == [b'still here']
    server.stop()


def test_labels_that_are_no_labels_are_refused():
    server = m.Moraine(None, *ARGUMENTS)
    push = lambda selector: logs.post(server, m.snappy(m.field(1, m.field(1, selector) + logs.entry(NOW, 'x'))),
                                      **{'Content-Type': 'application/x-protobuf'})
    for selector in (b'', b'{', b'{a}', b'{a=b}', b'{a="b"', b'{a=~"b"}', b'{a="b",a="c"}', b'{="b"}', b'{}',
                     b'{a="\xff"}', b'{a="b"}}', b'a="b"', b'{a="b"} |= "c"', b'{' * 10000, b'{a="' + b'\\' * 9999 + b'"}'):
        status, said, _ = push(selector)
        assert status == 400 and said, (selector[:40], status, said)
    expect(push(b'{a="b", c=`d`}'), 204)
    assert server.request('GET', '/ready')[0] == 200
    server.stop()


def test_tenants_are_apart():
    server = m.Moraine(None, *ARGUMENTS)
    for tenant in ('team-a', 'team-b'):
        expect(logs.push(server, one('of ' + tenant), tenant), 204)
    for step in (lambda: None, server.flush, server.compact):
        step()
        assert lines(server, 'team-a') == [b'of team-a'] and lines(server, 'team-b') == [b'of team-b']
        assert lines(server, 'team-c') == []
        assert lines(server, 'team-a|team-b') == [b'of team-a', b'of team-b']
        assert logs.ask(server, 'labels', 'team-c').get('data') in (None, [])
    expect(logs.push(server, one('x'), 'team-a|team-b'), 400)
    expect(logs.push(server, one('x'), '../etc'), 400)
    server.stop()


def test_expressions_that_want_too_much_end_with_an_error():
    server = m.Moraine()
    expect(logs.push(server, [({'job': 'a'}, [(NOW + i, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa! %d' % i) for i in range(2000)])]), 204)
    def ask(query, **more):
        return server.get_raw('/loki/api/v1/query_range', query=query, start=str(NOW - 60 * NS), end=str(NOW + 60 * NS), **more)
    def post(query):
        body = 'query=' + m.urllib.parse.quote(query)
        return server.request('POST', '/loki/api/v1/query_range', body, {'Content-Type': 'application/x-www-form-urlencoded'})
    expect(ask('{job="a"} |~ "(a+)+$"'), 200)
    expect(ask('{job="a"} |~ "("'), 400, 'parse error')
    for bomb in ('{{ repeat 1000000 (repeat 1000000 "x") }}', '{{ range $i := until 1000000000 }}x{{ end }}',
                 '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', '{{ printf "%1000000000d" 1 }}',
                 '{{ indent 2000000000 "x" }}', '{{' * 10000):
        status, said, _ = ask('{job="a"} | line_format `%s`' % bomb)
        assert status in (200, 400, 422), (bomb[:40], status, said[:200])
    status, said, _ = post('{job="a"} |~ "%s"' % '|'.join('alternative%d' % i for i in range(600000)))
    assert status in (400, 413), (status, said[:200])
    for query in ('{job="a"}' + ' |= "a"' * 20000, '(' * 10000 + '{job="a"}', 'sum(' * 5000 + 'rate({job="a"}[1m])' + ')' * 5000,
                  '{job="a"} | json ' + '| a="b" and (' * 3000, '{' + ','.join('l%d="v"' % i for i in range(100000)) + '}'):
        status, said, _ = post(query)
        assert status in (200, 400, 413), (query[:40], status, said[:200])
    expect(ask('rate({job="a"}[1m])', step='0.0000001'), 400)
    expect(ask('rate({job="a"}[1m])', step='-1'), 400)
    expect(ask('{job="a"}', limit='-1'), 400)
    expect(ask('{job="a"}', direction='sideways'), 400)
    expect(server.get_raw('/loki/api/v1/query_range', query='{job="a"}', start='2', end='1'), 400)
    expect(server.get_raw('/loki/api/v1/query_range', query='{job="a"}', start='0', end=str(NOW)), 400, 'limit')
    assert server.rss_bytes() < 500 << 20
    server.stop()


if __name__ == '__main__':
    m.main(globals())
