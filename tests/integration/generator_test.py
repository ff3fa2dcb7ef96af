#!/usr/bin/env python3
"""Metrics derived from spans: OTLP in, PromQL out, as Grafana's service graph and its span metrics ask."""
import json
import os
import time

import moraine as m

CONFIG = '''
metrics_generator: {interval: 50ms, slack: 0}
service_graphs: {wait: 1h}
overrides:
  quick:
    service_graphs: {wait: 10ms, virtual_node_label: true}
  native:
    metrics_generator: {histograms: native, exemplar_label: trace_id}
    span_metrics: {dimensions: "http.method, region", intrinsic_dimensions: service}
  none:
    span_metrics.enabled: false
    service_graphs.enabled: false
'''


def start(*arguments):
    folder = m.work_dir()
    path = os.path.join(folder, 'moraine.yaml')
    with open(path, 'w') as f:
        f.write(CONFIG)
    return m.Moraine(os.path.join(folder, 'data'), '--config', path, *arguments)


def attributes(pairs):
    return [{'key': k, 'value': {'stringValue': v}} for k, v in pairs.items()]


def span(trace, span_id, parent, name, kind, seconds=0.0, error=False, **more):
    now = time.time_ns()
    return {'traceId': '%032x' % trace, 'spanId': '%016x' % span_id, 'parentSpanId': '%016x' % parent if parent else '',
            'name': name, 'kind': kind, 'startTimeUnixNano': str(now - int(seconds * 1e9)), 'endTimeUnixNano': str(now),
            'status': {'code': 2 if error else 0}, 'attributes': attributes({k.replace('_', '.'): v for k, v in more.items()})}


def push(server, tenant, *services):
    """services: (name, [span])"""
    body = {'resourceSpans': [{'resource': {'attributes': attributes({'service.name': name, 'region': 'eu'})},
                               'scopeSpans': [{'spans': spans}]} for name, spans in services]}
    status, answer, _ = server.request('POST', '/v1/traces', json.dumps(body),
                                       {'Content-Type': 'application/json', 'X-Scope-OrgID': tenant})
    assert status == 200, (status, answer)


def values(server, tenant, expression, *labels):
    """{labels: value} as of now."""
    return {tuple(r['metric'].get(l) for l in labels): float(r['value'][1])
            for r in server.query(expression, time.time() + 1, tenant)}


def wait_for(server, tenant, expression, labels, expected):
    def check():
        nonlocal last
        last = values(server, tenant, expression, *labels)
        return last == expected
    last = None
    try:
        m.wait_until(expression, check)
    except AssertionError as error:
        raise AssertionError('%s: %s, last %s, expected %s' % (error, expression, last, expected))


def test_spans_become_metrics_and_edges_of_their_tenant():
    server = start()
    push(server, 'acme', ('shop', [span(1, 1, 0, 'GET /', 2, 0.25), span(1, 2, 1, 'call', 3, 0.2)]),
         ('cart', [span(1, 3, 2, 'serve', 2, 0.15, error=True)]))
    push(server, 'acme', ('shop', [span(2, 1, 0, 'GET /', 2, 0.25)]))
    calls = 'traces_spanmetrics_calls_total'
    wait_for(server, 'acme', calls, ('service', 'span_name', 'span_kind', 'status_code'), {
        ('shop', 'GET /', 'SPAN_KIND_SERVER', 'STATUS_CODE_UNSET'): 2.0,
        ('shop', 'call', 'SPAN_KIND_CLIENT', 'STATUS_CODE_UNSET'): 1.0,
        ('cart', 'serve', 'SPAN_KIND_SERVER', 'STATUS_CODE_ERROR'): 1.0})
    # From zero on, so that rate() sees the first ones.
    assert set(values(server, 'acme', 'min_over_time(%s[1h])' % calls, 'service').values()) == {0.0}
    wait_for(server, 'acme', 'traces_spanmetrics_latency_bucket{span_name="GET /",le=~"0.256|0.128|.Inf"}', ('le',),
             {('0.128',): 0.0, ('0.256',): 2.0, ('+Inf',): 2.0})
    assert abs(values(server, 'acme', 'traces_spanmetrics_latency_sum{span_name="GET /"}')[()] - 0.5) < 1e-9
    assert values(server, 'acme', 'traces_spanmetrics_size_total{service="cart"}')[()] > 50
    edges = ('client', 'server', 'connection_type')
    wait_for(server, 'acme', 'traces_service_graph_request_total', edges,
             {('user', 'shop', 'virtual_node'): 2.0, ('shop', 'cart', None): 1.0})
    wait_for(server, 'acme', 'traces_service_graph_request_failed_total', edges, {('shop', 'cart', None): 1.0})
    # What Grafana's service graph asks (a rate over what is there, by client and server).
    assert values(server, 'acme', 'sum by (client, server) (increase(traces_service_graph_request_server_seconds_sum[1h])) > 0',
                  'client', 'server').keys() == {('user', 'shop'), ('shop', 'cart')}
    found = server.get('/api/v1/query_exemplars', 'acme', query='traces_spanmetrics_latency_bucket{service="cart"}',
                       start='%.3f' % (time.time() - 3600), end='%.3f' % (time.time() + 1))
    assert [e['labels'] for s in found for e in s['exemplars']] == [{'traceID': '%032x' % 1}], found
    assert values(server, 'other', calls) == {}
    kinds = server.get('/api/v1/metadata', 'acme')
    assert kinds[calls][0]['type'] == 'counter' and kinds['traces_spanmetrics_latency'][0]['type'] == 'histogram', kinds
    # A shutdown writes what no collection has seen; a process that comes after it counts from zero.
    push(server, 'acme', ('shop', [span(3, 1, 0, 'GET /', 2, 0.25)]))
    arguments = server.process.args[server.process.args.index('--config'):]
    server.stop()
    server = m.Moraine(server.data, *arguments)
    wait_for(server, 'acme', calls + '{span_name="GET /"}', (), {(): 3.0})
    push(server, 'acme', ('shop', [span(4, 1, 0, 'GET /', 2, 0.25)]))
    wait_for(server, 'acme', calls + '{span_name="GET /"}', (), {(): 1.0})
    assert values(server, 'acme', 'resets(%s{span_name="GET /"}[1h])' % calls) == {(): 1.0}
    server.stop()


def test_settings_of_a_tenant():
    server = start()
    push(server, 'quick', ('shop', [span(1, 2, 1, 'pay', 3, 0.2, peer_service='bank'), span(1, 3, 1, 'q', 3, 0.1, db_name='orders')]))
    wait_for(server, 'quick', 'traces_service_graph_request_total', ('client', 'server', 'connection_type', 'virtual_node'),
             {('shop', 'bank', 'virtual_node', 'server'): 1.0, ('shop', 'orders', 'database', None): 1.0})
    push(server, 'native', ('shop', [span(1, 1, 0, 'GET /', 2, 0.25, http_method='GET')]))
    wait_for(server, 'native', 'histogram_count(traces_spanmetrics_latency)', ('service', 'http_method', 'region', 'span_name'),
             {('shop', 'GET', 'eu', None): 1.0})
    assert values(server, 'native', 'traces_spanmetrics_latency_bucket') == {}
    push(server, 'none', ('shop', [span(1, 1, 0, 'GET /', 2, 0.25)]))
    push(server, 'native', ('cart', [span(5, 1, 0, 'GET /', 2, 0.25)]))
    wait_for(server, 'native', 'traces_spanmetrics_calls_total{service="cart"}', (), {(): 1.0})
    assert values(server, 'none', '{__name__=~"traces_.*"}', '__name__') == {}
    # Changed while it runs.
    path = server.process.args[server.process.args.index('--config') + 1]
    with open(path, 'w') as f:
        f.write(CONFIG.replace('histograms: native', 'histograms: classic'))
    server.process.send_signal(1)

    def reread():
        push(server, 'native', ('shop', [span(2, 1, 0, 'GET /', 2, 0.25)]))
        return values(server, 'native', 'traces_spanmetrics_latency_count', 'service')
    m.wait_until('the setting is read again', reread)
    server.stop()


if __name__ == '__main__':
    m.main(globals())
