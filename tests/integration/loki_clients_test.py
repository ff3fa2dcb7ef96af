#!/usr/bin/env python3
"""Loki's own tools and shippers, as they are: logcli reads and tails, loki-canary writes and looks
whether it all comes back, Debian's syslog-ng and Python's logging handler for Loki ship."""
import json
import os
import re
import socket
import subprocess
import time
import urllib.request

from moraine import SOURCE, Moraine, free_port, main, run, wait_until, work_dir

LOGCLI, CANARY = subprocess.run(
    [os.path.join(SOURCE, 'tests/integration/loki_tools')], check=True,
    stdout=subprocess.PIPE, text=True).stdout.split()


def push(server, labels, lines, start_ns, tenant=None):
    headers = {'Content-Type': 'application/json'}
    if tenant:
        headers['X-Scope-OrgID'] = tenant
    status, body, _ = server.request('POST', '/loki/api/v1/push', json.dumps(
        {'streams': [{'stream': labels,
                      'values': [[str(start_ns + i * 10 ** 9), line]
                                 for i, line in enumerate(lines)]}]}), headers)
    assert status == 204, body


def rfc3339(time_s):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time_s))


class Logcli:
    def __init__(self, server, *arguments):
        self.environment = {**os.environ, 'LOKI_ADDR': server.url, 'TZ': 'UTC'}
        self.arguments = list(arguments)

    def start(self, *arguments):
        return run([LOGCLI, *arguments, *self.arguments], env=self.environment,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *arguments, fails=False):
        process = self.start(*arguments)
        out, said = process.communicate(timeout=120)
        assert (process.returncode != 0) == fails, (arguments, process.returncode, out, said)
        return said if fails else out


def test_logcli_runs_a_script_of_commands():
    server = Moraine()
    now = int(time.time())
    start, end = now - 600, now - 300
    push(server, {'app': 'web', 'pod': '1'},
         ['level=info msg="request %d" status=200 n=%d' % (i, i) for i in range(10)], start * 10 ** 9)
    push(server, {'app': 'web', 'pod': '2'},
         ['{"level":"error","status":503,"n":%d}' % i for i in range(5)], (start + 100) * 10 ** 9)
    server.flush()
    push(server, {'app': 'db'}, ['slow query'] * 3, (start + 50) * 10 ** 9)
    between = ('--from', rfc3339(start), '--to', rfc3339(end))
    logcli = Logcli(server)

    assert logcli('labels', *between).split() == ['app', 'pod', 'service_name']
    assert logcli('labels', 'app', *between).split() == ['db', 'web']
    assert sorted(logcli('series', '{app="web"}', *between).splitlines()) == [
        '{app="web", pod="1", service_name="web"}', '{app="web", pod="2", service_name="web"}']
    assert 'Total Streams:  3' in logcli('series', '{app=~".+"}', '--analyze-labels', *between)

    # Ranges, directions, limits, batches.
    raw = ('-o', 'raw', *between)
    lines = logcli('query', '{app="web", pod="1"}', *raw).splitlines()
    assert [int(re.search(r'n=(\d+)', line).group(1)) for line in lines] == list(range(9, -1, -1))
    lines = logcli('query', '{app="web", pod="1"}', '--forward', *raw).splitlines()
    assert [int(re.search(r'n=(\d+)', line).group(1)) for line in lines] == list(range(10))
    lines = logcli('query', '{app="web", pod="1"}', '--limit=7', '--batch=2', *raw).splitlines()
    assert [int(re.search(r'n=(\d+)', line).group(1)) for line in lines] == list(range(9, 2, -1))
    lines = logcli('query', '{app="web", pod="1"}', '-o', 'raw', '--forward', '--from',
                   rfc3339(start + 2), '--to', rfc3339(start + 5)).splitlines()
    assert [int(re.search(r'n=(\d+)', line).group(1)) for line in lines] == [2, 3, 4]

    # Pipelines, and the forms of output.
    got = [json.loads(line) for line in logcli(
        'query', '{app="web"} | json | status >= 500 | line_format "{{.n}}"', '-o', 'jsonl',
        '--forward', *between).splitlines()]
    assert [entry['line'] for entry in got] == ['0', '1', '2', '3', '4'], got
    assert logcli('query', '{app="web"} |= "request 3"', '--no-labels', *between).startswith(
        rfc3339(start + 3) + ' level=info')
    assert 'detected_level="error"' in logcli('query', '{pod="2"}', '--include-label=detected_level',
                                              *between)

    # Metrics.
    got = json.loads(logcli('instant-query', 'sum by (app) (count_over_time({app=~".+"}[1h]))',
                            '--now', rfc3339(now)))
    assert {s['metric']['app']: s['value'][1] for s in got} == {'web': '15', 'db': '3'}, got
    got = json.loads(logcli('query', 'sum(count_over_time({app="web"}[5m]))', '--step=60s', *between))
    assert len(got) == 1 and len(got[0]['values']) >= 4, got

    # What lies where.
    assert 'entries: 15' in logcli('stats', '{app="web"}', *between)
    got = json.loads(logcli('volume', '{app=~".+"}', *between))
    assert {s['metric']['app'] for s in got} == {'web', 'db'}, got
    assert json.loads(logcli('volume_range', '{app=~".+"}', '--step=60s', *between))
    fields = logcli('detected-fields', '{app="web"}', *between)
    assert re.search(r'label: status\s+type: int', fields), fields
    # One bucket is the whole range, wherever in it the lines lie.
    for seconds in range(301, 331, 7):
        got = json.loads(logcli('volume', '{app="web"}', '--from', rfc3339(end - seconds), '--to',
                                rfc3339(end)))
        assert [s['metric'] for s in got] == [{'app': 'web'}], (seconds, got)
    assert 'parse error' in logcli('query', '{app=', *between, fails=True)
    server.stop()


def test_logcli_asks_for_its_tenant_and_below_a_prefix():
    server = Moraine()
    start = int(time.time()) - 60
    push(server, {'app': 'a'}, ['of one'], start * 10 ** 9, tenant='one')
    logcli = Logcli(server, '--org-id=one', '--addr=' + server.url + '/logs', '-o', 'raw')
    assert logcli('query', '{app="a"}') == 'of one\n'
    assert Logcli(server, '--org-id=two', '-o', 'raw')('query', '{app="a"}') == ''
    server.stop()


def test_logcli_deletes():
    server = Moraine()
    start = int(time.time()) - 600
    push(server, {'app': 'a'}, ['keep', 'drop', 'keep', 'drop'], start * 10 ** 9)
    logcli = Logcli(server)
    between = ('--from', rfc3339(start - 10), '--to', rfc3339(start + 10))
    assert 'created successfully' in logcli('delete', 'create', '{app="a"} |= "drop"', *between)
    assert logcli('query', '{app="a"}', '-o', 'raw', *between) == 'keep\nkeep\n'
    listed = logcli('delete', 'list')
    assert 'Found 1 delete requests' in listed and 'Query: {app="a"} |= "drop"' in listed, listed
    request = json.loads(server.get_raw('/loki/api/v1/delete')[1])[0]['request_id']
    assert 'cancelled successfully' in logcli('delete', 'cancel', '--request-id=' + request)
    assert logcli('query', '{app="a"}', '-o', 'raw', *between).split().count('drop') == 2
    assert 'invalid query expression' in logcli('delete', 'create', '{app=', *between, fails=True)
    server.stop()


def test_logcli_tails():
    server = Moraine()
    push(server, {'app': 'a'}, ['before %d' % i for i in range(5)],
         (int(time.time()) - 60) * 10 ** 9)
    tail = Logcli(server).start('query', '{app="a"} |~ "before|after" | label_format x=app', '--tail',
                                '--limit=2', '-o', 'raw', '--quiet')
    assert [tail.stdout.readline() for _ in range(2)] == ['before 3\n', 'before 4\n']
    for i in range(20):
        push(server, {'app': 'a'}, ['after %d' % i], int(time.time() * 1e9))
        push(server, {'app': 'a'}, ['not wanted'], int(time.time() * 1e9))
    assert [tail.stdout.readline() for _ in range(20)] == ['after %d\n' % i for i in range(20)]
    tail.terminate()
    tail.communicate(timeout=60)
    wait_until('the tail has ended', lambda: server.metric('moraine_log_tails_active') == 0)
    refused = Logcli(server).start('query', 'rate({app="a"}[1m])', '--tail')
    assert 'only log selector' in refused.communicate(timeout=60)[1]
    server.stop()


def canary_metrics(port):
    with urllib.request.urlopen('http://127.0.0.1:%d/metrics' % port) as answer:
        return dict(re.findall(r'^(loki_canary_\w+?) (\S+)$', answer.read().decode(), re.M))


def test_the_canary_sees_all_it_writes():
    server = Moraine()
    port = free_port()
    said = os.path.join(work_dir(), 'canary.log')
    canary = run([CANARY, '-addr', '127.0.0.1:%d' % server.port, '-push', '-port', str(port),
                  '-interval', '500ms', '-size', '200', '-tenant-id', 'birds', '-wait', '10m',
                  '-labelname', 'name', '-labelvalue', 'loki-canary',
                  '-spot-check-interval', '1s', '-spot-check-query-rate', '2s',
                  '-spot-check-initial-wait', '5s', '-metric-test-interval', '3s'],
                 stdout=subprocess.DEVNULL, stderr=open(said, 'w'))
    wait_until('it serves', lambda: socket.socket().connect_ex(('127.0.0.1', port)) == 0)
    # Every latency observed is an entry that came back over the WebSocket.
    wait_until('entries come back', lambda: int(canary_metrics(port).get(
        'loki_canary_response_latency_seconds_count', 0)) >= 20, 200)
    wait_until('spot checks ran', lambda: int(
        canary_metrics(port)['loki_canary_spot_check_entries_total']) >= 3, 200)
    seen = canary_metrics(port)
    counters = ['websocket_missing_entries', 'missing_entries', 'spot_check_missing_entries']
    # When nothing comes for ten intervals, as on a machine that stands still, it connects again, and
    # gets the newest lines once more.
    if seen['loki_canary_ws_reconnects_total'] == '1':
        counters += ['unexpected_entries', 'duplicate_entries']
    for counter in counters:
        assert int(seen['loki_canary_%s_total' % counter]) == 0, (counter, seen)
    canary.terminate()
    canary.wait(60)
    server.stop()


SYSLOG = r'''
@version: 3.38
options { keep-hostname(yes); };
source s_net { network(ip("127.0.0.1") port(%(port)d) transport("tcp") flags(no-hostname)); };
template t_line { template("${MSG}"); template-escape(yes); };
destination d_loki {
    http(url("%(url)s/loki/api/v1/push") method("POST") workers(1) batch-lines(10) batch-timeout(200)
        headers("Content-Type: application/json")
        body-prefix("{\"streams\":[") delimiter(",") body-suffix("]}")
        body('{"stream":{"job":"syslog-ng","level":"$LEVEL","program":"$PROGRAM"},"values":[["${R_UNIXTIME}$(padding ${R_USEC} 6 0)000","$(template t_line)"]]}')
    );
};
log { source(s_net); destination(d_loki); };
'''


def test_syslog_ng_ships():
    server = Moraine()
    folder = work_dir()
    port = free_port()
    with open(os.path.join(folder, 'syslog-ng.conf'), 'w') as f:
        f.write(SYSLOG % {'port': port, 'url': server.url})
    shipper = run(['/usr/sbin/syslog-ng', '-F', '--no-caps', '-f', folder + '/syslog-ng.conf', '-R',
                   folder + '/persist', '-p', folder + '/pid', '-c', folder + '/control'],
                  stderr=subprocess.PIPE)
    wait_until('it listens', lambda: socket.socket().connect_ex(('127.0.0.1', port)) == 0)
    sent = ['line %d with "quotes"' % i for i in range(100)]
    with socket.create_connection(('127.0.0.1', port)) as connection:
        for i, line in enumerate(sent):
            connection.sendall(('<%d>Jan  2 03:04:05 app: %s\n' % (131 + i % 2 * 3, line)).encode())
    query = {'query': '{job="syslog-ng"}', 'limit': 1000, 'direction': 'forward'}
    def shipped():
        return [value[1] for stream in server.get('/loki/api/v1/query_range', **query)['result']
                for value in stream['values']]
    wait_until('all has come', lambda: len(shipped()) >= len(sent))
    assert sorted(shipped()) == sorted(sent), shipped()[:5]
    levels = server.get('/loki/api/v1/label/level/values')
    assert levels == ['err', 'info'], levels
    shipper.terminate()
    shipper.wait(60)
    shipper.stderr.close()
    server.stop()


HANDLER = r"""
import logging, sys
import logging_loki

handler = logging_loki.LokiHandler(url=sys.argv[1] + '/loki/api/v1/push', version='1',
                                   tags={'application': 'app'})
logger = logging.getLogger('of-the-test')
logger.addHandler(handler)
logger.setLevel(logging.INFO)
for i in range(20):
    logger.info('line %d', i, extra={'tags': {'part': str(i % 2)}})
logger.error('said "no"')
"""


def test_pythons_logging_handler_ships():
    python = subprocess.run([os.path.join(SOURCE, 'tests/integration/python_packages')], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    server = Moraine()
    subprocess.run([python, '-c', HANDLER, server.url], check=True, timeout=120)
    query = {'query': '{application="app"}', 'limit': 100, 'direction': 'forward'}
    got = {value[1]: stream['stream'] for stream in
           server.get('/loki/api/v1/query_range', **query)['result'] for value in stream['values']}
    assert sorted(got) == sorted(['line %d' % i for i in range(20)] + ['said "no"']), got
    assert got['line 3']['part'] == '1' and got['line 3']['severity'] == 'info', got
    assert got['said "no"']['severity'] == got['said "no"']['detected_level'] == 'error', got
    assert got['said "no"']['logger'] == 'of-the-test', got
    server.stop()


if __name__ == '__main__':
    main(globals())
