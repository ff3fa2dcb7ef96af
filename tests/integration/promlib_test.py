#!/usr/bin/env python3
"""Grafana's own Prometheus data source (its Go package) asks Moraine what a Grafana server asks."""
import json
import os
import struct
import subprocess
import time

import moraine as m


def double(v):
    return struct.pack('<d', v)


def histogram(time_ms, count, gauge=False):
    """A native histogram of schema 0 with `count` observations in the bucket (1, 2]."""
    return m.field(4, b'\x08' + m.varint(count) + b'\x19' + double(1.5 * count) + b'\x20\x00' +
                   b'\x29' + double(2.0 ** -128) + b'\x30\x00' +
                   m.field(11, b'\x08\x02\x10\x01') + m.field(12, m.varint(count << 1)) +
                   (b'\x70\x03' if gauge else b'') + b'\x78' + m.varint(time_ms))


def exemplar(time_ms, value, trace):
    return m.field(3, m.label('trace_id', trace) + b'\x11' + double(value) + b'\x18' + m.varint(time_ms))


def series(labels, *parts):
    return m.field(1, b''.join(m.label(k, v) for k, v in sorted(labels.items())) + b''.join(parts))


def fill(server, end):
    times = range((end - 600) * 1000, end * 1000 + 1, 15000)
    body = b''
    for job in ('a', 'b'):
        body += series({'__name__': 'requests_total', 'job': job},
                       *[m.sample(t, i * 15) for i, t in enumerate(times)],
                       exemplar(end * 1000 - (30000 if job == 'a' else 330000), 7, 'abc' + job))
    body += series({'__name__': 'latency', 'job': 'a'}, *[histogram(t, 3 * i) for i, t in enumerate(times)])
    body += series({'__name__': 'latency_gauge', 'job': 'a'}, *[histogram(t, 3, True) for t in times])
    body += series({'__name__': 'http.status', 'l.x': '1'}, m.sample(end * 1000 - 1000, 5))
    body += m.field(3, b'\x08\x01' + m.field(2, b'requests_total') + m.field(4, b'How many.'))
    status, text, _ = server.push_bytes(m.snappy(body))
    assert status == 204, text


def ask(server, method, end):
    script = os.path.join(m.SOURCE, 'tests/integration/promlib_build')
    binary = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    output = subprocess.run([binary, server.url + '/prometheus', method, str(end)], check=True,
                            stdout=subprocess.PIPE, text=True, stderr=open(os.devnull, "w")).stdout
    return {answer['name']: answer for answer in map(json.loads, output.splitlines())}


def check(answers, end):
    assert answers['health']['status'] == 1, answers['health']
    for name in ('range', 'instant', 'both', 'exemplars', 'heatmap', 'utf8', 'interval'):
        assert answers[name].get('frames') and not answers[name].get('error'), answers[name]
    by_job = {f['labels']['job']: f for f in answers['range']['frames']}
    assert sorted(by_job) == ['a', 'b'] and by_job['a']['values'][0] == '0.25 true', by_job
    assert [f['values'] for f in answers['instant']['frames']] == [['600 true']] * 2, answers['instant']
    assert len(answers['both']['frames']) == 4, answers['both']
    # Of exemplars within one step Grafana keeps one; these are minutes apart.
    assert any(f['rows'] == 2 and f['values'] for f in answers['exemplars']['frames']), answers['exemplars']
    assert answers['heatmap']['frames'][0]['rows'] > 30, answers['heatmap']
    assert 'gauge' in json.dumps(answers['warning']), answers['warning']
    assert answers['bad']['status'] == 400 and 'parse error' in answers['bad']['error'], answers['bad']
    assert answers['utf8']['frames'][0]['values'] == ['5 true'], answers['utf8']
    body = lambda name: answers['resource ' + name]['body']
    span = 'start=%d&end=%d' % (end - 600, end)
    assert body('api/v1/labels?' + span)['data'] == ['__name__', 'job', 'l.x']
    assert body('api/v1/labels')['data'] == ['__name__', 'job']
    limited = body('api/v1/label/job/values?%s&limit=1' % span)
    assert limited['data'] == ['a'] and limited['warnings'] == ['results truncated due to limit'], limited
    assert 'http.status' in body('api/v1/label/__name__/values?' + span)['data']
    assert body('api/v1/label/U__l_2e_x/values?' + span)['data'] == ['1']
    assert len(body('api/v1/series')['data']) == 2
    assert body('api/v1/metadata')['data']['requests_total'] == [
        {'type': 'counter', 'help': 'How many.', 'unit': ''}]
    assert body('api/v1/rules')['data']['groups'] == []
    info = body('api/v1/status/buildinfo')['data']
    assert info['application'] == 'Grafana Mimir' and all(isinstance(v, str) for v in info['features'].values())


def test_grafanas_client_gets_what_it_expects():
    server, end = m.Moraine(), int(time.time()) // 60 * 60 - 60
    fill(server, end)
    for method in ('POST', 'GET'):
        check(ask(server, method, end), end)
    server.flush()
    check(ask(server, 'POST', end), end)
    server.stop()


if __name__ == '__main__':
    m.main(globals())
