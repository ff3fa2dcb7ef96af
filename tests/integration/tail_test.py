#!/usr/bin/env python3
"""Tails of logs over real sockets: what comes in goes out, to the right clients, and who doesn't
read, hangs up or asks for too much harms nobody else."""
import http.client
import json
import signal
import ssl
import subprocess
import threading
import time

import logs
from moraine import Moraine, main, wait_until, work_dir
from websocket import Closed, Refused, WebSocket

TAIL = '/loki/api/v1/tail'


def now_ns():
    return int(time.time() * 1e9)


def push(server, labels, lines, tenant=None, start_ns=None, metadata=None):
    """One stream; a nanosecond between lines."""
    start = now_ns() if start_ns is None else start_ns
    values = [[str(start + i), line] + ([metadata] if metadata else [])
              for i, line in enumerate(lines)]
    headers = {'Content-Type': 'application/json'}
    if tenant:
        headers['X-Scope-OrgID'] = tenant
    status, body, _ = server.request('POST', '/loki/api/v1/push', json.dumps(
        {'streams': [{'stream': labels, 'values': values}]}), headers)
    assert status == 204, body


def tail(server, query, path=TAIL, headers=None, receive_bytes=None, **parameters):
    return WebSocket(server.port, path, headers, {'query': query, **parameters}, receive_bytes)


def refused(server, status, text, query, **more):
    try:
        tail(server, query, **more)
    except Refused as answer:
        assert answer.status == status, answer
        assert text in answer.body, answer
        return
    raise AssertionError('not refused: %s' % query)


def closed(socket, code, text):
    try:
        while True:
            socket.message()
    except Closed as end:
        assert end.code == code and text in end.reason, end
    else:
        raise AssertionError('not closed')


def tails_active(server):
    return server.metric('moraine_log_tails_active')


def test_history_comes_first_and_then_what_is_new():
    server = Moraine()
    push(server, {'app': 'a', 'pod': '1'}, ['old %d' % i for i in range(20)])
    push(server, {'app': 'b'}, ['other'])
    socket = tail(server, '{app="a"}', limit=5)
    got = socket.lines(5)
    assert [line for _, line in got] == ['old %d' % i for i in range(15, 20)], got
    assert got[0][0]['pod'] == '1', got
    push(server, {'app': 'b'}, ['not wanted'])
    for i in range(30):
        push(server, {'app': 'a', 'pod': str(i % 3)}, ['new %d' % i])
    got = socket.lines(30)
    assert [line for _, line in got] == ['new %d' % i for i in range(30)], got
    assert [stream['pod'] for stream, _ in got] == [str(i % 3) for i in range(30)], got
    socket.close()
    wait_until('the tail has ended', lambda: tails_active(server) == 0)
    server.stop()


def test_nothing_is_lost_or_doubled_between_history_and_news():
    server = Moraine()
    stop = threading.Event()
    pushed = []

    def push_on():
        while not stop.is_set():
            line = 'line %d' % len(pushed)
            push(server, {'app': 'a'}, [line])
            pushed.append(line)

    thread = threading.Thread(target=push_on)
    thread.start()
    wait_until('lines come in', lambda: len(pushed) > 50)
    sockets = [tail(server, '{app="a"}', limit=5000) for _ in range(8)]
    seen = len(pushed)
    wait_until('more come in', lambda: len(pushed) > seen + 50)
    stop.set()
    thread.join()
    for socket in sockets:
        got = [line for _, line in socket.lines(len(pushed))]
        # Lines of one moment may be looked at in two rounds, and then come in another order.
        assert sorted(got) == sorted(pushed), (len(got), len(set(got)), len(pushed))
    server.stop()


def test_history_from_objects():
    server = Moraine()
    push(server, {'app': 'a'}, ['stored'])
    server.flush()
    push(server, {'app': 'a'}, ['in the head'])
    socket = tail(server, '{app="a"}')
    assert [line for _, line in socket.lines(2)] == ['stored', 'in the head']
    server.flush()
    push(server, {'app': 'a'}, ['new'])
    assert [line for _, line in socket.lines(1)] == ['new']
    server.stop()


def test_pipelines_change_what_is_seen():
    server = Moraine()
    socket = tail(server, '{app="a"} |= "keep" | json | status >= 500 '
                  '| line_format "{{.method}} {{.status}}"')
    push(server, {'app': 'a'}, ['{"status":200,"method":"GET","x":"keep"}',
                                '{"status":503,"method":"PUT","x":"keep"}',
                                '{"status":503,"method":"PUT","x":"lose"}', 'keep no json'])
    (stream, line), = socket.lines(1)
    assert line == 'PUT 503', line
    assert stream['app'] == 'a' and stream['status'] == '503' and stream['method'] == 'PUT', stream
    server.stop()


def test_labels_may_be_kept_apart():
    server = Moraine()
    flags = {'X-Loki-Response-Encoding-Flags': 'categorize-labels'}
    apart = tail(server, '{app="a"} | logfmt', headers=flags)
    joined = tail(server, '{app="a"} | logfmt')
    push(server, {'app': 'a'}, ['k=v'], metadata={'trace_id': 'abc'})
    message = apart.message()
    assert message['encodingFlags'] == ['categorize-labels'], message
    stream, = message['streams']
    assert stream['stream'] == {'app': 'a', 'service_name': 'a'}, stream
    (_, line, categories), = stream['values']
    assert categories['parsed'] == {'k': 'v'}, categories
    assert categories['structuredMetadata']['trace_id'] == 'abc', categories
    message = joined.message()
    assert 'encodingFlags' not in message and 'dropped_entries' not in message, message
    stream, = message['streams']
    assert stream['stream']['trace_id'] == 'abc' and stream['stream']['k'] == 'v', stream
    assert len(stream['values'][0]) == 2, stream
    server.stop()


def test_delay_puts_late_lines_in_order():
    server = Moraine()
    socket = tail(server, '{app="a"}', delay_for=3)
    base = now_ns()
    push(server, {'app': 'a'}, ['second'], start_ns=base + 1000)
    push(server, {'app': 'a'}, ['first'], start_ns=base)
    assert [line for _, line in socket.lines(2)] == ['first', 'second']
    assert now_ns() - base >= 3e9
    server.stop()


def test_the_older_api_has_its_own_form():
    server = Moraine()
    socket = tail(server, '{app="a"}', path='/api/prom/tail')
    push(server, {'app': 'a'}, ['old "form"'], start_ns=now_ns() // 10 ** 9 * 10 ** 9)
    message = socket.message()
    stream, = message['streams']
    assert stream['labels'].startswith('{app="a", '), stream
    assert stream['entries'][0]['line'] == 'old "form"', stream
    assert stream['entries'][0]['ts'].endswith('Z'), stream
    assert message['dropped_entries'] is None, message
    server.stop()


def test_prefix_and_tenants():
    server = Moraine()
    one = tail(server, '{app="a"}', path='/logs' + TAIL, headers={'X-Scope-OrgID': 'one'})
    two = tail(server, '{app="a"}', headers={'X-Scope-OrgID': 'two'})
    push(server, {'app': 'a'}, ['for one'], tenant='one')
    push(server, {'app': 'a'}, ['for two'], tenant='two')
    assert [line for _, line in one.lines(1)] == ['for one']
    assert [line for _, line in two.lines(1)] == ['for two']
    refused(server, 400, 'multiple org IDs present', '{app="a"}',
            headers={'X-Scope-OrgID': 'one|two'})
    server.stop()


def test_bad_requests():
    server = Moraine()
    refused(server, 400, 'parse error', '{app=')
    refused(server, 400, 'at least one', '{}')
    refused(server, 400, "delay_for can't be greater than 5", '{app="a"}', delay_for=6)
    refused(server, 400, 'invalid syntax', '{app="a"}', delay_for='x')
    refused(server, 400, 'limit must be a positive value', '{app="a"}', limit=0)
    refused(server, 400, 'start', '{app="a"}', start='yesterday')
    status, body, headers = server.get_raw(TAIL, query='{app="a"}')
    assert status == 400 and b'websocket' in body, body
    assert headers['Sec-Websocket-Version'] == '13'
    closed(tail(server, 'rate({app="a"}[1m])'), 1011, 'only log selector is supported')
    closed(tail(server, '{app="a"} | label_format a="{{"'), 1011, '')
    closed(tail(server, '{app="a"}', limit=100000), 1011, 'max entries limit')
    assert tails_active(server) == 0
    server.stop()


def test_any_bytes_make_valid_messages():
    server = Moraine()
    lines = [b'nul \x00 and \x1b[31m', b'no \xff\xfe UTF-8 \xc3', 'ä "quoted" \\ \u2028'.encode(), b' ',
             b'x' * 200000, b'{{.evil}}</script>']
    wanted = [line.decode(errors='replace') for line in lines]
    sockets = [tail(server, '{app=~".+"}', path=path) for path in (TAIL, '/api/prom/tail')]
    wait_until('both are there', lambda: tails_active(server) == 2)
    status, body, _ = logs.push(server, [({'app': 'quo"te\\', 'b': 'ä\n'}, [
        (now_ns(), line, [('k"', 'v\n')]) for line in lines])])
    assert status == 204, body
    assert [line for _, line in sockets[0].lines(len(lines))] == wanted
    got = []
    while len(got) < len(lines):
        got += [entry['line'] for stream in sockets[1].message()['streams']
                for entry in stream['entries']]
    assert got == wanted
    server.stop()


def test_a_tenant_has_so_many_and_no_more():
    server = Moraine(None, '--limits.log_tails_max', '3')
    sockets = [tail(server, '{app="a"}') for _ in range(3)]
    wait_until('all are there', lambda: tails_active(server) == 3)
    closed(tail(server, '{app="a"}'), 1011,
           'max concurrent tail requests limit exceeded, count > limit (4 > 3)')
    other = tail(server, '{app="a"}', headers={'X-Scope-OrgID': 'other'})
    wait_until('it is there too', lambda: tails_active(server) == 4)
    sockets.pop().hang_up()
    wait_until('it is noticed', lambda: tails_active(server) == 3)
    sockets.append(tail(server, '{app="a"}'))
    push(server, {'app': 'a'}, ['hello'])
    for socket in sockets:
        assert [line for _, line in socket.lines(1)] == ['hello']
    push(server, {'app': 'a'}, ['there'], tenant='other')
    assert [line for _, line in other.lines(1)] == ['there']
    server.stop()


def test_a_tail_ends_when_its_time_is_over():
    server = Moraine(None, '--query.tail_max', '1s')
    closed(tail(server, '{app="a"}'), 1011, 'reached tail max duration limit')
    server.stop()


def test_pings_come_though_nothing_happens():
    server = Moraine()
    socket = tail(server, '{app="a"}')
    for _ in range(2):
        opcode, _ = socket.frame()
        assert opcode == 9, opcode
        socket.send(10)
    server.stop()


def test_who_does_not_read_loses_lines_and_is_told():
    server = Moraine()
    slow = tail(server, '{app="a"}', receive_bytes=4096)
    quick = tail(server, '{app="a"}')
    wait_until('both are there', lambda: tails_active(server) == 2)
    line = 'x' * 50000
    total, batch, seen = 500, 20, []

    def read():
        while len(seen) < total:
            seen.extend(quick.lines(1))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(0, total, batch):
        push(server, {'app': 'a'}, ['%d %s' % (k, line) for k in range(i, i + batch)])
        wait_until('the quick one has it', lambda: len(seen) >= i + batch)
    reader.join()
    assert len(seen) == total
    got, told = 0, 0
    push(server, {'app': 'a'}, ['last'])
    while got + told < total + 1:
        message = slow.message()
        got += sum(len(stream['values']) for stream in message['streams'])
        for dropped in message.get('dropped_entries', []):
            assert dropped['labels']['app'] == 'a', dropped
            assert abs(int(dropped['timestamp']) - now_ns()) < 600e9, dropped
            told += 1
    assert got + told == total + 1, (got, told)
    assert told > 0, got
    server.stop()


def test_many_tails_and_hang_ups():
    server = Moraine(None, '--limits.log_tails_max', '0')
    sockets = [tail(server, '{app=~"a|b", pod!="%d"}' % i) for i in range(100)]
    wait_until('all are there', lambda: tails_active(server) == 100)
    for i in range(10):
        push(server, {'app': 'a', 'pod': str(i)}, ['line %d' % i])
    for i, socket in enumerate(sockets):
        wanted = ['line %d' % k for k in range(10) if k != i]
        assert sorted(line for _, line in socket.lines(len(wanted))) == wanted
    for i, socket in enumerate(sockets):
        socket.close() if i % 2 else socket.hang_up()
    wait_until('all have ended', lambda: tails_active(server) == 0)
    server.stop()


def test_shutting_down_says_goodbye():
    server = Moraine()
    sockets = [tail(server, '{app="a"}') for _ in range(5)]
    wait_until('all are there', lambda: tails_active(server) == 5)
    server.process.send_signal(signal.SIGTERM)
    for socket in sockets:
        closed(socket, 1001, 'shutting down')
        socket.hang_up()
    server.stop()


def test_over_tls():
    folder = work_dir()
    key, certificate = folder + '/key.pem', folder + '/certificate.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                    '-nodes', '-keyout', key, '-out', certificate, '-days', '2', '-subj',
                    '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
                   check=True, stderr=subprocess.DEVNULL)
    server = Moraine(None, '--tls.cert_file', certificate, '--tls.key_file', key)
    context = ssl.create_default_context(cafile=certificate)

    def request(method, path, body=None, headers=None):
        connection = http.client.HTTPSConnection('localhost', server.port, context=context)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    server.request = request
    for i in range(2):
        socket = WebSocket(server.port, TAIL, None, {'query': '{app="a"}', 'limit': 1}, tls=context)
        wait_until('it is there', lambda: tails_active(server) == 1)
        if i > 0:
            socket.lines(1)
        push(server, {'app': 'a'}, ['line %d' % k + 'x' * 9000 for k in range(50)])
        got = [line for _, line in socket.lines(50)]
        assert [line.rstrip('x') for line in got] == ['line %d' % k for k in range(50)], got
        socket.close() if i == 0 else socket.hang_up()
        wait_until('it has ended', lambda: tails_active(server) == 0)
    server.stop()


def test_a_killed_server_ends_the_connection_and_keeps_what_was_seen():
    server = Moraine(work_dir())
    socket = tail(server, '{app="a"}')
    push(server, {'app': 'a'}, ['seen'])
    assert [line for _, line in socket.lines(1)] == ['seen']
    server.kill()
    try:
        while True:
            socket.message()
    except (Closed, ConnectionResetError):
        pass
    server = Moraine(server.data)
    assert [line for _, line in tail(server, '{app="a"}').lines(1)] == ['seen']
    server.stop()


if __name__ == '__main__':
    main(globals())
