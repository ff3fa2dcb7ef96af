#!/usr/bin/env python3
"""Traces in by OTLP (protobuf and JSON), back by their ids in every form, from heads, from the store
and from compacted blocks; split ones; parameters that are wrong."""
import base64
import json
import random
import time

import moraine as m

SERVICES = 5
TRACES = 200


def span_of(rng, trace, number, start_ns):
    """A span as OTLP's JSON has it."""
    span = {
        'traceId': '%032x' % trace, 'spanId': '%016x' % (trace * 1000 + number + 1), 'name': 'span %d' % number,
        'kind': 1 + number % 5, 'startTimeUnixNano': str(start_ns + number * 1000),
        'endTimeUnixNano': str(start_ns + number * 1000 + rng.randrange(10 ** 9)),
        'attributes': [{'key': 'http.status_code', 'value': {'intValue': str(rng.choice((200, 404, 500)))}},
                       {'key': 'id', 'value': {'stringValue': '%032x' % rng.getrandbits(128)}},
                       {'key': 'share', 'value': {'doubleValue': rng.random()}},
                       {'key': 'list', 'value': {'arrayValue': {'values': [{'intValue': '1'}, {'intValue': '2'}]}}},
                       {'key': 'map', 'value': {'kvlistValue': {'values': [{'key': 'k', 'value': {'boolValue': True}}]}}}],
    }
    if number:
        span['parentSpanId'] = '%016x' % (trace * 1000 + (number - 1) // 2 + 1)
    if rng.random() < 0.2:
        span['status'] = {'code': 2, 'message': 'broken'}
        span['events'] = [{'timeUnixNano': str(start_ns), 'name': 'exception',
                           'attributes': [{'key': 'exception.type', 'value': {'stringValue': 'E'}}]}]
    return span


def request(spans_by_service):
    return {'resourceSpans': [
        {'resource': {'attributes': [{'key': 'service.name', 'value': {'stringValue': 'service %d' % service}}]},
         'scopeSpans': [{'scope': {'name': 'lib', 'version': '1'}, 'spans': spans}]}
        for service, spans in sorted(spans_by_service.items())]}


def push(moraine, body, tenant=None):
    headers = {'Content-Type': 'application/json'}
    if tenant:
        headers['X-Scope-OrgID'] = tenant
    status, answer, _ = moraine.request('POST', '/v1/traces', json.dumps(body).encode(), headers)
    assert status == 200, (status, answer)
    return json.loads(answer)


def ids_of(answer):
    """{hex span id: its JSON} of an answer by id."""
    found = {}
    for batch in answer.get('batches', answer.get('resourceSpans')) or []:
        for scope in batch['scopeSpans']:
            for span in scope['spans']:
                found[base64.b64decode(span['spanId']).hex()] = span
    return found


def get(moraine, path, want=200, headers=None):
    status, body, _ = moraine.request('GET', path, None, headers or {})
    assert status == want, (path, status, body)
    return json.loads(body) if want == 200 and not headers else body


def attributes(span):
    return sorted(json.dumps(a, sort_keys=True) for a in span['attributes'])


def check(moraine, traces):
    """Everything that was pushed, and nothing else, in both versions of the API."""
    for trace, spans in traces.items():
        for path in ('/api/traces/%032x' % trace, '/tempo/api/traces/%x' % trace):
            found = ids_of(get(moraine, path))
            assert sorted(found) == sorted(spans), (path, len(found), len(spans))
        v2 = get(moraine, '/api/v2/traces/%032X' % trace)
        found = ids_of(v2['trace'])
        assert sorted(found) == sorted(spans)
        for span_id, span in spans.items():
            got = found[span_id]
            assert got['name'] == span['name'] and got['startTimeUnixNano'] == span['startTimeUnixNano']
            assert got['endTimeUnixNano'] == span['endTimeUnixNano']
            assert attributes(got) == attributes(span), (got, span)
            assert got.get('events', []) == span.get('events', []), (got, span)


def make(rng, start_ns, count=TRACES):
    traces, by_service = {}, {}
    for _ in range(count):
        trace = rng.getrandbits(100) + 1
        traces[trace] = {}
        for number in range(rng.randrange(1, 30)):
            span = span_of(rng, trace, number, start_ns)
            span['spanId'] = '%016x' % (rng.getrandbits(63) + 1)
            span.pop('parentSpanId', None)
            traces[trace][span['spanId']] = span
            by_service.setdefault(rng.randrange(SERVICES), []).append(span)
    return traces, by_service


def test_spans_come_back_from_heads_store_and_blocks():
    rng, data = random.Random(1), m.work_dir()
    moraine = m.Moraine(data, '--limits', 'off')
    now_ns = time.time_ns()
    traces, by_service = make(rng, now_ns - 10 ** 12)
    assert push(moraine, request(by_service)) == {}
    check(moraine, traces)
    moraine.flush()
    check(moraine, traces)
    # Parts of the same traces, hours later: one trace each.
    later = {}
    for trace in list(traces)[::3]:
        span = span_of(rng, trace, 0, now_ns + 4 * 3600 * 10 ** 9)
        span['spanId'] = '%016x' % (rng.getrandbits(63) + 1)
        traces[trace][span['spanId']] = span
        later.setdefault(0, []).append(span)
    push(moraine, request(later))
    push(moraine, request(later))  # a sender that repeats itself
    check(moraine, traces)
    moraine.flush()
    check(moraine, traces)
    moraine.compact()
    check(moraine, traces)
    moraine.kill()
    moraine = m.Moraine(data, '--limits', 'off')
    check(moraine, traces)
    moraine.stop()


def test_a_log_brings_spans_back_after_a_kill():
    rng, data = random.Random(2), m.work_dir()
    moraine = m.Moraine(data, '--limits', 'off')
    traces, by_service = make(rng, time.time_ns() - 10 ** 12)
    push(moraine, request(by_service))
    moraine.kill()
    moraine = m.Moraine(data, '--limits', 'off')
    check(moraine, traces)
    moraine.stop()


def test_wrong_parameters_are_told():
    moraine = m.Moraine(None)
    push(moraine, request({0: [span_of(random.Random(3), 5, 0, time.time_ns())]}))
    for path in ('/api/traces/xyz', '/api/v2/traces/' + 'a' * 33, '/api/traces/5?start=9&end=8', '/api/traces/5?start=x'):
        get(moraine, path, 400)
    assert b'trace not found' in get(moraine, '/api/traces/6', 404)
    assert get(moraine, '/api/v2/traces/6')['trace'] == {}
    body = get(moraine, '/api/v2/traces/6', headers={'Accept': 'application/protobuf'})
    assert body[:1] == b'\x0a', body
    assert ids_of(get(moraine, '/api/traces/5'))
    # One bad span: the others stay, and the sender is told.
    spans = [span_of(random.Random(4), 7, i, time.time_ns()) for i in range(3)]
    spans[1]['spanId'] = ''
    answer = push(moraine, request({0: spans}))
    assert answer['partialSuccess']['rejectedSpans'] == '1', answer
    assert 'span_id has 0 bytes' in answer['partialSuccess']['errorMessage']
    assert len(ids_of(get(moraine, '/api/traces/7'))) == 2
    # Tenants don't see each other's.
    push(moraine, request({0: [span_of(random.Random(5), 9, 0, time.time_ns())]}), 'other')
    get(moraine, '/api/traces/9', 404)
    moraine.stop()


def test_a_trace_past_its_limit_is_kept_in_part():
    moraine = m.Moraine(None, '--limits.trace_spans_max', '100')
    spans = [span_of(random.Random(6), 11, i, time.time_ns()) for i in range(150)]
    answer = push(moraine, request({0: spans}))
    assert answer['partialSuccess']['rejectedSpans'] == '50', answer
    assert 'trace_spans_max is 100' in answer['partialSuccess']['errorMessage']
    assert len(ids_of(get(moraine, '/api/traces/b'))) == 100
    moraine.stop()


if __name__ == '__main__':
    m.main(globals())
