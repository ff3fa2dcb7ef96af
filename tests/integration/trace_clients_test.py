#!/usr/bin/env python3
"""Traces from real senders: the OpenTelemetry SDKs for Python and JavaScript over OTLP in all its forms,
and by their exporters for Zipkin and Jaeger; Jaeger's gRPC by grpcio; telemetrygen. Every span that was
sent comes back, with all that it had."""
import base64
import http.client
import json
import os
import ssl
import subprocess
import time
import urllib.parse

import moraine as m

KINDS = ('SPAN_KIND_INTERNAL', 'SPAN_KIND_SERVER', 'SPAN_KIND_CLIENT')  # as the SDKs number them
INTEGRATION = os.path.join(m.SOURCE, 'tests/integration')
TRACES = 40


def tool(name):
    return subprocess.run([os.path.join(INTEGRATION, name)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def said(argv, **environment):
    """What an application says that it sent: {trace: {span: it}}."""
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=300, env={**os.environ, **environment})
    traces = {}
    for line in done.stdout.splitlines():
        span = json.loads(line)
        traces.setdefault(span['trace'], {})[span['id']] = span
    return traces


def hexadecimal(text):
    return base64.b64decode(text or '').hex()


def plain(attributes):
    """{key: value} of OTLP's JSON."""
    out = {}
    for a in attributes or []:
        (kind, value), = a['value'].items()
        out[a['key']] = int(value) if kind == 'intValue' else value
    return out


def stored(server, trace, tenant):
    """{span id: (span, resource's attributes, scope)} of a trace."""
    status, body, _ = server.request('GET', '/api/traces/' + trace, None, {'X-Scope-OrgID': tenant})
    assert status == 200, (status, body)
    return {hexadecimal(span['spanId']): (span, plain(batch['resource'].get('attributes')), scope['scope'])
            for batch in json.loads(body)['batches'] for scope in batch['scopeSpans'] for span in scope['spans']}


def same_value(got, want, texts):
    if texts:  # Zipkin's tags
        want = {True: 'true', False: 'false'}[want] if isinstance(want, bool) else str(want)
        got = got if not isinstance(got, str) else {'True': 'true', 'False': 'false'}.get(got, got)
    return got == want


def check(server, traces, tenant, foreign=None):
    assert len(traces) == TRACES, len(traces)
    for trace, spans in traces.items():
        found = stored(server, trace, tenant)
        assert sorted(found) == sorted(spans), (trace, sorted(found), sorted(spans))
        for name, span in spans.items():
            got, resource, scope = found[name]
            assert hexadecimal(got['traceId']) == trace and hexadecimal(got.get('parentSpanId')) == span['parent'], (got, span)
            assert got['name'].lower() == span['name'].lower() and got['kind'] == KINDS[span['kind']], (got, span)
            attributes = plain(got.get('attributes'))
            for key, value in span['attributes'].items():
                assert same_value(attributes.get(key), value, foreign == 'zipkin'), (key, attributes, span)
            events = [e['name'] for e in got.get('events', [])]
            if foreign == 'zipkin':  # Python's exporter makes JSON of an annotation
                assert len(events) == len(span['events']) and all(n in e for n, e in zip(span['events'], events)), (got, span)
            else:
                assert events == span['events'], (got, span)
            assert (got.get('status', {}).get('code') == 'STATUS_CODE_ERROR') == span['failed'], (got, span)
            assert resource['service.name'] == 'shop', resource
            assert int(got['endTimeUnixNano']) >= int(got['startTimeUnixNano']) > 10**18
            if foreign is None:
                assert set(attributes) == set(span['attributes']), (attributes, span)
                assert scope == {'name': 'shop.checkout', 'version': '1.2.3'}, scope
                assert resource['host.name'] == 'h-1'
                if span['failed']:
                    assert got['status']['message'] == 'no answer'
            if foreign != 'zipkin':  # whose exporters leave links out
                assert [hexadecimal(k['traceId']) + hexadecimal(k['spanId']) for k in got.get('links', [])] == span['links'], (got, span)


def server_of_all():
    ports = {flag: m.free_port() for flag in ('otlp-http', 'otlp-grpc', 'zipkin', 'jaeger-http', 'jaeger-grpc')}
    arguments = [part for flag, port in ports.items() for part in ('--' + flag, '127.0.0.1:%d' % port)]
    return m.Moraine(None, *arguments), {flag: 'http://127.0.0.1:%d' % port for flag, port in ports.items()}


def test_the_sdk_for_python():
    server, urls = server_of_all()
    python = tool('python_packages')
    forms = {'http': ('http/protobuf', urls['otlp-http'], ''), 'gzip': ('http/protobuf', server.url + '/otlp', 'gzip'),
             'grpc': ('grpc', urls['otlp-grpc'], ''), 'grpc-gzip': ('grpc', server.url, 'gzip')}
    for tenant, (protocol, endpoint, compression) in forms.items():
        traces = said([python, os.path.join(INTEGRATION, 'otel/spans.py'), str(TRACES)],
                      OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                      OTEL_EXPORTER_OTLP_HEADERS='x-scope-orgid=' + tenant,
                      **({'OTEL_EXPORTER_OTLP_COMPRESSION': compression} if compression else {}))
        check(server, traces, tenant)
    for endpoint in (urls['zipkin'], server.url + '/zipkin'):
        traces = said([python, os.path.join(INTEGRATION, 'otel/spans.py'), str(TRACES)],
                      OTEL_EXPORTER_OTLP_PROTOCOL='zipkin', OTEL_EXPORTER_ZIPKIN_ENDPOINT=endpoint + '/api/v2/spans')
        check(server, traces, 'anonymous', 'zipkin')
    server.stop()


class Secret(m.Moraine):
    """One whose ports all speak TLS."""

    def __init__(self, *arguments):
        folder = m.work_dir('certificate')
        self.certificate = folder + '/cert.pem'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', folder + '/key.pem', '-out',
                        self.certificate, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().__init__(None, '--tls.cert_file', self.certificate, '--tls.key_file', folder + '/key.pem', *arguments)

    def request(self, method, path, body=None, headers=None, timeout=120):
        context = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection('localhost', self.port, timeout=timeout, context=context)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


def test_the_sdk_for_python_over_tls():
    port = m.free_port()
    server = Secret('--otlp-grpc', '127.0.0.1:%d' % port)
    for tenant, where in {'own': port, 'shared': server.port}.items():
        for compression in ({}, {'OTEL_EXPORTER_OTLP_COMPRESSION': 'gzip'}):
            traces = said([tool('python_packages'), os.path.join(INTEGRATION, 'otel/spans.py'), str(TRACES)],
                          OTEL_EXPORTER_OTLP_PROTOCOL='grpc', OTEL_EXPORTER_OTLP_ENDPOINT='https://localhost:%d' % where,
                          OTEL_EXPORTER_OTLP_CERTIFICATE=server.certificate,
                          OTEL_EXPORTER_OTLP_HEADERS='x-scope-orgid=' + tenant, **compression)
            check(server, traces, tenant)
    server.stop()


def test_the_sdk_for_javascript():
    server, urls = server_of_all()
    folder = tool('node_packages')
    endpoints = {'otlp-grpc': (urls['otlp-grpc'], server.url), 'otlp-http': (urls['otlp-http'], server.url),
                 'otlp-proto': (urls['otlp-http'], server.url + '/otlp'), 'zipkin': (urls['zipkin'], server.url),
                 'jaeger': (urls['jaeger-http'], server.url)}
    for how, both in endpoints.items():
        for endpoint in both:
            traces = said(['node', os.path.join(folder, 'app.js'), how, endpoint, how, str(TRACES)])
            check(server, traces, 'anonymous' if how == 'jaeger' else how, how if how in ('zipkin', 'jaeger') else None)
    server.stop()


def field(number, value):
    """A field of protobuf: a number, or bytes."""
    if isinstance(value, int):
        return m.varint(number << 3) + m.varint(value)
    return m.varint(number << 3 | 2) + m.varint(len(value)) + value


def jaeger_request(trace, now_s):
    tag = field(1, b'span.kind') + field(3, b'client')
    moment = field(1, now_s) + field(2, 5)
    spans = b''.join(field(1, field(1, trace) + field(2, bytes([0] * 7 + [n + 1])) + field(3, b'call %d' % n) +
                           field(6, moment) + field(7, field(2, 1000)) + field(8, tag)) for n in range(100))
    return field(1, spans + field(2, field(1, b'jaeger-shop')))


def test_jaegers_grpc():
    server, urls = server_of_all()
    now_s, python = int(time.time()), tool('python_packages')
    for number, url in enumerate((urls['jaeger-grpc'], urls['otlp-grpc'], server.url)):
        trace, calls = bytes([9] * 15 + [number]), []
        for coding in (None, 'gzip'):  # the same ones twice: each span is there once
            calls.append(['/jaeger.api_v2.CollectorService/PostSpans', jaeger_request(trace, now_s).hex(), coding])
        calls.append(['/jaeger.api_v2.CollectorService/PostSpans', '0aff', None])
        done = subprocess.run([python, os.path.join(INTEGRATION, 'otel/grpc_calls.py'), urllib.parse.urlsplit(url).netloc, 'j'],
                              input=''.join(json.dumps(c) + '\n' for c in calls), check=True, stdout=subprocess.PIPE,
                              text=True, timeout=300)
        got = [json.loads(line) for line in done.stdout.splitlines()]
        assert [g[0] for g in got] == [0, 0, 3], got
        found = stored(server, trace.hex(), 'j')
        assert len(found) == 100
        for span, resource, _ in found.values():
            assert span['kind'] == 'SPAN_KIND_CLIENT' and resource == {'service.name': 'jaeger-shop'}
            assert span['startTimeUnixNano'] == str(now_s * 10**9 + 5)
            assert span['endTimeUnixNano'] == str(now_s * 10**9 + 1005)
    server.stop()


def test_telemetrygen():
    """It doesn't say what it sent but how much: so many traces, of so many spans each."""
    server, urls = server_of_all()
    generator, children = tool('telemetrygen'), 3
    for tenant, (flags, url) in {'grpc': ([], urls['otlp-grpc']), 'grpc-main': ([], server.url),
                                 'http': (['--otlp-http'], urls['otlp-http'])}.items():
        subprocess.run([generator, 'traces', *flags, '--otlp-insecure', '--otlp-endpoint', urllib.parse.urlsplit(url).netloc,
                        '--otlp-header', 'x-scope-orgid="%s"' % tenant, '--workers', '1', '--traces', str(TRACES),
                        '--child-spans', str(children), '--rate', '0', '--service', 'generated'],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
        query = urllib.parse.urlencode({'q': '{resource.service.name = "generated"}', 'limit': 1000})
        status, body, _ = server.request('GET', '/api/search?' + query, None, {'X-Scope-OrgID': tenant})
        assert status == 200, (status, body)
        traces = [t['traceID'].rjust(32, '0') for t in json.loads(body)['traces']]
        assert len(set(traces)) == len(traces) == TRACES, len(traces)
        for trace in traces:
            assert len(stored(server, trace, tenant)) == children + 1
    server.stop()


if __name__ == '__main__':
    m.main(globals())
