#!/usr/bin/env python3
"""The main job: a real Prometheus scrapes a real node exporter and itself, writes to Moraine, which
keeps it on an object store; what comes back equals what Prometheus answers from its own TSDB."""
import json
import os
import shutil
import time
import urllib.parse
import urllib.request

import moraine as m

SCRAPES = 12  # seconds of data, one scrape each


def find(*names):
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise AssertionError('%s is not installed: tests/run installs it' % names[0])


def ask(url, path, **parameters):
    with urllib.request.urlopen(url + path + '?' + urllib.parse.urlencode(parameters)) as answer:
        return json.loads(answer.read())['data']


def start_prometheus(moraine):
    exporter_port, port, folder = m.free_port(), m.free_port(), m.work_dir('prometheus')
    m.run([find('prometheus-node-exporter', 'node_exporter'),
           '--web.listen-address=127.0.0.1:%d' % exporter_port], stderr=open(os.devnull, 'w'))
    config = os.path.join(folder, 'prometheus.yml')
    with open(config, 'w') as f:
        f.write('''
global: {scrape_interval: 1s}
scrape_configs:
- {job_name: node, static_configs: [{targets: ['127.0.0.1:%d']}]}
- {job_name: prometheus, static_configs: [{targets: ['127.0.0.1:%d']}]}
remote_write:
- url: %s/api/v1/push
  send_exemplars: true
  queue_config: {batch_send_deadline: 500ms, min_backoff: 30ms, max_backoff: 500ms}
''' % (exporter_port, port, moraine))
    process = m.run([find('prometheus'), '--config.file=' + config,
                     '--storage.tsdb.path=' + os.path.join(folder, 'data'),
                     '--web.listen-address=127.0.0.1:%d' % port], stderr=open(os.devnull, 'w'))
    url = 'http://127.0.0.1:%d' % port

    def ready():
        try:
            return urllib.request.urlopen(url + '/-/ready').status == 200
        except OSError:
            return False
    m.wait_until('Prometheus is ready', ready)
    return process, url


def by_labels(matrix):
    return {json.dumps(s['metric'], sort_keys=True): s['values'] for s in matrix}


def all_series(get, start, end):
    """Every raw sample of every series: a range selector gives them as they were stored."""
    return by_labels(get('/api/v1/query', query='{__name__=~".+"}[%dms]' % (end * 1000 - start * 1000),
                         time='%.3f' % end)['result'])


def compare(prometheus, moraine, start, end):
    want = all_series(lambda p, **q: ask(prometheus, p, **q), start, end)
    got = all_series(moraine.get, start, end)
    assert len(want) > 500, 'Prometheus has only %d series' % len(want)
    for labels, values in want.items():
        assert got.get(labels) == values, '%s: Prometheus %r, Moraine %r' % (
            labels, values[:3], (got.get(labels) or [])[:3])
    return len(want), sum(len(v) for v in want.values())


def compare_ranges(prometheus, moraine, start, end):
    for expression in ('node_cpu_seconds_total', 'rate(node_cpu_seconds_total[5s])',
                       'sum by (mode) (rate(node_cpu_seconds_total[5s]))',
                       'histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[10s])))',
                       'up', 'node_filesystem_avail_bytes / node_filesystem_size_bytes'):
        parameters = dict(query=expression, start='%.3f' % start, end='%.3f' % end, step='1')
        want = by_labels(ask(prometheus, '/api/v1/query_range', **parameters)['result'])
        got = by_labels(moraine.get('/api/v1/query_range', **parameters)['result'])
        assert set(want) == set(got), '%s: other series' % expression
        for labels in want:
            assert len(want[labels]) == len(got[labels]), '%s %s' % (expression, labels)
            for (t1, v1), (t2, v2) in zip(want[labels], got[labels]):
                a, b = float(v1), float(v2)
                assert t1 == t2 and (a == b or (a != a and b != b) or
                                     abs(a - b) <= 1e-9 * max(abs(a), abs(b))), \
                    '%s %s at %s: %s, %s' % (expression, labels, t1, v1, v2)


def collect(server):
    prometheus, url = start_prometheus(server.url)
    start = time.time()
    time.sleep(SCRAPES)
    end = time.time()
    # What Prometheus has by `end`, it has also sent once its queue is past it.
    m.wait_until('everything is sent', lambda: float(
        (ask(url, '/api/v1/query', query='min(prometheus_remote_storage_queue_highest_sent_timestamp_seconds)')
         ['result'] or [{'value': [0, '0']}])[0]['value'][1]) > end + 1)
    return prometheus, url, int(start) + 1, int(end)


def store_arguments():
    bucket = os.environ['MORAINE_TEST_S3_BUCKET']
    prefix = 's3://%s/prometheus-%d-%d' % (bucket, os.getpid(), time.time())
    return ['--store', prefix, '--s3.endpoint', os.environ['MORAINE_TEST_S3_ENDPOINT']]


def test_flushed_data_survives_the_loss_of_the_local_directory():
    arguments = store_arguments()
    server = m.Moraine(None, *arguments)
    prometheus, url, start, end = collect(server)
    print('before the flush: %d series, %d samples' % compare(url, server, start, end))
    compare_ranges(url, server, start + 6, end)
    server.flush()
    server.kill()
    shutil.rmtree(server.data)
    server = m.Moraine(None, *arguments)
    print('from the store: %d series, %d samples' % compare(url, server, start, end))
    compare_ranges(url, server, start + 6, end)
    server.compact()
    print('compacted: %d series, %d samples' % compare(url, server, start, end))
    server.stop()


def test_unflushed_data_survives_kill_9():
    arguments = store_arguments()
    server = m.Moraine(None, *arguments)
    prometheus, url, start, end = collect(server)
    server.kill()
    server = m.Moraine(server.data, *arguments)
    print('after the replay: %d series, %d samples' % compare(url, server, start, end))
    server.stop()


if __name__ == '__main__':
    m.main(globals())
