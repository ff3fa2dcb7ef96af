#!/usr/bin/env python3
"""GET /api/v1/correlate: spans, log lines and exemplars of one trace; and rules on the way in."""
import json
import os
import time

import moraine as m
from generator_test import attributes, push, span, values, wait_for

CONFIG = '''
metrics_generator: {interval: 50ms, slack: 0}
rules:
  traces:
    - {action: drop, if: 'name =~ "GET /(health|ready).*"'}
    - {action: upsert, key: resource.deployment.environment, value: test}
    - {action: hash, key: span.user}
  logs:
    - {action: drop, if: 'severity < info'}
    - {action: delete, key: log.token}
    - {action: upsert, key: resource.deployment.environment, value: test}
  metrics:
    - {action: drop, if: 'name =~ "go_.*"'}
    - {action: rename, key: point.a, to: b}
overrides:
  tail:
    tail_sampling.wait: 0
    rules:
      tail:
        - {action: keep, if: 'status = error or trace_duration > 2s'}
        - {action: sample, share: 0}
  waiting:
    tail_sampling.wait: 1h
    rules.tail:
      - {action: keep, if: 'status = error'}
  few:
    rules:
      traces:
        - {action: sample, share: 0}
'''


def start():
    folder = m.work_dir()
    path = os.path.join(folder, 'moraine.yaml')
    with open(path, 'w') as f:
        f.write(CONFIG)
    return m.Moraine(os.path.join(folder, 'data'), '--config', path)


def post(server, path, body, tenant='acme'):
    status, answer, _ = server.request('POST', path, json.dumps(body), {'Content-Type': 'application/json', 'X-Scope-OrgID': tenant})
    assert status in (200, 204), (status, answer)


def push_logs(server, tenant, service, *records):
    post(server, '/v1/logs', {'resourceLogs': [{'resource': {'attributes': attributes({'service.name': service})},
                                                'scopeLogs': [{'logRecords': list(records)}]}]}, tenant)


def record(body, trace=None, severity=9, **more):
    out = {'timeUnixNano': str(time.time_ns()), 'severityNumber': severity, 'body': {'stringValue': body}, 'attributes': attributes(more)}
    if trace is not None:
        out['traceId'] = '%032x' % trace
    return out


def names(answer):
    return sorted(s['name'] for r in answer['resourceSpans'] for scope in r.get('scopeSpans', []) for s in scope['spans'])


def lines(answer):
    return sorted(v[1] for s in answer['logs'] for v in s['values'])


def test_one_request_gives_spans_lines_and_exemplars():
    server = start()
    trace, other = 0xabc123, 0xdef456
    push(server, 'acme', ('shop', [span(trace, 1, 0, 'GET /', 2, 0.25), span(trace, 2, 1, 'call', 3, 0.2), span(other, 1, 0, 'other', 2, 0.1)]),
         ('cart', [span(trace, 3, 2, 'serve', 2, 0.15)]))
    push_logs(server, 'acme', 'shop', record('by metadata', trace), record('by line %032x' % trace), record('of another', other), record('of none'))
    push_logs(server, 'acme', 'cart', record('in another service', trace))
    wait_for(server, 'acme', 'traces_spanmetrics_calls_total{service="cart"}', (), {(): 1.0})
    wait_for(server, 'acme', 'traces_service_graph_request_total{server="cart"}', (), {(): 1.0})
    for flushed in (False, True):
        for shown in ('%032x' % trace, '%x' % trace, ('%032x' % trace).upper()):
            got = server.get('/api/v1/correlate', 'acme', trace_id=shown)
            assert got['traceId'] == '%032x' % trace and got['spanCount'] == 3, got
            assert names(got) == ['GET /', 'call', 'serve'], got
            assert lines(got) == ['by line %032x' % trace, 'by metadata', 'in another service'], got
            series = {s['seriesLabels']['__name__'] for s in got['exemplars']}
            assert 'traces_spanmetrics_latency_bucket' in series and 'traces_service_graph_request_server_seconds_bucket' in series, got
            assert {e['labels']['traceID'] for s in got['exemplars'] for e in s['exemplars']} == {'%032x' % trace}, got
        if not flushed:
            server.flush()
    assert server.get('/prometheus/api/v1/correlate', 'acme', trace_id='%x' % trace)['spanCount'] == 3
    # A trace that isn't there may still be named by lines; another tenant sees nothing.
    push_logs(server, 'acme', 'shop', record('lost spans', 0x77))
    got = server.get('/api/v1/correlate', 'acme', trace_id='77')
    assert got['spanCount'] == 0 and lines(got) == ['lost spans'] and got['exemplars'] == [], got
    got = server.get('/api/v1/correlate', 'other', trace_id='%x' % trace)
    assert (got['spanCount'], got['logs'], got['exemplars'], got['resourceSpans']) == (0, [], [], []), got
    # Times before all of it, and a limit that cuts.
    got = server.get('/api/v1/correlate', 'acme', trace_id='%x' % trace, start='1000', end='2000')
    assert (got['spanCount'], got['logs'], got['exemplars']) == (0, [], []), got
    status, body, _ = server.get_raw('/api/v1/correlate', 'acme', trace_id='%x' % trace, limit=1)
    answer = json.loads(body)
    assert status == 200 and len(lines(answer['data'])) == 1 and answer['warnings'], answer
    for wrong in ({}, {'trace_id': ''}, {'trace_id': 'xyz'}, {'trace_id': '0' * 33}, {'trace_id': '1', 'limit': 0}, {'trace_id': '1', 'start': 2, 'end': 1},
                  {'trace_id': '1', 'start': 'x'}, {'trace_id': '1', 'limit': 10**9}, {'trace_id': '1', 'start': '-9e15', 'end': '9e15'}):
        status, body, _ = server.get_raw('/api/v1/correlate', 'acme', **wrong)
        assert status in (400, 422) and json.loads(body)['status'] == 'error', (wrong, status, body)
    server.stop()


def test_rules_change_and_drop_what_comes_in():
    server = start()
    push(server, 'acme', ('shop', [span(1, 1, 0, 'GET /', 2, 0.25, user='ann'), span(1, 2, 1, 'GET /health', 2, 0.2)]))
    got = server.get('/api/v1/correlate', 'acme', trace_id='1')
    assert names(got) == ['GET /'], got
    resource = {a['key']: a['value'] for a in got['resourceSpans'][0]['resource']['attributes']}
    assert resource['deployment.environment'] == {'stringValue': 'test'}, resource
    user = [a['value']['stringValue'] for a in got['resourceSpans'][0]['scopeSpans'][0]['spans'][0]['attributes'] if a['key'] == 'user']
    assert len(user) == 1 and len(user[0]) == 64 and user[0] != 'ann', user
    push_logs(server, 'acme', 'shop', record('kept', 2, token='secret'), record('dropped', 2, severity=5))
    got = server.get('/api/v1/correlate', 'acme', trace_id='2')
    assert lines(got) == ['kept'], got
    shown = json.dumps(got['logs'])
    assert 'secret' not in shown and 'deployment_environment' in shown, shown
    now = str(time.time_ns())
    post(server, '/v1/metrics', {'resourceMetrics': [{'scopeMetrics': [{'metrics': [
        {'name': n, 'gauge': {'dataPoints': [{'timeUnixNano': now, 'asDouble': 1, 'attributes': attributes({'a': 'x'})}]}} for n in ('go_gc', 'load')]}]}]})
    assert values(server, 'acme', '{__name__=~"go_gc|load"}', '__name__', 'a', 'b') == {('load', None, 'x'): 1.0}
    assert server.metric('moraine_gateway_rules_dropped_total') == 3
    push(server, 'few', ('shop', [span(1, 1, 0, 'GET /', 2, 0.25)]))
    assert server.get('/api/v1/correlate', 'few', trace_id='1')['spanCount'] == 0
    server.stop()


def test_traces_that_are_over_are_kept_by_rule():
    """Acknowledged spans outlive a crash and are found; what is dropped is when a head is flushed."""
    server = start()
    for tenant in ('tail', 'waiting', 'all'):
        push(server, tenant, ('shop', [span(1, 1, 0, 'fast', 2, 0.1), span(2, 1, 0, 'failed', 2, 0.1, error=True), span(3, 1, 0, 'begins', 2, 3.0)]),
             ('cart', [span(1, 2, 1, 'fast', 2, 0.1), span(2, 2, 1, 'failed', 2, 0.1), span(3, 2, 1, 'ends', 2, 0.1)]))

    def counts(tenant):
        return [server.get('/api/v1/correlate', tenant, trace_id='%x' % t)['spanCount'] for t in (1, 2, 3)]
    assert counts('tail') == counts('waiting') == counts('all') == [2, 2, 2]
    arguments = server.process.args[server.process.args.index('--config'):]
    server.kill()
    server = m.Moraine(server.data, *arguments)
    # What was replayed is flushed soon: for the one tenant it may have been by now.
    assert counts('waiting') == counts('all') == [2, 2, 2] and counts('tail') in ([2, 2, 2], [0, 2, 2])
    server.flush()
    assert counts('tail') == [0, 2, 2], counts('tail')
    assert counts('waiting') == counts('all') == [2, 2, 2]
    assert server.metric('moraine_ingester_tail_dropped_spans_total') == 2
    server.stop()


if __name__ == '__main__':
    m.main(globals())
