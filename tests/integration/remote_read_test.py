#!/usr/bin/env python3
"""Real Prometheus servers read from Moraine: by remote_read, as samples (Debian's 2.42) and as streamed
chunks (3.x), and by scraping /federate; and browsers of other origins, by CORS."""
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import moraine as m

SCRAPES = 8  # seconds of data, one scrape each


def prometheus3():
    script = os.path.join(m.SOURCE, 'tests/integration/prometheus3')
    return subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.split('\n')[0]


def start(binary, config, *arguments):
    port, folder = m.free_port(), m.work_dir('prometheus')
    path = os.path.join(folder, 'prometheus.yml')
    with open(path, 'w') as f:
        f.write(config)
    log = open(os.path.join(folder, 'log'), 'w')
    process = m.run([binary, '--config.file=' + path, '--storage.tsdb.path=' + os.path.join(folder, 'data'),
                     '--web.listen-address=127.0.0.1:%d' % port, *arguments], stderr=log)
    url = 'http://127.0.0.1:%d' % port

    def ready():
        assert process.poll() is None, 'Prometheus ended:\n' + open(log.name).read()[-2000:]
        try:
            return urllib.request.urlopen(url + '/-/ready').status == 200
        except OSError:
            return False
    m.wait_until('Prometheus is ready', ready)
    return url


def ask(url, path, **parameters):
    data = urllib.parse.urlencode(parameters).encode()
    try:
        with urllib.request.urlopen(url + path, data) as answer:
            return json.loads(answer.read())['data']
    except urllib.error.HTTPError as error:
        raise AssertionError('%s: %s' % (path, error.read()[:1000]))


def all_series(get, begin, end):
    """Labels -> raw samples, floats and histograms."""
    result = get('/api/v1/query', query='{__name__=~".+"}[%dms]' % (end * 1000 - begin * 1000),
                 time='%.3f' % end)['result']
    return {json.dumps(s['metric'], sort_keys=True): (s.get('values', []), s.get('histograms', []))
            for s in result}


def assert_same(want, got, what):
    assert set(want) == set(got), '%s: %d series instead of %d, such as %s' % (
        what, len(got), len(want), sorted(set(want) ^ set(got))[:3])
    for labels, samples in want.items():
        assert samples == got[labels], '%s: %s: %r, expected %r' % (
            what, labels, got[labels], samples)


def filled():
    """A Moraine with what a Prometheus 3 wrote about itself, some of it flushed."""
    server, binary = m.Moraine(), prometheus3()
    port = m.free_port()
    url = start(binary, '''
global: {scrape_interval: 1s, scrape_native_histograms: true}
scrape_configs:
- {job_name: prometheus, static_configs: [{targets: ['127.0.0.1:%d']}]}
remote_write:
- url: %s/api/v1/push
  send_native_histograms: true
  queue_config: {batch_send_deadline: 300ms}
''' % (port, server.url), '--web.listen-address=127.0.0.1:%d' % port)
    begin = time.time()
    time.sleep(SCRAPES / 2)
    server.flush()
    time.sleep(SCRAPES / 2)
    end = time.time()
    m.wait_until('everything is sent', lambda: float(
        (ask(url, '/api/v1/query', query='min(prometheus_remote_storage_queue_highest_sent_timestamp_seconds)')
         ['result'] or [{'value': [0, '0']}])[0]['value'][1]) > end + 1)
    return server, binary, int(begin) + 1, int(end)


def test_others_read_what_moraine_has():
    server, binary, begin, end = filled()
    want = all_series(server.get, begin, end)
    histograms = sum(len(h) for _, h in want.values())
    assert len(want) > 300 and histograms > 0, '%d series, %d histograms' % (len(want), histograms)

    config = 'remote_read: [{url: "%s/api/v1/read", read_recent: true}]' % server.url
    streamed = start(binary, config)
    assert_same(want, all_series(lambda p, **q: ask(streamed, p, **q), begin, end), 'streamed chunks')

    old = start('prometheus', config) # reads samples, and passes over native histograms
    floats = {k: v for k, v in want.items() if not v[1]}
    got = all_series(lambda p, **q: ask(old, p, **q), begin, end)
    assert_same(floats, {k: v for k, v in got.items() if k in floats}, 'samples')
    print('%d series, %d with native histograms' % (len(want), len(want) - len(floats)))

    # Matchers of all four kinds arrive as they were meant.
    for selector in ('up', '{__name__=~"go_gc.*", quantile!="0.5"}', '{__name__!~"prometheus.*", job="prometheus"}',
                     '{__name__="up", job!~"a.*|b"}'):
        asked = dict(query='count(%s)' % selector, time='%.3f' % end)
        assert (ask(streamed, '/api/v1/query', **asked)['result'] ==
                server.get('/api/v1/query', **asked)['result']), selector
    server.stop()


def test_federate_is_scraped():
    server, binary, begin, end = filled()
    target = server.url.split('//')[1]
    for name, options in (('protobuf', 'scrape_native_histograms: true'), ('text', '')):
        url = start(binary, '''
global: {scrape_interval: 1s}
scrape_configs:
- job_name: federate
  honor_labels: true
  metrics_path: %s/federate
  params: {'match[]': ['{job="prometheus"}', 'up']}
  static_configs: [{targets: ['%s']}]
  %s
''' % ('/prometheus' if name == 'text' else '', target, options))
        m.wait_until('it is scraped', lambda: ask(
            url, '/api/v1/query', query='up{job="federate"} == 1')['result'])
        got = m.wait_until('it has series', lambda: ask(
            url, '/api/v1/query', query='count({job="prometheus"})')['result'])[0]['value'][1]
        native = ask(url, '/api/v1/query', query='histogram_count(prometheus_http_request_duration_seconds)')['result']
        assert int(got) > 300, got
        assert bool(native) == (name == 'protobuf'), native
    # As text, by hand.
    server.push([({'__name__': 'odd', 'l': 'a"b\\c\nd'}, [(int(time.time() * 1000), 1.5)])])
    status, body, headers = server.get_raw('/federate', **{'match[]': ['odd', 'odd']})
    assert status == 200 and headers['Content-Type'].startswith('text/plain; version=0.0.4'), headers
    lines = body.decode().splitlines()
    assert lines[0] == '# TYPE odd untyped' and len(lines) == 2, lines
    assert lines[1].startswith('odd{l="a\\"b\\\\c\\nd",instance=""} 1.5 '), lines
    status, body, headers = server.get_raw('/federate', **{'match[]': '{'})
    assert status == 400 and headers['Content-Type'].startswith('text/plain'), (status, headers)
    assert server.get_raw('/federate')[:2] == (200, b'')
    server.stop()


def read_request(matchers, start, end, types=(), kind=0):
    query = b'\x08' + m.varint(start) + b'\x10' + m.varint(end)
    for name, value in matchers:
        query += m.field(3, b'\x08' + m.varint(kind) + m.field(2, name.encode()) + m.field(3, value.encode()))
    return m.field(1, query) + b''.join(b'\x10' + m.varint(t) for t in types)


def test_bad_reads_get_a_clear_error():
    server = m.Moraine(None, '--limits.query_samples_max', '100')
    now = int(time.time() * 1000)
    server.push([({'__name__': 'many', 'i': str(i)}, [(now - 1000 * k, k) for k in range(10, 0, -1)])
                 for i in range(20)])
    post = lambda body: server.request('POST', '/api/v1/read', body)
    for body, says in ((b'', b'snappy'), (b'\xff' * 20, b'snappy'), (m.snappy(b'\xff'), b'ReadRequest'),
                       (m.snappy(read_request([('a', '(')], 0, now, kind=2)), b'regexp'),
                       (m.snappy(read_request([('a', 'b')], 0, now, kind=9)), b'matcher type'),
                       (m.snappy(read_request([('__name__', 'many')], 0, now, types=[7])), b'response types'),
                       (m.snappy(read_request([('__name__', 'many')], 0, now)), b'limits.query_samples_max is 100')):
        status, text, headers = post(body)
        assert status == 400 and says in text, (status, text, says)
        assert headers['Content-Type'].startswith('text/plain'), headers
    status, body, headers = post(m.snappy(read_request([('i', '3')], 0, now)))
    assert status == 200 and headers['Content-Encoding'] == 'snappy', headers
    assert headers['Content-Type'] == 'application/x-protobuf', headers
    status, body, headers = post(m.snappy(read_request([('__name__', 'many')], 0, now, types=[1])))
    assert status == 200 and headers['Content-Type'].startswith('application/x-streamed-protobuf'), headers
    assert len(body) > 500
    server.stop()


def test_web_pages_of_other_origins():
    server = m.Moraine()
    origin = {'Origin': 'http://grafana.example'}
    status, body, headers = server.request('OPTIONS', '/api/v1/query_range', None, origin)
    assert (status, body) == (204, b''), (status, body)
    assert headers['Access-Control-Allow-Origin'] == '*', headers
    assert headers['Access-Control-Allow-Methods'] == 'GET, POST, OPTIONS', headers
    status, _, headers = server.request('GET', '/prometheus/api/v1/query?query=1', None, origin)
    assert status == 200 and headers['Access-Control-Allow-Origin'] == '*', headers
    assert headers['Vary'] == 'Origin'
    _, _, headers = server.request('GET', '/api/v1/query?query=(', None, origin)
    assert headers['Access-Control-Allow-Origin'] == '*', headers
    server.stop()
    server = m.Moraine(None, '--http.cors_origin', r'https?://(a|b)\.example')
    for name, allowed in (('http://a.example', True), ('https://b.example', True), ('http://c.example', False),
                          ('http://a.example.evil', False)):
        _, _, headers = server.request('GET', '/api/v1/labels', None, {'Origin': name})
        assert headers['Access-Control-Allow-Origin'] == (name if allowed else None), (name, headers)
    server.stop()


if __name__ == '__main__':
    m.main(globals())
