#!/usr/bin/env python3
"""OTLP metrics: what the SDK of an application sends, and random requests that a real Prometheus 3 takes
in as well, whose series, samples, histograms and exemplars must be the same ones."""
import json
import os
import random
import subprocess
import time
import urllib.parse
import urllib.request

import moraine as m
import otlp

NS = 10**9
NAMES = ('http.server.duration', 'requests', 'requests_total', 'process.cpu.utilization', 'a..b--c', '9lives',
         'queue.size', 'temp/°C', 'disk:io', '_hidden', 'total', 'seconds_total_ratio', 'MixedCase.Name')
UNITS = ('', '1', 's', 'ms', 'By', 'By/s', '{request}/s', '{request}', '%', 'requests', 'm/s', 'KiBy', 'foo.bar/baz_', 'm/', '/s')
KEYS = ('http.method', 'http_method', 'http-method', 'le', 'job', '1st', '_under', '__double', '__meta__', 'a.b.c', 'ü', 'k8s.pod.name', 'x')
VALUES = ('GET', '', 'a b', 'ünï', 7, -3, 0.5, 1e21, 1e-7, True, False, b'\x00\xff', ['a', 1, None, {'k': 'v'}], {'b': 1, 'a': ['<&>']})
STRATEGIES = ('UnderscoreEscapingWithSuffixes', 'UnderscoreEscapingWithoutSuffixes', 'NoUTF8EscapingWithSuffixes', 'NoTranslation')


class Generator:
    def __init__(self, rng, end_ns):
        self.rng, self.end_ns, self.serial = rng, end_ns, 0

    def some(self, what, most):
        return self.rng.sample(what, self.rng.randrange(0, most + 1))

    def attributes(self, most, serial=None):
        pairs = [(k, self.rng.choice(VALUES)) for k in self.some(KEYS, most)]
        return otlp.attributes(pairs + ([] if serial is None else [('serial', serial)]))

    def exemplar(self, time_ns):
        out = {'timeUnixNano': time_ns, 'asDouble': self.rng.uniform(0, 20)}
        if self.rng.random() < 0.8:
            out.update(traceId=self.rng.randbytes(16), spanId=self.rng.randbytes(8))
        if self.rng.random() < 0.5:
            out['filteredAttributes'] = otlp.attributes([('user', 'u%d' % self.rng.randrange(5))])
        return out

    def points(self, make):
        out = []
        for serial in range(self.rng.randrange(1, 4)):
            attributes = self.attributes(4, serial)
            times = sorted(self.rng.sample(range(1, 200), self.rng.randrange(1, 4)))
            for t in times:
                time_ns = self.end_ns - 1800 * NS + t * 5 * NS + self.rng.randrange(NS)
                point = {'attributes': attributes, 'timeUnixNano': time_ns, 'startTimeUnixNano': self.end_ns - 3600 * NS, **make(time_ns)}
                if self.rng.random() < 0.05:
                    point['flags'] = 1
                out.append(point)
        return out

    def number(self, time_ns):
        value = {'asInt': self.rng.randrange(-9, 10**12)} if self.rng.random() < 0.5 else {'asDouble': self.rng.uniform(-5, 5)}
        if self.rng.random() < 0.2:
            value['exemplars'] = [self.exemplar(time_ns)]
        return value

    def explicit(self, time_ns):
        bounds = sorted(self.rng.sample([0.005, 0.1, 0.25, 1.0, 2.5, 1e3, 1e-9, 123456789.125, 1e22, 7.0], self.rng.randrange(1, 7)))
        counts = [self.rng.choice([0, 0, 1, 5, 1000]) for _ in range(len(bounds) + 1)]
        out = {'explicitBounds': bounds, 'bucketCounts': counts, 'count': sum(counts)}
        if self.rng.random() < 0.8:
            out['sum'] = self.rng.uniform(1, 100) if out['count'] else 0.0
        if self.rng.random() < 0.4:
            out['exemplars'] = sorted((self.exemplar(time_ns - i) for i in range(3)), key=lambda e: e['asDouble'])
        return out

    def exponential(self, time_ns):
        positive, negative = ([self.rng.choice([0, 0, 0, 1, 2, 9]) for _ in range(self.rng.randrange(0, 30))] for _ in range(2))
        zero = self.rng.randrange(3)
        out = {'scale': self.rng.choice([-4, -1, 0, 2, 5, 8, 10, 20]), 'zeroCount': zero, 'count': zero + sum(positive) + sum(negative)}
        out['sum'] = self.rng.uniform(-50, 50) if out['count'] else 0.0
        for name, counts in (('positive', positive), ('negative', negative)):
            if counts:
                out[name] = {'offset': self.rng.randrange(-40, 40), 'bucketCounts': counts}
        return out

    def summary(self, time_ns):
        return {'count': 10, 'sum': 4.5, 'quantileValues': [{'quantile': q, 'value': self.rng.uniform(0, 9)} for q in (0.0, 0.5, 0.99, 1.0)]}

    def metric(self):
        self.serial += 1
        kind = self.rng.choice(['gauge', 'sum', 'sum', 'histogram', 'exponentialHistogram', 'summary'])
        make = {'gauge': self.number, 'sum': self.number, 'histogram': self.explicit,
                'exponentialHistogram': self.exponential, 'summary': self.summary}[kind]
        body = {'dataPoints': self.points(make)}
        if kind not in ('gauge', 'summary'):
            body['aggregationTemporality'] = 2
        if kind == 'sum':
            body['isMonotonic'] = self.rng.random() < 0.6
        return {'name': 'm%d.%s' % (self.serial, self.rng.choice(NAMES)) if self.rng.random() < 0.8 else
                '%s%s.%d' % (self.rng.choice(['', '_', '5']), self.rng.choice(NAMES), self.serial),
                'unit': self.rng.choice(UNITS), 'description': 'What %d is.' % self.serial, kind: body}

    def resource(self, number):
        pairs = [(k, self.rng.choice(('shop', '', 'cart'))) for k in self.some(['service.name', 'service.namespace'], 2)]
        pairs += [('service.instance.id', 'i%d' % number), ('host.name', 'h')] if self.rng.random() < 0.8 else []
        return {'attributes': otlp.attributes(pairs) + self.attributes(3)}

    def request(self):
        return {'resourceMetrics': [{
            'resource': self.resource(r), 'scopeMetrics': [{
                'scope': {'name': self.rng.choice(['', 'lib']), 'version': '1.0', 'attributes': otlp.attributes([('k.v', 'w'), ('9', 'x')])},
                'schemaUrl': 'https://example.org/schema', 'metrics': [self.metric() for _ in range(self.rng.randrange(1, 6))]}
                for _ in range(self.rng.randrange(1, 3))]} for r in range(self.rng.randrange(1, 4))]}


class Prometheus:
    def __init__(self, settings):
        folder, self.port = m.work_dir('prometheus'), m.free_port()
        with open(folder + '/prometheus.yml', 'w') as f:
            json.dump({'otlp': settings, 'storage': {'tsdb': {'out_of_order_time_window': '2h'}, 'exemplars': {'max_exemplars': 100000}}}, f)
        script = os.path.join(m.SOURCE, 'tests/integration/prometheus3')
        binary = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.split('\n')[0]
        self.process = m.run([binary, '--config.file', folder + '/prometheus.yml', '--storage.tsdb.path', folder + '/data',
                              '--web.listen-address', '127.0.0.1:%d' % self.port, '--web.enable-otlp-receiver',
                              '--enable-feature=exemplar-storage,native-histograms', '--log.level=error'],
                             stderr=subprocess.DEVNULL)
        m.wait_until('Prometheus is ready', self.ready)

    def ready(self):
        try:
            return self.get('/-/ready')[0] == 200
        except OSError:
            return False

    def get(self, path, **parameters):
        url = 'http://127.0.0.1:%d%s?%s' % (self.port, path, urllib.parse.urlencode(parameters))
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()

    def post(self, body):
        request = urllib.request.Request('http://127.0.0.1:%d/api/v1/otlp/v1/metrics' % self.port, body,
                                         {'Content-Type': 'application/x-protobuf'})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200, answer.read()

    def series(self, end_ns):
        return by_labels(json.loads(self.get('/api/v1/query', query='{__name__=~".+"}[2h]', time=end_ns / NS)[1])['data']['result'])

    def exemplars(self, end_ns):
        return json.loads(self.get('/api/v1/query_exemplars', query='{__name__=~".+"}', start=end_ns / NS - 7200, end=end_ns / NS)[1])['data']


def by_labels(result):
    return {json.dumps(r['metric'], sort_keys=True): {'values': r.get('values'), 'histograms': r.get('histograms')} for r in result}


def exemplars_by_labels(data):
    return {json.dumps(s['seriesLabels'], sort_keys=True): sorted((e['timestamp'], e['value'], sorted(e['labels'].items())) for e in s['exemplars'])
            for s in data if s['exemplars']}


def differences(got, want, what):
    for key in sorted(set(got) | set(want)):
        if got.get(key) != want.get(key):
            yield '%s %s\n  Prometheus: %s\n  Moraine:    %s' % (what, key, want.get(key), got.get(key))


def compare(seed, prometheus_settings, arguments, requests):
    end_ns = int(time.time()) // 60 * 60 * NS
    generator = Generator(random.Random(seed), end_ns)
    peer, server = Prometheus(prometheus_settings), m.Moraine(None, '--limits', 'off', *arguments)
    as_json = m.Moraine(None, '--limits', 'off', *arguments)
    for _ in range(requests):
        request = generator.request()
        peer.post(otlp.to_wire(otlp.METRICS, request))
        for target, form in ((server, False), (as_json, True)):
            status, body, _ = otlp.post(target, '/otlp/v1/metrics', otlp.METRICS, request, form)
            assert status == 200 and body in (b'', b'{}'), (status, body)
    want, wanted_exemplars = peer.series(end_ns), exemplars_by_labels(peer.exemplars(end_ns))
    assert len(want) > 100 and len(wanted_exemplars) > 10, (len(want), len(wanted_exemplars))
    for target in (server, as_json):
        got = by_labels(target.query('{__name__=~".+"}[2h]', end_ns / NS))
        found = list(differences(got, want, 'series'))
        exemplars = exemplars_by_labels(target.get('/api/v1/query_exemplars', query='{__name__=~".+"}', start=end_ns / NS - 7200, end=end_ns / NS))
        # Prometheus leaves out those of samples that came out of order.
        have = {k: [e for e in exemplars.get(k, []) if e in v] for k, v in wanted_exemplars.items()}
        found += list(differences(have, wanted_exemplars, 'exemplars'))
        assert not found, '%d of %d differ, seed %d\n%s' % (len(found), len(want), seed, '\n'.join(found[:5]))
    print('%d series, %d with exemplars are the same' % (len(want), len(wanted_exemplars)))
    peer.process.kill()
    server.stop()
    as_json.stop()


def test_random_requests_become_what_prometheus_makes_of_them():
    for number, strategy in enumerate(STRATEGIES):
        promote = number % 2 == 0
        settings = {'translation_strategy': strategy, 'promote_scope_metadata': number >= 2,
                    'keep_identifying_resource_attributes': number == 1, 'convert_histograms_to_nhcb': number == 3,
                    **({'promote_resource_attributes': ['host.name', 'k8s.pod.name', 'a.b.c']} if promote else {})}
        arguments = ['--otlp.translation_strategy', strategy, '--otlp.promote_scope_metadata', str(number >= 2).lower(),
                     '--otlp.keep_identifying_resource_attributes', str(number == 1).lower(),
                     '--otlp.convert_histograms_to_nhcb', str(number == 3).lower()]
        if promote:
            arguments += ['--otlp.promote_resource_attributes', 'host.name,k8s.pod.name, a.b.c']
        compare(int(os.environ.get('SEED', '20')) + number, settings, arguments, 12)


def application(server, endpoint=None, **environment):
    script = os.path.join(m.SOURCE, 'tests/integration/python_packages')
    python = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    environment = {**os.environ, 'OTEL_EXPORTER_OTLP_ENDPOINT': endpoint or server.url, **environment}
    subprocess.run([python, os.path.join(m.SOURCE, 'tests/integration/otel/app.py'), '20'], check=True, env=environment)


def test_an_application_with_the_sdk_is_stored_and_linked():
    port, grpc_port = m.free_port(), m.free_port()
    server = m.Moraine(None, '--otlp-http', '127.0.0.1:%d' % port, '--otlp-grpc', '127.0.0.1:%d' % grpc_port)
    endpoints = {'own': 'http://127.0.0.1:%d' % port, 'shared': server.url, 'otlp': server.url + '/otlp',
                 'own-grpc': 'http://127.0.0.1:%d' % grpc_port, 'shared-grpc': server.url}
    for tenant, endpoint in endpoints.items():
        application(server, endpoint, OTEL_EXPORTER_OTLP_HEADERS='x-scope-orgid=' + tenant,
                    OTEL_EXPORTER_OTLP_PROTOCOL='grpc' if tenant.endswith('grpc') else 'http/protobuf',
                    **({'OTEL_EXPORTER_OTLP_COMPRESSION': 'gzip'} if tenant in ('otlp', 'shared-grpc') else {}))
    now = time.time()
    for tenant in endpoints:
        value = lambda query: [float(s['value'][1]) for s in server.query(query, now, tenant)]
        assert value('http_server_requests_total{http_method="GET",http_status_code="200",job="retail/shop",instance="shop-1"}') == [20]
        assert value('http_server_duration_seconds_bucket{le="0.5"}') == [10]
        assert value('http_server_duration_seconds_sum') == [2.7500000000000004]
        assert value('queue_length') == [20] and value('cpu_load_ratio{core="a"}') == [0.25]
        assert value('histogram_count(sizes_bytes)') == [10] and value('histogram_sum(sizes_bytes)') == [5500]
        assert value('http_server_requests_total * on (job, instance) group_left (k8s_pod_name) target_info{k8s_pod_name="pod-7"}') == [20]
        metadata = server.get('/api/v1/metadata', tenant)
        assert metadata['http_server_requests_total'] == [{'type': 'counter', 'help': 'Requests served.', 'unit': ''}], metadata
        assert metadata['http_server_duration_seconds'][0]['unit'] == 'seconds'
        status, body, _ = server.get_raw('/loki/api/v1/query_range', tenant, start=str(int(now - 600) * NS), limit='100', direction='forward',
                                         query='{service_name="shop", service_namespace="retail", k8s_pod_name="pod-7"} | severity_text="WARN"')
        streams = json.loads(body)['data']['result']
        lines = sorted(line for s in streams for _, line in s['values'])
        assert status == 200 and lines == sorted('order %d is late: "%s"' % (i, 'ü' * (i % 3)) for i in range(20)), lines
        assert {s['stream']['order_id'] for s in streams} == {str(i) for i in range(20)}
        assert all(s['stream']['detected_level'] == 'warn' and s['stream']['nested_a'] == '[1,2.5,null]' and
                   s['stream']['scope_name'] == 'shop' for s in streams), streams[0]
    server.stop()


def test_delta_is_refused_with_a_word_on_what_to_do_or_kept():
    now = time.time_ns()
    point = {'timeUnixNano': now, 'asInt': 5}
    request = lambda temporality: {'resourceMetrics': [{'scopeMetrics': [{'metrics': [
        {'name': 'd', 'sum': {'dataPoints': [point, point], 'aggregationTemporality': temporality, 'isMonotonic': True}},
        {'name': 'g', 'gauge': {'dataPoints': [point]}}]}]}]}
    server = m.Moraine(None)
    for as_json in (False, True):
        status, body, headers = otlp.post(server, '/v1/metrics', otlp.METRICS, request(1), as_json)
        assert status == 200 and b'otlp.delta' in body and b'cumulative' in body, (status, body)
        if as_json:
            assert json.loads(body)['partialSuccess']['rejectedDataPoints'] == '2', body
        assert headers['Content-Type'] == ('application/json' if as_json else 'application/x-protobuf')
    assert b'"rejectedDataPoints":"2"' in otlp.post(server, '/v1/metrics', otlp.METRICS, request(0), True)[1]
    assert [s['value'][1] for s in server.query('g', now / NS)] == ['5'] and server.query('d_total', now / NS) == []
    server.stop()
    server = m.Moraine(None, '--otlp.delta', 'keep')
    assert otlp.post(server, '/v1/metrics', otlp.METRICS, request(1))[:2] == (200, b'')
    assert [s['value'][1] for s in server.query('d_total', now / NS)] == ['5']
    server.stop()


def test_bad_requests_get_otlps_answers():
    server = m.Moraine(None)
    now = time.time_ns()
    good = {'resourceMetrics': [{'resource': {'attributes': otlp.attributes([('service.name', 's'), ('a', {'b': [1]})])}, 'scopeMetrics': [{
        'scope': {'name': 'x'}, 'metrics': [{'name': 'g', 'gauge': {'dataPoints': [{'timeUnixNano': now, 'asDouble': 1.5}]}}]}]}]}
    wire, text = otlp.to_wire(otlp.METRICS, good), json.dumps(otlp.to_json(otlp.METRICS, good)).encode()
    proto, as_json = {'Content-Type': 'application/x-protobuf'}, {'Content-Type': 'application/json'}
    post = lambda body, headers, path='/v1/metrics': server.request('POST', path, body, headers)
    for cut in range(1, len(wire)):
        status, body, headers = post(wire[:cut], proto)
        assert status in (200, 400) and headers['Content-Type'] == 'application/x-protobuf', (cut, status, body)
    for cut in range(len(text)):
        status, body, headers = post(text[:cut], as_json)
        answer = json.loads(body)
        assert status == 400 and answer['code'] == 3 and answer['message'] and headers['Content-Type'] == 'application/json', (cut, status, body)
    for path in ('/v1/metrics', '/v1/logs'):
        for body in (b'', b'{}', b'{"resourceMetrics":[],"resourceLogs":[],"unknown":{"a":[1,{}]}}'):
            assert post(body, as_json if body else proto, path)[:2] == (200, b'{}' if body else b''), (path, body)
        for body in (b'[]', b'null', b'{"resourceMetrics":5,"resourceLogs":5}', b'{"resourceMetrics":[5],"resourceLogs":[5]}', b'{' * 100000,
                     b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"timeUnixNano":"x"}]}}]}]}],'
                     b'"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}'):
            assert post(body, as_json, path)[0] == 400, (path, body[:80])
        assert post(wire, {'Content-Type': 'text/plain'}, path)[0] == 415
        assert post(wire, {**proto, 'Content-Encoding': 'br'}, path)[0] == 415
        assert post(b'\x1f\x8bjunk', {**proto, 'Content-Encoding': 'gzip'}, path)[0] == 400
        assert server.request('OPTIONS', path, headers={'Origin': 'http://page', 'Access-Control-Request-Method': 'POST'})[2]['Access-Control-Allow-Origin']
    # Values nested without end, attributes without number, series without end.
    deep = 'x'
    for _ in range(200):
        deep = [deep]
    for attributes in ([('deep', deep)], [('a%d' % i, i) for i in range(3000)], [('___', 'x')], [('', 'x')]):
        point = {'timeUnixNano': now, 'asInt': 1}
        request = {'resourceMetrics': [{'scopeMetrics': [{'metrics': [{'name': 'g', 'gauge': {'dataPoints': [
            {**point, 'attributes': otlp.attributes(attributes)}, point]}}]}]}]}
        status, body, _ = otlp.post(server, '/v1/metrics', otlp.METRICS, request)
        assert status == 200 and body, (attributes[:3], status)
        record = {'timeUnixNano': now, 'body': 'x'}
        request = {'resourceLogs': [{'scopeLogs': [{'logRecords': [{**record, 'attributes': otlp.attributes(attributes)}, record]}]}]}
        status, body, _ = otlp.post(server, '/v1/logs', otlp.LOGS, request)
        assert status == 200 and body, (attributes[:3], status)
    status, body, _ = otlp.post(server, '/v1/metrics', otlp.METRICS, {'resourceMetrics': [{'scopeMetrics': [{'metrics': [
        {'name': 'g', 'gauge': {'dataPoints': [{'timeUnixNano': (1 << 64) - 1, 'asInt': 1}, {'asInt': 1, 'timeUnixNano': now + 86400 * NS}]}},
        {'name': '', 'gauge': {'dataPoints': [{'timeUnixNano': now, 'asInt': 1}]}}, {'name': 'empty'}]}]}]}, True)
    assert status == 200 and json.loads(body)['partialSuccess']['rejectedDataPoints'] == '3', body
    assert server.request('GET', '/ready')[0] == 200 and server.rss_bytes() < 300 << 20
    server.stop()


if __name__ == '__main__':
    m.main(globals())
