#!/usr/bin/env python3
"""A real promtool against Moraine prints what it prints against Prometheus, which has the same data."""
import functools
import re
import subprocess

import moraine as m
import promql_compare as compare
import promql_data as data

START, END = data.BASE_MS // 1000, data.END_MS // 1000
MIDDLE = (START + END) // 2
EXPRESSIONS = (
    'node_load1', 'up', 'none_such', '1 + 1', '"text"', 'vector(NaN)', 'rate(node_cpu_seconds_total[5m])',
    'sum by (mode, instance) (rate(node_cpu_seconds_total[5m]))', 'rpc_duration_seconds', 'custom_histogram',
    'histogram_quantile(0.9, sum by (le) (rate(http_duration_seconds_bucket[10m])))',
    'histogram_quantile(0.9, rate(rpc_duration_seconds[10m]))', 'gauge_histogram', '{"k8s.pod.cpu"}',
    'sum(rate(rpc_duration_seconds[5m]))', 'info(rate(http_duration_seconds_count[5m]))', 'special', 'mixed',
    'rate(node_load1[5m])', 'sum(', 'node_load1 +', 'foo{bar="x}', 'rate(node_load1)', 'up == on(job) up')
INSTANT_ONLY = ('node_load1[2m]', 'rpc_duration_seconds[1m]', 'node_load1[5m:1m]')
MATCHES = (('node_load1',), ('{instance="node-1:9100"}',), ('up', 'build_info'), ('{__name__=~"http_.*", code!="500"}',),
           ('none_such',), ('{"k8s.pod"="ü"}',), ('{',))

_servers = None


@functools.cache
def series():
    return data.make(1)


def servers():
    """Of the test that runs, with the same data."""
    global _servers
    if _servers is None or _servers[1].process.poll() is not None:
        _servers = compare.Prometheus(), m.Moraine(None, '--limits', 'off')
        compare.send(series(), *_servers)
    return _servers


def promtool(prometheus, url, command, flags, arguments):
    done = subprocess.run([prometheus.promtool, *command.split(), *flags, *([url] if url else []), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    # What interpolates may differ in its last digit: Go has a mathematical library of its own.
    out = re.sub(r'(?<![\w.])-?\d+\.\d{12,}(e-\d+)?', lambda v: '%.12g' % float(v.group()), done.stdout)
    # Moraine says which parameter, also where Prometheus doesn't.
    return done.returncode, out, done.stderr.replace(url or '\0', 'URL').replace('invalid parameter "match[]": ', '')


def same(command, *flags, arguments=(), in_order=True):
    """Runs it against both; what it prints and ends with is the same."""
    prometheus, moraine = servers()
    want = promtool(prometheus, prometheus.url, command, flags, arguments)
    got = promtool(prometheus, moraine.url, command, flags, arguments)
    if not in_order:
        want, got = ((code, '\n'.join(sorted(out.splitlines())), err) for code, out, err in (want, got))
    assert want == got, '%s %s %s: want %s\ngot %s' % (command, flags, arguments, want, got)
    return want


def formats():
    return ('promql', 'json')


def test_query_instant():
    printed = 0
    for form in formats():
        for expression in EXPRESSIONS + INSTANT_ONLY:
            # The order of an answer that isn't sorted is not said; JSON is one line.
            if form == 'json' and expression not in ('1 + 1', '"text"', 'none_such'):
                expression = 'sort_by_label(%s, "le")' % expression if '[2m]' not in expression else expression
            code, out, _ = same('query instant', '--format', form, '--time', str(MIDDLE), arguments=[expression],
                                in_order=form == 'json')
            printed += len(out.splitlines())
    assert printed > 150, printed


def test_query_range():
    for form in formats():
        for expression in EXPRESSIONS:
            same('query range', '--format', form, '--start', str(MIDDLE), '--end', str(MIDDLE + 600), '--step', '45s',
                 arguments=[expression])


def test_query_series():
    for form in formats():
        for matches in MATCHES:
            same('query series', '--format', form, '--start', str(START), '--end', str(END),
                 *['--match=' + match for match in matches])
    same('query series', '--match', 'node_load1', '--start', str(START - 90000), '--end', str(START - 86400))


def test_query_labels():
    for form in formats():
        for label in ('__name__', 'instance', 'le', 'none_such', 'k8s.pod'):
            same('query labels', '--format', form, '--start', str(START), '--end', str(END), arguments=[label])
            for matches in MATCHES:
                same('query labels', '--format', form, '--start', str(START), '--end', str(END),
                     *['--match=' + match for match in matches], arguments=[label])


def test_query_analyze():
    for match in ('http_duration_seconds_bucket', 'rpc_duration_seconds', 'moving_seconds'):
        prometheus, moraine = servers()
        flags = ['--type', 'histogram', '--duration', '1h', '--time', str(MIDDLE), '--match', match]
        want, got = (promtool(prometheus, None, 'query analyze', ['--server', url] + flags, [])
                     for url in (prometheus.url, moraine.url))
        want, got = ((code, sorted(out.splitlines()), err) for code, out, err in (want, got))
        assert want == got, 'analyze %s: want %s\ngot %s' % (match, want, got)


def test_check_healthy_and_ready():
    prometheus, moraine = servers()
    for command in ('check healthy', 'check ready'):
        code, out, err = promtool(prometheus, None, command, ['--url', moraine.url], [])
        assert code == 0, (command, out, err)


def test_check_metrics_of_moraine():
    """Its own metrics are named and described as they should be."""
    prometheus, moraine = servers()
    text = moraine.request('GET', '/metrics')[1]
    done = subprocess.run([prometheus.promtool, 'check', 'metrics'], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout.decode()


def test_push_metrics():
    prometheus, moraine = servers()
    text = '# HELP pushed_total Pushed.\n# TYPE pushed_total counter\npushed_total{a="b"} 7\n'
    done = subprocess.run([prometheus.promtool, 'push', 'metrics', moraine.url, '--label', 'x=y'],
                          input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout
    code, out, err = promtool(prometheus, moraine.url, 'query instant', [], ['pushed_total'])
    assert code == 0 and out.startswith('pushed_total{a="b", x="y"} => 7 @['), (out, err)


if __name__ == '__main__':
    m.main(globals())
