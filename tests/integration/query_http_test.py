#!/usr/bin/env python3
"""What a client of the query API may count on beside the numbers: paths, methods, parameters of URL and
form, limits and their warnings, encodings, content types, what is 404, and what is logged."""
import gzip
import json
import os
import socket
import struct
import subprocess
import time
import urllib.parse

import moraine as m

FORM = {'Content-Type': 'application/x-www-form-urlencoded'}
TRUNCATED = ['results truncated due to limit']
JOBS, EACH = ('api', 'db', 'web'), 20


def fill(server, now, tenant=None, name='x', seconds=60):
    status, text, _ = server.push(
        [({'__name__': name, 'i': '%02d' % i, 'job': job}, [((now - k) * 1000, 100 - k) for k in range(seconds, -1, -1)])
         for job in JOBS for i in range(EACH)], tenant=tenant)
    assert status == 204, text


def started(*arguments, **options):
    server, now = m.Moraine(None, *arguments, **options), int(time.time()) - 10
    fill(server, now)
    return server, now


def answer(server, path, method='GET', tenant=None, **parameters):
    """Status and parsed body."""
    text = urllib.parse.urlencode(parameters, doseq=True)
    headers = {'X-Scope-OrgID': tenant} if tenant else {}
    if method == 'POST':
        status, body, got = server.request('POST', path, text, {**FORM, **headers})
    else:
        status, body, got = server.request('GET', path + '?' + text, None, headers)
    assert got['Content-Type'] == 'application/json', (path, got['Content-Type'])
    return status, json.loads(body)


def test_either_prefix_and_either_method():
    server, now = started()
    span = dict(start=now - 60, end=now)
    for path, parameters, by_post in (
            ('query', dict(query='sum by (job) (x)', time=now), True),
            ('query_range', dict(query='x', step='15', **span), True),
            ('query_exemplars', dict(query='x', **span), True),
            ('series', {'match[]': ['x{i="01"}', 'x{i="02"}'], **span}, True),
            ('labels', {'match[]': 'x', **span}, True), ('label/job/values', span, False),
            ('format_query', dict(query='sum(x)by(job)'), True), ('parse_query', dict(query='rate(x[5m])'), True),
            ('metadata', {}, False), ('targets', {}, False), ('rules', {}, False), ('alerts', {}, False),
            ('status/buildinfo', {}, False), ('status/tsdb', {}, False), ('status/runtimeinfo', {}, False),
            ('cardinality/label_names', {}, True), ('cardinality/label_values', {'label_names[]': 'job'}, True),
            ('cardinality/active_series', dict(selector='x{i="01"}'), True)):
        want = answer(server, '/api/v1/' + path, **parameters)
        assert want[0] == 200, (path, want)
        for prefix in ('', '/prometheus'):
            for method in ('GET', 'POST')[:1 + by_post]:
                got = answer(server, prefix + '/api/v1/' + path, method, **parameters)
                assert got == want, (prefix, method, path, got, want)
    server.stop()


def test_parameters_of_url_and_form_are_merged():
    server, now = started()
    post = lambda path, body: server.request('POST', path, body, FORM)
    # Of two with one name the form's counts, as with Go's FormValue.
    status, body, _ = post('/api/v1/query?query=1&time=%d' % now, 'query=2')
    assert (status, json.loads(body)['data']['result']) == (200, [now, '2']), body
    # What Grafana has in customQueryParameters comes in the URL.
    status, body, _ = post('/api/v1/query_range?timeout=30s&unknown=1', 'query=vector(1)&start=0&end=60&step=15')
    assert status == 200 and len(json.loads(body)['data']['result'][0]['values']) == 5, body
    status, body, _ = post('/api/v1/series?match[]=x{i="03"}', 'match[]=x%7Bi%3D%2204%22%7D')
    assert len(json.loads(body)['data']) == 2 * len(JOBS), body
    # A body that isn't a form is none.
    status, body, _ = server.request('POST', '/api/v1/query?query=1', 'query=2', {'Content-Type': 'text/plain'})
    assert json.loads(body)['data']['result'][1] == '1', body
    server.stop()


def test_limits_cut_and_say_so():
    server, now = started()
    everything = len(JOBS) * EACH
    for path, parameters, count, inside in (
            ('query', dict(query='x', time=now), everything, True),
            ('query_range', dict(query='x', start=now - 60, end=now, step='30s'), everything, True),
            ('series', {'match[]': 'x'}, everything, False), ('series', {'match[]': ['x', 'x{job="db"}']}, everything, False),
            ('labels', {}, 3, False), ('label/job/values', {}, 3, False), ('label/i/values', {'match[]': 'x'}, EACH, False)):
        for limit in ('0', '1', '2', str(count - 1), str(count), str(count + 1), None):
            status, got = answer(server, '/api/v1/' + path, **parameters, **({'limit': limit} if limit else {}))
            data = got['data']['result'] if inside else got['data']
            cut = limit not in (None, '0') and int(limit) < count
            assert status == 200 and len(data) == (int(limit) if cut else count), (path, limit, len(data))
            assert got.get('warnings') == (TRUNCATED if cut else None), (path, limit, got.get('warnings'))
        for limit in ('-1', 'x', '1.5'):
            status, got = answer(server, '/api/v1/' + path, **parameters, limit=limit)
            assert (status, got['errorType']) == (400, 'bad_data') and '"limit"' in got['error'], got
    # Neither a number nor a string can be cut.
    assert answer(server, '/api/v1/query', query='1', limit='1')[1].get('warnings') is None
    server.stop()


def test_metadata():
    server = m.Moraine()
    entry = lambda kind, name, text, unit=b'': m.field(3, b'\x08' + m.varint(kind) + m.field(2, name) + m.field(4, text) +
                                                       (m.field(5, unit) if unit else b''))
    body = m.snappy(entry(1, b'a_total', b'A.') + entry(1, b'a_total', b'A, said again.') +
                    entry(2, b'b_bytes', b'B.', b'bytes') + entry(3, b'c', 'C "ü"'.encode()))
    assert server.push_bytes(body)[0] == 204
    get = lambda **p: answer(server, '/api/v1/metadata', **p)[1]['data']
    everything = get()
    assert sorted(everything) == ['a_total', 'b_bytes', 'c'], everything
    assert everything['b_bytes'] == [{'type': 'gauge', 'help': 'B.', 'unit': 'bytes'}]
    assert everything['c'] == [{'type': 'histogram', 'help': 'C "ü"', 'unit': ''}], everything['c']
    assert get(metric='b_bytes') == {'b_bytes': everything['b_bytes']} and get(metric='none') == {}
    assert len(get(limit=2)) == 2 and len(get(limit=-1)) == 3 and len(get(limit=0)) == 3
    assert len(get(limit=40000)) == 3
    assert all(len(of) == 1 for of in get(limit_per_metric=1).values())
    assert get(limit_per_metric=-1) == everything
    for name in ('limit', 'limit_per_metric'):
        status, got = answer(server, '/api/v1/metadata', **{name: 'x'})
        assert (status, got['errorType'], got['error']) == (400, 'bad_data', name + ' must be a number'), got
    server.flush()
    assert get() == everything
    server.stop()


def test_time_that_is_looked_back_at():
    server, now = started()
    asked = lambda **p: len(answer(server, '/api/v1/query', query='x', **p)[1]['data']['result'])
    everything = len(JOBS) * EACH
    assert asked(time=now + 299) == everything and asked(time=now + 301) == 0
    assert asked(time=now + 8, lookback_delta='10s') == everything
    assert asked(time=now + 12, lookback_delta='10s') == 0 and asked(time=now + 12, lookback_delta='10') == 0
    assert asked(time=now + 1000, lookback_delta='20m') == everything
    status, got = answer(server, '/api/v1/query', query='x', lookback_delta='soon')
    assert (status, got['errorType']) == (400, 'bad_data'), got
    server.stop()


def test_statistics_only_for_who_asks():
    server, now = started()
    for path, more in (('query', dict(time=now)), ('query_range', dict(start=now - 60, end=now, step='15'))):
        _, plain = answer(server, '/api/v1/' + path, query='sum(x)', **more)
        assert 'stats' not in plain['data'], plain
        for wanted in ('all', 'true'):
            status, body, _ = server.get_raw('/api/v1/' + path, query='sum(x)', stats=wanted,
                                             **{k: str(v) for k, v in more.items()})
            got = json.loads(body)['data']
            assert got['result'] == plain['data']['result']
            assert got['stats']['samples']['totalQueryableSamples'] >= len(JOBS) * EACH, got['stats']
            assert got['stats']['timings']['evalTotalTime'] > 0, got['stats']
            # Grafana's parser reads as it comes.
            assert body.index(b'"status"') < body.index(b'"resultType"') < body.index(b'"result":') < body.index(b'"stats"')
    server.stop()


def test_answers_are_compressed_as_asked():
    server, now = started()
    path = '/api/v1/query?query=x&time=%d' % now
    plain = server.request('GET', path)[1]
    unzip = {'gzip': gzip.decompress, None: lambda body: body,
             'zstd': lambda body: subprocess.run(['zstd', '-dc'], input=body, stdout=subprocess.PIPE, check=True).stdout}
    for accepted, coding in (('gzip', 'gzip'), ('zstd', 'zstd'), ('gzip;q=0', None), ('identity', None), ('br', None),
                             ('zstd;q=0, gzip', 'gzip')):
        status, body, headers = server.request('GET', path, None, {'Accept-Encoding': accepted})
        assert headers['Content-Encoding'] == coding and 'Accept-Encoding' in headers.get_all('Vary'), (accepted, headers)
        assert status == 200 and unzip[coding](body) == plain, accepted
        assert headers['Content-Type'] == 'application/json', headers
        # What is small isn't worth it.
        assert server.request('GET', '/api/v1/query?query=1', None, {'Accept-Encoding': accepted})[2]['Content-Encoding'] is None
    # Snappy's own encoding of remote_read stays.
    query = b'\x08' + m.varint((now - 60) * 1000) + b'\x10' + m.varint(now * 1000) + m.field(
        3, m.field(2, b'__name__') + m.field(3, b'x'))
    _, _, headers = server.request('POST', '/api/v1/read', m.snappy(m.field(1, query)), {'Accept-Encoding': 'gzip'})
    assert headers.get_all('Content-Encoding') == ['snappy'], headers
    server.stop()


def test_who_this_is():
    server, now = started()
    for prefix in ('', '/prometheus'):
        info = answer(server, prefix + '/api/v1/status/buildinfo')[1]['data']
        assert info['application'] == 'Grafana Mimir' and info['version'], info
        assert set(info) == {'application', 'version', 'revision', 'branch', 'buildUser', 'buildDate', 'goVersion', 'features'}
        assert info['features'] and all(isinstance(v, str) for v in info['features'].values()), info
        # Whoever gets an answer here takes it for Thanos, or for plain Prometheus.
        for path in ('status/flags', 'status/config', 'nope'):
            status, body, _ = server.request('GET', prefix + '/api/v1/' + path)
            assert status == 404 and b'page not found' in body, (path, body)
        for parameters in ({}, {'type': 'alert'}, {'group_limit': '10', 'exclude_alerts': 'true'}):
            assert answer(server, prefix + '/api/v1/rules', **parameters)[1] == {'status': 'success', 'data': {'groups': []}}
        assert answer(server, prefix + '/api/v1/alerts')[1] == {'status': 'success', 'data': {'alerts': []}}
        targets = answer(server, prefix + '/api/v1/targets', state='active')[1]['data']
        assert targets['activeTargets'] == [] and targets['droppedTargets'] == [], targets
    # Save & test: an instant query near 1970.
    for method in ('GET', 'POST'):
        got = answer(server, '/prometheus/api/v1/query', method, query='1+1', time='4')[1]
        assert got['data'] == {'resultType': 'scalar', 'result': [4, '2']}, got
    server.stop()


def test_what_grafana_sends_is_taken():
    server, now = started('--limits.query_range_max', '1h')
    headers = {**FORM, 'User-Agent': 'Grafana/12.0.0', 'X-Grafana-Org-Id': '1', 'X-Dashboard-Uid': 'd', 'X-Panel-Id': '2',
               'X-Datasource-Uid': 'u', 'FromAlert': 'true', 'traceparent': '00-%s-%s-01' % ('a' * 32, 'b' * 16),
               'uber-trace-id': '1:2:3:1', 'Accept-Encoding': 'gzip', 'Authorization': 'Basic YTpi', 'X-Unknown': '\xe9'}
    for start, end, step in ((now - 60, now, '15'), (now - 60 + 0.5, now + 0.123456789, '0.5'), (now - 60, now, '15s')):
        text = urllib.parse.urlencode(dict(query='x', start=start, end=end, step=step, timeout='60s'))
        status, body, _ = server.request('POST', '/api/v1/query_range', text, headers)
        body = gzip.decompress(body)
        assert status == 200 and len(json.loads(body)['data']['result']) == len(JOBS) * EACH, body[:300]
    # The metrics browser opens on all series.
    got = answer(server, '/api/v1/label/__name__/values', **{'match[]': '{__name__!=""}', 'limit': '40000',
                                                             'start': now // 60 * 60 - 60, 'end': now // 60 * 60 + 60})
    assert got[1]['data'] == ['x'], got
    # Health checks ask for 1970 whatever may be asked at once.
    assert answer(server, '/api/v1/query', query='1+1', time='4')[0] == 200
    for path, status, kind in (('query?query=(', 400, 'bad_data'), ('query?query=x%2Bon()x', 422, 'execution'),
                               ('query_range?query=x', 400, 'bad_data'), ('series', 400, 'bad_data'),
                               ('label/a%FF/values', 400, 'bad_data')):
        got, body, headers = server.request('GET', '/api/v1/' + path)
        error = json.loads(body)
        assert (got, error['status'], error['errorType']) == (status, 'error', kind) and error['error'], (path, got, body)
        assert headers['Content-Type'] == 'application/json'
    server.stop()


def test_names_beyond_ascii_letters():
    server, now = m.Moraine(), int(time.time())
    assert server.push([({'__name__': 'http.status', 'a/b': 'v', 'l_.ü': 'w'}, [(now * 1000, 1)])])[0] == 204
    for escaped, value in (('U__a_2f_b', 'v'), ('a%2Fb', 'v'), ('U__l___2e__fc_', 'w'), ('l_.%C3%BC', 'w'),
                           ('__name__', 'http.status'), ('U____name__', None)):
        got = answer(server, '/api/v1/label/%s/values' % escaped)[1]['data']
        assert got == ([value] if value else got), (escaped, got)
    assert answer(server, '/api/v1/query', query='{"http.status", "a/b"="v"}')[1]['data']['result']
    server.stop()


def test_exemplars_of_several_selectors():
    server, now = m.Moraine(), int(time.time()) - 10
    double = lambda v: struct.pack('<d', v)
    exemplar = lambda at, v, trace: m.field(3, m.label('trace_id', trace) + b'\x11' + double(v) + b'\x18' + m.varint(at * 1000))
    series = lambda name, job: m.field(1, m.label('__name__', name) + m.label('job', job) + m.sample(now * 1000, 1) +
                                       exemplar(now - 2, 1, name + job + '1') + exemplar(now - 1, 2, name + job + '2'))
    body = m.snappy(b''.join(series(n, j) for n in ('b', 'a') for j in ('2', '1')))
    assert server.push_bytes(body)[0] == 204
    for stage in ('in the head', 'in an object', 'in both'):
        get = lambda query: answer(server, '/api/v1/query_exemplars', query=query, start=now - 60, end=now)[1]['data']
        # By labels; what two selectors find is there once.
        for query in ('sum(rate(b[1m])) / sum(a)', 'a + b + a + {__name__=~"a|b"}'):
            got = get(query)
            assert [s['seriesLabels'] for s in got] == [{'__name__': n, 'job': j} for n in 'ab' for j in '12'], (stage, got)
            assert [[e['labels']['trace_id'][-1] for e in s['exemplars']] for s in got] == [['1', '2']] * 4, (stage, got)
            assert got[0]['exemplars'][0] == {'labels': {'trace_id': 'a11'}, 'value': '1', 'timestamp': now - 2}
        assert len(get(' + '.join('a{job="%d"}' % (i % 2 + 1) for i in range(100)) + ' + b')) == 4
        assert get('1 + 1') == [] and get('none') == []
        if stage == 'in the head':
            server.flush()
        elif stage == 'in an object':
            assert server.push_bytes(body)[0] == 204
    server.stop()


def test_cardinality():
    server, now = started()
    fill(server, now, name='y', seconds=1)
    names = answer(server, '/api/v1/cardinality/label_names')[1]
    assert names == {'label_values_count_total': EACH + 5, 'label_names_count': 3, 'cardinality': [
        {'label_name': 'i', 'label_values_count': EACH}, {'label_name': 'job', 'label_values_count': 3},
        {'label_name': '__name__', 'label_values_count': 2}]}, names
    assert len(answer(server, '/api/v1/cardinality/label_names', limit=1)[1]['cardinality']) == 1
    values = answer(server, '/api/v1/cardinality/label_values', **{'label_names[]': ['job', '__name__', 'none'], 'selector': 'x'})[1]
    assert values == {'series_count_total': 60, 'labels': [
        {'label_name': 'job', 'label_values_count': 3, 'series_count': 60,
         'cardinality': [{'label_value': job, 'series_count': EACH} for job in JOBS]},
        {'label_name': '__name__', 'label_values_count': 1, 'series_count': 60,
         'cardinality': [{'label_value': 'x', 'series_count': 60}]},
        {'label_name': 'none', 'label_values_count': 0, 'series_count': 0, 'cardinality': []}]}, values
    active = answer(server, '/api/v1/cardinality/active_series', 'POST', selector='{i="07"}')[1]['data']
    assert len(active) == 6 and {'__name__': 'x', 'i': '07', 'job': 'db'} in active, active
    tsdb = answer(server, '/api/v1/status/tsdb', limit=2)[1]['data']
    assert tsdb['headStats']['numSeries'] == 120, tsdb
    assert tsdb['headStats']['chunkCount'] >= 120, tsdb
    assert tsdb['memoryInBytesByLabelName'][0] == {'name': '__name__', 'value': 120 * 11}, tsdb
    times = {'minTime': (now - 60) * 1000, 'maxTime': now * 1000}
    assert {t: tsdb['headStats'][t] for t in times} == times, tsdb
    server.flush()
    flushed = answer(server, '/api/v1/status/tsdb')[1]['data']['headStats']
    assert {t: flushed[t] for t in times} == times and flushed['chunkCount'] == 0, flushed
    empty = answer(server, '/api/v1/status/tsdb', tenant='nobody')[1]['data']['headStats']
    assert empty == {'numSeries': 0, 'numLabelPairs': 0, 'chunkCount': 0, 'minTime': 2**63 - 1, 'maxTime': -2**63}, empty
    for limit, error in (('0', 'limit must be a positive number'), ('10001', 'limit must not exceed 10000')):
        status, got = answer(server, '/api/v1/status/tsdb', limit=limit)
        assert (status, got['errorType'], got['error']) == (400, 'bad_data', error), got
    assert tsdb['seriesCountByMetricName'] == [{'name': 'x', 'value': 60}, {'name': 'y', 'value': 60}], tsdb
    assert tsdb['seriesCountByLabelValuePair'] == [{'name': '__name__=x', 'value': 60}, {'name': '__name__=y', 'value': 60}]
    for path, parameters in (('label_values', {}), ('active_series', {}), ('label_names', dict(selector='{')),
                             ('label_names', dict(limit='x'))):
        status, got = answer(server, '/api/v1/cardinality/' + path, **parameters)
        assert (status, got['errorType']) == (400, 'bad_data'), (path, parameters, got)
    server.stop()


def test_an_end_before_the_start_is_no_error_where_things_are_listed():
    """As in Prometheus: nothing, unless the data lies around both; an error only for exemplars."""
    server, now = started()
    names = lambda start, end: (
        answer(server, '/api/v1/labels', start=start, end=end)[1]['data'],
        answer(server, '/api/v1/label/__name__/values', start=start, end=end)[1]['data'],
        answer(server, '/api/v1/series', start=start, end=end, **{'match[]': 'x'})[1]['data'])
    for stage in ('heads', 'objects'):
        assert names(now + 7200, now + 3600) == ([], [], []), stage
        assert names(now - 3600, now - 7200) == ([], [], []), stage
        assert names(now + 7200, now - 7200) == ([], [], []), stage
        status, got = answer(server, '/api/v1/query_exemplars', start=now, end=now - 1, query='x')
        assert (status, got['errorType'], got['error']) == (
            400, 'bad_data', 'end timestamp must not be before start timestamp'), got
        server.flush()
    server.stop()


def test_a_timeout_is_positive():
    server, now = started()
    for text, shown in (('0', '0s'), ('-1', '-1s'), ('-90.5', '-1m30.5s'), ('-0.25', '-250ms'), ('-7261', '-2h1m1s')):
        for path, more in (('query', dict(time=now)), ('query_range', dict(start=now - 60, end=now, step=15))):
            status, got = answer(server, '/api/v1/' + path, query='x', timeout=text, **more)
            assert (status, got['errorType'], got['error']) == (
                400, 'bad_data', 'invalid parameter "timeout": timeout must be positive, got ' + shown), got
        # Where it has no meaning nobody looks at it.
        assert answer(server, '/api/v1/labels', timeout=text)[0] == 200
    server.stop()


def test_each_tenant_of_a_federated_query_keeps_its_own_retention():
    config = os.path.join(m.work_dir('config'), 'moraine.yaml')
    with open(config, 'w') as f:
        f.write('overrides:\n  short:\n    retention.metrics: 2h\n    limits.query_series_max: 100\n')
    server, now = m.Moraine(None, '--config', config), int(time.time())
    for tenant in ('long', 'short'):
        fill(server, now - 3 * 3600, tenant=tenant)
        fill(server, now, tenant=tenant)
    count = lambda tenant, at: answer(server, '/api/v1/query', tenant=tenant, query='count by (__tenant_id__) (x{job="db"})',
                                      time=at)[1]['data']['result']
    for stage in ('heads', 'objects'):
        for tenant in ('long|short', 'short|long', 'long|short|long'):
            got = {s['metric']['__tenant_id__']: s['value'][1] for s in count(tenant, now)}
            assert got == {'long': str(EACH), 'short': str(EACH)}, (stage, tenant, got)
            got = {s['metric']['__tenant_id__']: s['value'][1] for s in count(tenant, now - 3 * 3600)}
            assert got == {'long': str(EACH)}, (stage, tenant, got)
        # Of the other limits the tightest holds.
        assert answer(server, '/api/v1/query', tenant='long', query='x', time=now)[0] == 200
        status, got = answer(server, '/api/v1/query', tenant='long|short', query='x', time=now)
        assert (status, got['errorType']) == (422, 'execution') and 'query_series_max' in got['error'], got
        values = answer(server, '/api/v1/label/__tenant_id__/values', tenant='long|short')[1]['data']
        assert values == ['long', 'short'], values
        server.flush()
    server.stop()


def test_slow_queries_are_logged():
    server, now = started('--query.slow', '1ms')  # less than 2.6 million steps take anywhere
    assert answer(server, '/api/v1/query', query='x', time=now)[0] == 200
    status, _ = answer(server, '/api/v1/query', tenant='anonymous|other', timeout='1', time=now,
                       query='quantile_over_time(0.3, (vector(time()) * 7 % 1009)[30d:1s])  # "slow"')
    assert status in (200, 422, 503), status
    lines = m.wait_until('it is logged', lambda: [line for line in server.log_text().splitlines()
                                                  if 'msg="slow query"' in line and 'vector(time())' in line])
    assert len(lines) == 1, lines
    for text in ('level=warn', 'tenant=anonymous|other', 'endpoint=/query', '\\"slow\\"', 'result=', 'seconds=',
                 'samples=', 'gets=', 'get_bytes=', 'memory_peak='):
        assert text in lines[0], (text, lines[0])
    assert server.metric('moraine_query_slow_total') >= 1
    server.stop()


def test_a_reader_that_hangs_up_ends_its_stream():
    server, now = m.Moraine(None, '--query.threads', '1'), int(time.time())
    for first in range(0, 3000, 500):
        server.push([({'__name__': 'many', 'i': str(i)}, [((now - 120 + k) * 1000, hash((i, k)) % 9973 / 7) for k in range(120)])
                     for i in range(first, first + 500)])
    query = b'\x08\x00\x10' + m.varint(now * 1000) + m.field(3, m.field(2, b'__name__') + m.field(3, b'many'))
    body = m.snappy(m.field(1, query) * 50 + b'\x10\x01')
    for _ in range(3):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(('127.0.0.1', server.port))
            s.sendall(b'POST /api/v1/read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
            assert s.recv(200).startswith(b'HTTP/1.1 200 OK')
        # The only thread that queries run on is free again.
        assert server.query('1 + 1', 0)[1] == '2'
    m.wait_until('all have ended', lambda: b'result="canceled"} 3' in server.request('GET', '/metrics')[1], 20)
    server.stop()


if __name__ == '__main__':
    m.main(globals())
