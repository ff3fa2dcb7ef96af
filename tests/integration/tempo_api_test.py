#!/usr/bin/env python3
"""Tempo's API as Grafana's data source asks it: searches, names, values and metrics in JSON, in protobuf and
over gRPC, which all say the same; what is refused, and how."""
import json
import os
import struct
import subprocess
import time

import moraine as m
import otlp

NS = 10**9
SERVICE = '/tempopb.StreamingQuerier/'
INVALID = 3

# name: (number, kind, repeated): as otlp.py has them, to be read.
ANY = {'stringValue': (1, 'text'), 'boolValue': (2, 'bool'), 'intValue': (3, 'int64'), 'doubleValue': (4, 'double')}
KEY_VALUE = {'key': (1, 'text'), 'value': (2, ANY)}
SPAN = {'spanID': (1, 'text'), 'name': (2, 'text'), 'startTimeUnixNano': (3, 'uint64'), 'durationNanos': (4, 'uint64'),
        'attributes': (5, [KEY_VALUE])}
SPAN_SET = {'spans': (1, [SPAN]), 'matched': (2, 'uint32'), 'attributes': (3, [KEY_VALUE])}
STATS = {'key': (1, 'text'), 'value': (2, {'spanCount': (1, 'uint32'), 'errorCount': (2, 'uint32')})}
TRACE = {'traceID': (1, 'text'), 'rootServiceName': (2, 'text'), 'rootTraceName': (3, 'text'),
         'startTimeUnixNano': (4, 'uint64'), 'durationMs': (5, 'uint32'), 'spanSet': (6, SPAN_SET),
         'spanSets': (7, [SPAN_SET]), 'serviceStats': (8, [STATS])}
METRICS = {'inspectedTraces': (1, 'uint32'), 'inspectedBytes': (2, 'uint64'), 'totalBlocks': (3, 'uint32'),
           'completedJobs': (4, 'uint32'), 'totalJobs': (5, 'uint32'), 'inspectedSpans': (7, 'uint64')}
SEARCH = {'traces': (1, [TRACE]), 'metrics': (2, METRICS)}
TAGS = {'tagNames': (1, ['text'])}
TAGS_V2 = {'scopes': (1, [{'name': (1, 'text'), 'tags': (2, ['text'])}])}
VALUES = {'tagValues': (1, ['text'])}
VALUES_V2 = {'tagValues': (1, [{'type': (1, 'text'), 'value': (2, 'text')}])}
SERIES = {'labels': (1, [KEY_VALUE]), 'value': (2, 'double'),
          'samples': (2, [{'timestampMs': (2, 'int64'), 'value': (1, 'double')}]),
          'exemplars': (4, [{'labels': (1, [KEY_VALUE]), 'value': (2, 'double'), 'timestampMs': (3, 'int64')}])}
RANGE = {'series': (1, [{k: SERIES[k] for k in ('labels', 'samples', 'exemplars')}])}
INSTANT = {'series': (1, [{k: SERIES[k] for k in ('labels', 'value')}])}

SEARCH_REQUEST = {'tags': (1, {'key': (1, 'text'), 'value': (2, 'text')}), 'minDurationMs': (2, 'varint'), 'limit': (4, 'varint'),
                  'start': (5, 'varint'), 'end': (6, 'varint'), 'query': (8, 'text'), 'spss': (9, 'varint')}
TAGS_REQUEST = {'scope': (1, 'text'), 'query': (2, 'text'), 'start': (3, 'varint'), 'end': (4, 'varint'), 'limit': (5, 'varint')}
VALUES_REQUEST = {'tag': (1, 'text'), 'query': (2, 'text'), 'start': (4, 'varint'), 'end': (5, 'varint'), 'limit': (6, 'varint')}
RANGE_REQUEST = {'query': (1, 'text'), 'start': (2, 'varint'), 'end': (3, 'varint'), 'step': (4, 'varint'),
                 'exemplars': (16, 'varint')}


def read_varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        n, shift, at = n | (byte & 0x7f) << shift, shift + 7, at + 1
        if byte < 0x80:
            return n, at


def decode(kinds, data):
    """A message as protobuf's JSON has it; fields that `kinds` doesn't name are left out."""
    out, at = {}, 0
    names = {number: (name, kind) for name, (number, kind) in kinds.items()}
    for name, (_, kind) in kinds.items():
        if isinstance(kind, list):
            out[name] = []
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            raw, at = read_varint(data, at)
        elif tag & 7 == 1:
            raw, at = data[at:at + 8], at + 8
        else:
            size, at = read_varint(data, at)
            raw, at = data[at:at + size], at + size
        if tag >> 3 not in names:
            continue
        name, kind = names[tag >> 3]
        many = isinstance(kind, list)
        one = kind[0] if many else kind
        if isinstance(one, dict):
            value = decode(one, raw)
        elif one == 'text':
            value = raw.decode()
        elif one == 'double':
            value, = struct.unpack('<d', raw)
        elif one == 'bool':
            value = bool(raw)
        elif one == 'uint32':
            value = raw
        else:
            value = str(raw - (1 << 64) if one == 'int64' and raw >> 63 else raw)
        if many:
            out[name].append(value)
        else:
            out[name] = value
    return out


def wanted(kinds, answer):
    """What of an answer in JSON `kinds` names, with empty lists and maps as decode() has them."""
    if not isinstance(kinds, dict):
        return answer
    out = {}
    for name, (_, kind) in kinds.items():
        if isinstance(kind, list):
            values = answer.get(name, [])
            if isinstance(values, dict):  # a map
                values = [{'key': k, 'value': v} for k, v in values.items()]
            out[name] = [wanted(kind[0], v) for v in values]
        elif name in answer:
            out[name] = wanted(kind, answer[name])
    return out


def streams(server, tenant, *calls):
    """[(method, kinds, message)] as [(status, text, [bytes])]"""
    otel = os.path.join(m.SOURCE, 'tests/integration/otel')
    python = subprocess.run([os.path.join(m.SOURCE, 'tests/integration/python_packages')], check=True, stdout=subprocess.PIPE,
                            text=True).stdout.strip()
    lines = ''.join(json.dumps([SERVICE + method, message if isinstance(message, str) else otlp.to_wire(kinds, message).hex()]) + '\n'
                    for method, kinds, message in calls)
    done = subprocess.run([python, os.path.join(otel, 'grpc_streams.py'), '127.0.0.1:%d' % server.port, tenant],
                          input=lines, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    return [(status, text, [bytes.fromhex(a) for a in answers]) for status, text, answers in map(json.loads, done.stdout.splitlines())]


def span(trace, number, start_ns, duration_ns, parent=0, **attributes):
    out = {'traceId': '%032x' % trace, 'spanId': '%016x' % (trace << 8 | number), 'name': 'op %d' % (number % 3), 'kind': 2,
           'startTimeUnixNano': str(start_ns), 'endTimeUnixNano': str(start_ns + duration_ns),
           'attributes': [{'key': k, 'value': otlp.any_to_json(v)} for k, v in attributes.items()]}
    if parent:
        out['parentSpanId'] = '%016x' % (trace << 8 | parent)
    if number % 4 == 3:
        out['status'] = {'code': 2}
    return out


def push(server, now, tenant='t'):
    """Ten traces of eight spans, a minute ago; odd spans are of another service."""
    start, by_service = now - 60 * NS, {'front': [], 'back': []}
    for trace in range(1, 11):
        for number in range(1, 9):
            by_service['front' if number % 2 else 'back'].append(
                span(trace, number, start + trace * NS // 10 + number * 1000, number * 10**7, number // 2,
                     rows=number, cost=number / 4, cached=number % 2 == 0, text='value %d' % (number % 2)))
    body = {'resourceSpans': [{'resource': {'attributes': [{'key': 'service.name', 'value': {'stringValue': name}}]},
                               'scopeSpans': [{'scope': {'name': 'lib'}, 'spans': spans}]} for name, spans in by_service.items()]}
    status, answer, _ = server.request('POST', '/v1/traces', json.dumps(body).encode(),
                                       {'Content-Type': 'application/json', 'X-Scope-OrgID': tenant})
    assert status == 200 and json.loads(answer) == {}, answer
    return start // NS - 10, now // NS


def get(server, path, tenant='t', **parameters):
    status, body, _ = server.get_raw(path, tenant, **parameters)
    assert status == 200, (path, parameters, status, body)
    return json.loads(body)


def get_wire(server, path, **parameters):
    import urllib.parse
    status, body, headers = server.request('GET', path + '?' + urllib.parse.urlencode(parameters), None,
                                           {'X-Scope-OrgID': 't', 'Accept': 'application/protobuf'})
    assert status == 200 and headers['Content-Type'] == 'application/protobuf', (status, body, headers)
    return body


def without_metrics(answer):
    return {k: v for k, v in answer.items() if k != 'metrics'}


def test_the_same_answers_in_json_protobuf_and_over_grpc():
    server, now = m.Moraine(None), time.time_ns()
    start, end = push(server, now)
    for prepare in (lambda: None, server.flush):
        prepare()
        query = '{ span.rows > 3 } | select(status, span.cost, span.cached)'
        search = get(server, '/api/search', q=query, start=start, end=end, limit=7, spss=4)
        tags = get(server, '/api/search/tags', start=start, end=end)
        tags_v2 = get(server, '/api/v2/search/tags', start=start, end=end, scope='span')
        values = get(server, '/api/search/tag/rows/values', start=start, end=end)
        values_v2 = get(server, '/tempo/api/v2/search/tag/span.rows/values', start=start, end=end, q='{ span.cached = true }')
        assert len(search['traces']) == 7 and all(t['spanSets'][0]['matched'] == 5 for t in search['traces'])
        assert all(len(t['spanSet']['spans']) == 4 for t in search['traces'])
        assert search['traces'][0]['traceID'] == 'a' and search['traces'][0]['rootServiceName'] == 'front'
        assert search['traces'][0]['serviceStats'] == {'front': {'spanCount': 4, 'errorCount': 2}, 'back': {'spanCount': 4}}
        assert search['metrics']['completedJobs'] == search['metrics']['totalJobs'] > 0
        assert tags['tagNames'] == ['cached', 'cost', 'rows', 'service.name', 'text'], tags
        assert tags_v2['scopes'] == [{'name': 'span', 'tags': ['cached', 'cost', 'rows', 'text']}], tags_v2
        assert sorted(values['tagValues']) == [str(n) for n in range(1, 9)]
        assert sorted(v['value'] for v in values_v2['tagValues']) == ['2', '4', '6', '8']

        got = decode(SEARCH, get_wire(server, '/api/search', q=query, start=start, end=end, limit=7, spss=4))
        assert without_metrics(got) == without_metrics(wanted(SEARCH, search)), (got, search)
        assert decode(TAGS, get_wire(server, '/api/search/tags', start=start, end=end)) == wanted(TAGS, tags)
        assert decode(VALUES, get_wire(server, '/api/search/tag/rows/values', start=start, end=end)) == wanted(VALUES, values)

        times = {'start': start, 'end': end}
        answers = streams(server, 't', ('Search', SEARCH_REQUEST, {'limit': 7, **times, 'query': query, 'spss': 4}),
                          ('SearchTags', TAGS_REQUEST, times), ('SearchTagsV2', TAGS_REQUEST, {'scope': 'span', **times}),
                          ('SearchTagValues', VALUES_REQUEST, {'tag': 'rows', **times}),
                          ('SearchTagValuesV2', VALUES_REQUEST, {'tag': 'span.rows', 'query': '{ span.cached = true }', **times}))
        assert all(status == 0 and told for status, _, told in answers), answers
        last = [told[-1] for _, _, told in answers]
        assert without_metrics(decode(SEARCH, last[0])) == without_metrics(wanted(SEARCH, search))
        assert decode(TAGS, last[1]) == wanted(TAGS, tags)
        assert decode(TAGS_V2, last[2]) == wanted(TAGS_V2, tags_v2)
        assert decode(VALUES, last[3]) == wanted(VALUES, values)
        assert decode(VALUES_V2, last[4]) == wanted(VALUES_V2, values_v2)
    server.stop()


def test_metrics_are_the_same_in_every_form():
    server, now = m.Moraine(None), time.time_ns()
    start, end = push(server, now)
    for prepare in (lambda: None, server.flush):
        prepare()
        query = '{ } | count_over_time() by (resource.service.name)'
        ranged = get(server, '/api/metrics/query_range', q=query, start=start, end=end, step='30s', exemplars=5)
        instant = get(server, '/api/metrics/query', query=query, start=start, end=end)
        total = {s['labels'][0]['value']['stringValue']: sum(float(p.get('value', 0)) for p in s['samples']) for s in ranged['series']}
        assert total == {'front': 40, 'back': 40}, total
        assert {s['labels'][0]['value']['stringValue']: s['value'] for s in instant['series']} == total
        assert set(ranged) <= {'series', 'metrics', 'status', 'message'} and set(instant) <= set(ranged)
        wire = decode(RANGE, get_wire(server, '/api/metrics/query_range', q=query, start=start, end=end, step='30s'))
        plain = [{k: v for k, v in s.items() if k != 'exemplars'} for s in wanted(RANGE, ranged)['series']]
        assert [{k: v for k, v in s.items() if k != 'exemplars'} for s in wire['series']] == plain
        ns = {'query': query, 'start': start * NS, 'end': end * NS}
        answers = streams(server, 't', ('MetricsQueryRange', RANGE_REQUEST, {**ns, 'step': 30 * NS, 'exemplars': 5}),
                          ('MetricsQueryInstant', RANGE_REQUEST, ns))
        assert all(status == 0 and told for status, _, told in answers), answers
        got = decode(RANGE, answers[0][2][-1])
        assert [{k: v for k, v in s.items() if k != 'exemplars'} for s in got['series']] == plain
        assert decode(INSTANT, answers[1][2][-1]) == wanted(INSTANT, instant)
    server.stop()


def test_searches_by_tags_and_times():
    server, now = m.Moraine(None), time.time_ns()
    start, end = push(server, now)
    count = lambda **p: len(get(server, '/api/search', **p)['traces'])
    assert count() == 10 and count(limit=3) == 3 and count(start=start, end=end) == 10
    assert count(start=1000, end=2000) == 0 and count(start=end + 100, end=end + 200) == 0
    assert count(tags='service.name=back text="value 1"') == 10 and count(tags='rows=8') == 10 and count(tags='rows=9') == 0
    assert count(minDuration='1h') == 0 and count(maxDuration='1h') == 10
    assert all('spanSets' not in t for t in get(server, '/api/search', tags='name="op 1"')['traces'])
    assert get(server, '/api/search', q='{ name = "none" }')['traces'] == []
    # One who may not see them.
    assert get(server, '/api/search', 'other', q='{ }')['traces'] == []
    assert get(server, '/api/search/tags', 'other')['tagNames'] == []
    server.stop()


def test_parts_of_a_trace():
    server, now = m.Moraine(None), time.time_ns()
    push(server, now)

    def names(**parameters):
        answer = get(server, '/api/v2/traces/5', **parameters)
        spans = [s for r in answer['trace']['resourceSpans'] for o in r['scopeSpans'] for s in o['spans']]
        return len(spans), answer.get('status', 'COMPLETE')
    assert names() == (8, 'COMPLETE') and names(q='{ }') == (8, 'COMPLETE')
    assert names(q='{ span.rows = 4 }') == (1, 'PARTIAL')
    assert names(q='{ span.rows = 8 }', keep_hierarchy='true') == (4, 'PARTIAL')  # 8, 4, 2, 1
    assert names(q='{ span.rows = 2 }', match_depth=1) == (3, 'PARTIAL')  # 2, 4, 5
    assert names(q='{ span.rows = 2 }', match_depth=-1) == (4, 'PARTIAL')
    assert names(q='{ span.rows = 99 }') == (0, 'PARTIAL')
    for bad in ({'q': '{ }', 'match_depth': -2}, {'q': '{'}, {'q': '{ } >> { }'}, {'q': '{ }', 'keep_hierarchy': 'perhaps'}):
        status, body, _ = server.get_raw('/api/v2/traces/5', 't', **bad)
        assert status == 400, (bad, status, body)
    server.stop()


def test_what_is_refused_says_why():
    server, now = m.Moraine(None), time.time_ns()
    start, end = push(server, now)
    for path, parameters, text in (
            ('/api/search', {'q': '{'}, b'parse error'), ('/api/search', {'q': '{ }', 'limit': 0}, b'positive'),
            ('/api/search', {'q': '{ }', 'limit': 10**6}, b'exceeds'), ('/api/search', {'q': '{ }', 'spss': 101}, b'exceeds 100'),
            ('/api/search', {'q': '{ }', 'tags': 'a=b'}, b"can't specify"), ('/api/search', {'tags': 'a=b a=c'}, b'set twice'),
            ('/api/search', {'tags': '=x'}, b'invalid tags'), ('/api/search', {'tags': 'a="x'}, b'unterminated'),
            ('/api/search', {'q': '{ }', 'start': 20, 'end': 10}, b'before end'), ('/api/search', {'minDuration': 'x'}, b'duration'),
            ('/api/v2/search/tags', {'scope': 'galaxy'}, b'invalid scope'), ('/api/v2/search/tags', {'start': 5}, b'both'),
            ('/api/v2/search/tag/noscope/values', {}, b'tagName'), ('/api/metrics/query', {'q': '{ }'}, b'not a metrics query'),
            ('/api/metrics/query_range', {'q': '{ } | rate()', 'step': '-1s'}, b'positive'),
            ('/api/metrics/query_range', {'q': '{ } | rate()', 'step': '1ms', 'start': start, 'end': end}, b'too small'),
            ('/api/metrics/query_range', {'q': '{ } | rate()', 'start': 10, 'end': 5}, b'greater than start')):
        status, body, headers = server.get_raw(path, 't', **parameters)
        assert status == 400 and text in body and headers['Content-Type'].startswith('text/plain'), (path, parameters, status, body)
    answers = streams(server, 't', ('Search', None, 'ff'), ('Search', SEARCH_REQUEST, {'query': '{'}),
                      ('Search', SEARCH_REQUEST, {'query': '{ }', 'spss': 1000}), ('SearchTags', TAGS_REQUEST, {'scope': 'galaxy'}),
                      ('SearchTagValuesV2', VALUES_REQUEST, {'tag': 'x y'}), ('MetricsQueryInstant', RANGE_REQUEST, {'query': '{ }'}))
    assert all(status == INVALID and text and not told for status, text, told in answers), answers
    server.stop()


def test_what_clients_ask_first():
    server = m.Moraine(None)
    assert server.get_raw('/api/echo')[:2] == (200, b'echo')
    for prefix in ('', '/tempo'):
        assert tuple(map(int, get(server, prefix + '/api/status/buildinfo')['version'].split('.'))) >= (2, 8, 0)
    assert 'metrics_generator' in get(server, '/api/overrides')
    server.stop()


if __name__ == '__main__':
    m.main(globals())
