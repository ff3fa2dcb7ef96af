#!/usr/bin/env python3
"""OTLP over gRPC by grpcio: what is stored and what is refused, and how; and HTTP/2 by curl."""
import json
import os
import socket
import subprocess
import time

import moraine as m
import otlp

NS = 10**9
METRICS = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
LOGS = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
HEALTH = '/grpc.health.v1.Health/Check'
INVALID, NOT_FOUND, EXHAUSTED, UNIMPLEMENTED = 3, 5, 8, 12


def calls(server, tenant, *what):
    """Makes calls one after the other, [(method, message, coding)], and returns [(status, text, bytes)]."""
    otel = os.path.join(m.SOURCE, 'tests/integration/otel')
    python = subprocess.run([os.path.join(m.SOURCE, 'tests/integration/python_packages')], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    lines = ''.join(json.dumps([method, message.hex(), coding]) + '\n' for method, message, coding in what)
    done = subprocess.run([python, os.path.join(otel, 'grpc_calls.py'), '127.0.0.1:%d' % server.port, tenant],
                          input=lines, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    return [(status, text, bytes.fromhex(told)) for status, text, told in map(json.loads, done.stdout.splitlines())]


def gauge(name, values, now):
    points = [{'timeUnixNano': now - i * NS, 'asInt': v, 'attributes': otlp.attributes([('n', i)])} for i, v in enumerate(values)]
    return {'resourceMetrics': [{'scopeMetrics': [{'metrics': [{'name': name, 'gauge': {'dataPoints': points}}]}]}]}


def test_calls_are_stored_and_answered():
    now = time.time_ns()
    server = m.Moraine(None)
    logs = otlp.to_wire(otlp.LOGS, {'resourceLogs': [{'resource': {'attributes': otlp.attributes([('service.name', 's')])}, 'scopeLogs': [
        {'logRecords': [{'timeUnixNano': now + i, 'body': 'line %d' % i} for i in range(1000)]}]}]})
    large = otlp.to_wire(otlp.METRICS, gauge('large', range(30000), now))
    got = calls(server, 't', (METRICS, otlp.to_wire(otlp.METRICS, gauge('plain', [1, 2], now)), None),
                (METRICS, otlp.to_wire(otlp.METRICS, gauge('zipped', [3], now)), 'gzip'),
                (METRICS, otlp.to_wire(otlp.METRICS, gauge('deflated', [4], now)), 'deflate'),
                (LOGS, logs, 'gzip'), (METRICS, large, None), (METRICS, b'', None))
    assert got == [(0, '', b'')] * 6, got
    value = lambda query: [float(s['value'][1]) for s in server.query(query, now / NS, 't')]
    assert value('sum(plain)') == [3] and value('zipped') == [3] and value('deflated') == [4]
    status, body, _ = server.get_raw('/loki/api/v1/query_range', 't', start=str(now - NS), end=str(now + NS), limit='2000',
                                     query='{service_name="s"}')
    assert status == 200 and sum(len(s['values']) for s in json.loads(body)['data']['result']) == 1000
    server.stop()


def test_what_is_refused_says_why_in_grpcs_words():
    now = time.time_ns()
    server = m.Moraine(None, '--limits.ingest_rate', '1', '--limits.ingest_burst', '5',
                       '--limits.request_bytes_max', '100000')
    one = otlp.to_wire(otlp.METRICS, gauge('g', [1], now))
    many = otlp.to_wire(otlp.METRICS, gauge('g', range(100), now))
    delta = {'resourceMetrics': [{'scopeMetrics': [{'metrics': [{'name': 'd', 'sum': {
        'dataPoints': [{'timeUnixNano': now, 'asInt': 1}], 'aggregationTemporality': 1, 'isMonotonic': True}}]}]}]}
    got = calls(server, 't', (METRICS, b'\x0a\xff', None), (METRICS[:-1], one, None), ('/no.Such/Thing', one, None),
                (METRICS, b'\0' * 200000, None), (METRICS, b'\0' * 200000, 'gzip'),
                (METRICS, otlp.to_wire(otlp.METRICS, delta), None), (METRICS, many, None), (METRICS, many, None))
    assert [status for status, _, _ in got] == [INVALID, UNIMPLEMENTED, UNIMPLEMENTED, EXHAUSTED, EXHAUSTED, 0, 0, EXHAUSTED], got
    assert all((status == 0) == (text == '') for status, text, _ in got), got
    # What can never work isn't to be sent again; what is too much just now is, and not at once.
    assert not any(b'RetryInfo' in details for _, _, details in got[:7]), got
    assert b'type.googleapis.com/google.rpc.RetryInfo' in got[7][2], got[7]
    # Partial success: {1: 1 rejected, 2: why}
    assert got[5][2].startswith(b'\x0a') and b'\x08\x01' in got[5][2] and b'cumulative' in got[5][2], got[5]
    assert got[6][2] == b'', got[6]
    assert calls(server, 'not a|tenant', (METRICS, one, None))[0][0] == INVALID
    server.stop()


def test_health_is_told():
    server = m.Moraine(None)
    service = b'opentelemetry.proto.collector.logs.v1.LogsService'
    got = calls(server, 't', (HEALTH, b'', None), (HEALTH, b'\x0a' + bytes([len(service)]) + service, None),
                (HEALTH, b'\x0a\x01x', None), (HEALTH, b'\x0a\x05x', None))
    assert got[:2] == [(0, '', b'\x08\x01')] * 2, got
    assert [status for status, _, _ in got[2:]] == [NOT_FOUND, INVALID], got
    server.stop()


def test_curl_queries_by_http_2():
    server = m.Moraine(None)
    now = time.time()
    lines = {'resourceMetrics': [{'scopeMetrics': [{'metrics': [{'name': 'up', 'gauge': {'dataPoints': [
        {'timeUnixNano': int(now * NS), 'asInt': 7}]}}]}]}]}
    assert otlp.post(server, '/v1/metrics', otlp.METRICS, lines, False)[0] == 200
    for flags in (['--http2-prior-knowledge'], ['--http2-prior-knowledge', '--compressed'], ['--http1.1']):
        done = subprocess.run(['curl', '-sS', '--fail', *flags, '-w', '\n%{http_version}', '--data-urlencode', 'query=up',
                               '-d', 'time=%.3f' % now, server.url + '/api/v1/query'],
                              check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
        body, version = done.rsplit('\n', 1)
        assert json.loads(body)['data']['result'][0]['value'][1] == '7', body
        assert version == ('1.1' if flags == ['--http1.1'] else '2'), version
    server.stop()


def test_a_port_that_is_asked_for_and_taken_is_an_error():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        server = m.Moraine(None, '--otlp-grpc', '127.0.0.1:%d' % taken.getsockname()[1], wait=False)
        assert server.process.wait(60) != 0
        assert 'listen on' in server.log_text()


if __name__ == '__main__':
    m.main(globals())
