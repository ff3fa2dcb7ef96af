#!/usr/bin/env python3
"""The patterns of log lines as Grafana's Logs Drilldown asks for them: the same from heads, from
segments and from compacted blocks."""
import json
import time

from moraine import Moraine, main

PATTERNS = '/loki/api/v1/patterns'
USERS = [a + b + c for a in 'xyzw' for b in 'pqrst' for c in 'abcde']


def push(server, labels, entries, tenant=None):
    headers = {'Content-Type': 'application/json'}
    if tenant:
        headers['X-Scope-OrgID'] = tenant
    status, body, _ = server.request('POST', '/loki/api/v1/push', json.dumps(
        {'streams': [{'stream': labels, 'values': [[str(t), line] for t, line in entries]}]}),
        headers)
    assert status == 204, body


def patterns(server, query, tenant=None, prefix='', **parameters):
    return {(p['pattern'], p['level']): p['samples']
            for p in server.get(prefix + PATTERNS, tenant, query=query, **parameters)}


def base_s():
    """Some minutes ago, at the start of a minute."""
    return int(time.time()) // 60 * 60 - 1200


def lines(start_s, minute):
    """100 logins and 50 errors, spread over the minute."""
    at = (start_s + 60 * minute) * 10 ** 9
    out = [(at + i * 10 ** 8, 'level=info msg="login of %s" ip=10.0.0.%d took=%dms' %
            (USERS[i], i, i * 7)) for i in range(100)]
    return out + [(at + i * 10 ** 9 + 1, 'level=error msg="disk %d is full" code=ENOSPC' % i)
                  for i in range(50)]


WANTED = {
    ('level=info msg="login of <_>" ip=<_> took=<_>ms', 'info'): 100,
    ('level=error msg="disk <_> is full" code=ENOSPC', 'error'): 50,
}


def check(server, start, minutes, query='{app="a"}', wanted=None, **more):
    got = patterns(server, query, start=start, end=start + 60 * minutes, step='1m', **more)
    wanted = {key: [[start + 60 * m, count] for m in range(minutes)]
              for key, count in (wanted or WANTED).items()}
    assert got == wanted, got


def test_patterns_are_the_same_wherever_lines_lie():
    server = Moraine()
    start = base_s()
    for minute in range(3):
        push(server, {'app': 'a', 'pod': str(minute % 2)}, lines(start, minute))
        push(server, {'app': 'b'}, [((start + 60 * minute) * 10 ** 9 + i, 'other') for i in range(40)])
    check(server, start, 3)
    server.flush()
    check(server, start, 3)
    for minute in range(3, 6):
        push(server, {'app': 'a', 'pod': str(minute % 2)}, lines(start, minute))
    check(server, start, 6)
    server.flush()
    server.compact()
    check(server, start, 6)
    check(server, start, 6, prefix='/logs')
    server.stop()


def test_filters_limits_and_steps():
    server = Moraine()
    start = base_s()
    push(server, {'app': 'a'}, lines(start, 0) + lines(start, 1) +
         [(start * 10 ** 9 + i, 'too rare to be told') for i in range(29)])
    error = {key: count for key, count in WANTED.items() if key[1] == 'error'}
    check(server, start, 2, '{app="a"} |= "disk"', error)
    check(server, start, 2, '{app="a"} | detected_level="error"', error)
    # Finer than ten seconds it doesn't get.
    got = patterns(server, '{app="a"} |= "disk"', start=start, end=start + 60, step='1s')
    assert list(got.values()) == [[[start + 10 * i, 10] for i in range(5)]], got
    # The largest first.
    data = server.get(PATTERNS, query='{app="a"}', start=start, end=start + 120, step='1h')
    totals = [sum(count for _, count in p['samples']) for p in data]
    assert totals == sorted(totals, reverse=True) == [200, 100], data
    # Each is a filter that finds its lines.
    for pattern in data:
        found = server.get('/loki/api/v1/query', time=start + 130, query='sum(count_over_time('
                           '{app="a"} |> %s [5m]))' % json.dumps(pattern['pattern']))['result']
        assert int(found[0]['value'][1]) == sum(count for _, count in pattern['samples']), pattern
    # Nothing is an empty list.
    assert server.get(PATTERNS, query='{app="c"}', start=start, end=start + 60) == []
    for parameters, text in (({'query': '{app='}, 'parse error'),
                             ({'query': 'rate({app="a"}[1m])'}, 'only log selector'),
                             ({'query': '{app="a"}', 'step': '0'}, 'zero or negative'),
                             ({'query': '{app="a"}', 'step': '0.01', 'start': start - 7200},
                              '11,000')):
        status, body, _ = server.get_raw(PATTERNS, **parameters)
        assert status == 400 and text in body.decode(), body
    limits = json.loads(server.get_raw('/loki/api/v1/drilldown-limits')[1])
    assert limits['pattern_ingester_enabled'] is True, limits
    server.stop()


def test_tenants():
    server = Moraine()
    start = base_s()
    push(server, {'app': 'a'}, lines(start, 0), tenant='one')
    push(server, {'app': 'a'}, lines(start, 0), tenant='two')
    check(server, start, 1, tenant='one')
    check(server, start, 1, tenant='one|two', wanted={k: 2 * v for k, v in WANTED.items()})
    assert patterns(server, '{app="a"}', start=start, end=start + 60) == {}
    server.stop()


def test_very_many_templates():
    server = Moraine(None, '--limits.query_bytes_max', '256MiB')
    start = base_s()
    words = [a + b for a in USERS for b in USERS]
    for part in range(10):
        push(server, {'app': 'a'}, [(start * 10 ** 9 + i, 'word %s and %s' % (
            words[(i * 7) % len(words)], words[(i * 11 + part) % len(words)]))
            for i in range(part * 4000, part * 4000 + 4000)])
    got = patterns(server, '{app="a"}', start=start, end=start + 60, step='1m')
    assert sum(count for samples in got.values() for _, count in samples) >= 39000, got
    assert len(got) < 20, got
    server.stop()


if __name__ == '__main__':
    main(globals())
