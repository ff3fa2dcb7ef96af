#!/usr/bin/env python3
"""Requests to delete logs and retention by stream, over HTTP on a real MinIO: hidden at once on every path, gone from the
objects after compaction, whatever was pushed after the request stays, restarts and kill -9 forget
nothing, other tenants notice nothing, bad input is answered as Loki does."""
import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.parse

import moraine
from moraine import Moraine, wait_until

BUCKET = os.environ['MORAINE_TEST_S3_BUCKET']
ENDPOINT = os.environ['MORAINE_TEST_S3_ENDPOINT']
# An hour into a day that is over: all that is pushed lies in one window of the compactor's, which
# therefore makes one block of it, whatever the time is now.
BASE = (int(time.time()) // 86400 - 2) * 86400 + 3600
SECOND = 10 ** 9
DELETE = '/loki/api/v1/delete'


# ---- the bucket by hand ----

def s3_get(path, query=()):
    """GET with signature v4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html)."""
    url = urllib.parse.urlsplit(ENDPOINT)
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime('%Y%m%dT%H%M%SZ'), now.strftime('%Y%m%d')
    empty = hashlib.sha256(b'').hexdigest()
    path = urllib.parse.quote('/%s%s' % (BUCKET, path), safe='/-_.~')
    text = urllib.parse.urlencode(sorted(query), quote_via=urllib.parse.quote)
    head = {'host': url.netloc, 'x-amz-content-sha256': empty, 'x-amz-date': stamp}
    signed = ';'.join(sorted(head))
    canonical = '\n'.join(['GET', path, text] + ['%s:%s' % (k, head[k]) for k in sorted(head)] +
                          ['', signed, empty])
    scope = day + '/us-east-1/s3/aws4_request'
    key = ('AWS4' + os.environ['AWS_SECRET_ACCESS_KEY']).encode()
    for part in (day, 'us-east-1', 's3', 'aws4_request'):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    to_sign = '\n'.join(['AWS4-HMAC-SHA256', stamp, scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request('GET', path + ('?' + text if text else ''), headers={
        **head, 'Authorization': 'AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s' %
        (os.environ['AWS_ACCESS_KEY_ID'], scope, signed, signature)})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, (answer.status, body)
    return body


def blocks_of(prefix, tenant):
    """Keys of the tenant's blocks of logs."""
    body = s3_get('', [('list-type', '2'), ('prefix', '%s/tenants/%s/logs/' % (prefix, tenant))])
    return set(re.findall(r'<Key>([^<]+)</Key>', body.decode()))


def entries_in(keys):
    """How many log entries each of these objects holds, as `moraine block inspect` counts them."""
    counts = []
    for key in keys:
        with tempfile.NamedTemporaryFile() as file:
            file.write(s3_get('/' + key))
            file.flush()
            text = subprocess.run([moraine.BINARY, 'block', 'inspect', file.name], check=True,
                                  capture_output=True, text=True).stdout
        counts.append(int(re.search(r', (\d+) items,', text).group(1)))
    return sorted(counts)


# ---- a server with logs ----

class Server:
    made = 0

    def __init__(self, *arguments, config=None):
        Server.made += 1
        self.prefix = 'delete-%d-%d' % (os.getpid(), Server.made)
        self.data = moraine.work_dir()
        self.arguments = ['--store', 's3://%s/%s' % (BUCKET, self.prefix), '--s3.endpoint',
                          ENDPOINT, '--compactor.interval', '1h', *arguments]
        if config is not None:
            self.config = os.path.join(self.data, 'moraine.yaml')
            self.write_config(config)
            self.arguments += ['--config', self.config]
        self.start()

    def start(self):
        self.moraine = Moraine(self.data, *self.arguments)

    def kill(self):
        self.moraine.kill()

    def write_config(self, text):
        with open(self.config + '.new', 'w') as f:
            f.write(text)
        os.rename(self.config + '.new', self.config)

    def push(self, lines, tenant='t', labels=None, metadata=None):
        """lines: [(second after BASE, text)]"""
        values = [['%d' % ((BASE + s) * SECOND), text] + ([metadata] if metadata else [])
                  for s, text in lines]
        body = json.dumps({'streams': [{'stream': labels or {'app': 'a'}, 'values': values}]})
        status, answer, _ = self.moraine.request(
            'POST', '/loki/api/v1/push', body,
            {'Content-Type': 'application/json', 'X-Scope-OrgID': tenant})
        assert status == 204, answer

    def lines(self, query='{app=~".+"}', tenant='t', direction='forward'):
        data = self.moraine.get('/loki/api/v1/query_range', tenant, query=query, limit=5000,
                                start='%d' % ((BASE - 10) * SECOND),
                                end='%d' % ((BASE + 3000) * SECOND), direction=direction)
        out = [(int(t), line) for stream in data['result'] for t, line, *_ in stream['values']]
        return [line for _, line in sorted(out)]

    def count(self, query, tenant='t'):
        result = self.moraine.get('/loki/api/v1/query', tenant, time='%d' % (BASE + 3000),
                                  query='sum(count_over_time(%s[2h]))' % query)['result']
        return int(result[0]['value'][1]) if result else 0

    def call(self, method, tenant='t', prefix='', **parameters):
        query = urllib.parse.urlencode(parameters)
        return self.moraine.request(method, prefix + DELETE + ('?' + query if query else ''),
                                    None, {'X-Scope-OrgID': tenant})

    def delete(self, query, start=-10, end=3000, tenant='t', method='POST', prefix=''):
        status, body, headers = self.call(method, tenant, prefix, query=query,
                                          start='%d' % (BASE + start), end='%d' % (BASE + end))
        assert status == 204 and body == b'', (status, body)
        return headers['X-Delete-Request-ID']

    def requests(self, tenant='t', **parameters):
        status, body, headers = self.call('GET', tenant, **parameters)
        assert status == 200, body
        assert headers['Content-Type'].startswith('application/json')
        return json.loads(body)

    def finish(self, tenant='t'):
        """Compacts until every request is carried out: its data may be on its way to the store."""
        def done():
            self.moraine.flush()
            self.moraine.compact()
            return all(r['status'] == 'processed' for r in self.requests(tenant))
        wait_until('delete requests are processed', done)


def numbered(first, last, word='line'):
    return [(i, '%s %d' % (word, i)) for i in range(first, last)]


# ---- tests ----

def test_what_is_deleted_is_hidden_at_once_and_gone_after_compaction():
    server = Server()
    server.push(numbered(0, 100), labels={'app': 'a', 'env': 'dev'})   # will be in a block
    server.push(numbered(0, 50, 'other'), labels={'app': 'b'})
    server.push(numbered(0, 30), tenant='u', labels={'app': 'a', 'env': 'dev'})
    server.moraine.flush()
    server.moraine.compact()
    server.push(numbered(100, 200), labels={'app': 'a', 'env': 'dev'})  # in a segment
    server.moraine.flush()
    server.push(numbered(200, 300), labels={'app': 'a', 'env': 'dev'})  # in a head
    before = blocks_of(server.prefix, 't')
    assert len(server.lines('{app="a"}')) == 300
    # A part of each, at both ends inclusive.
    request = server.delete('{app="a"}', 50, 249)
    expected = ['line %d' % i for i in list(range(50)) + list(range(250, 300))]

    def check():
        assert server.lines('{app="a"}') == expected
        assert server.lines('{app="a"}', direction='backward') == expected
        assert server.lines('{app="a"} |= "line 7"') == ['line 7']
        assert server.count('{app="a"}') == 100
        assert server.count('{app="a"} |= "line 1"') == 11
        assert len(server.lines('{app="b"}')) == 50
        assert len(server.lines('{app="a"}', tenant='u')) == 30
    check()
    # The same moments and lines again: pushed after the request, they stay.
    server.push([(60, 'line 60'), (61, 'again')], labels={'app': 'a', 'env': 'dev'})
    expected = expected[:50] + ['line 60', 'again'] + expected[50:]
    entries = server.lines('{app="a"}')
    assert entries == expected, entries
    listed = server.requests()
    assert [r['request_id'] for r in listed] == [request]
    assert listed[0] == {'request_id': request, 'start_time': BASE + 50, 'end_time': BASE + 249,
                         'query': '{app="a"}', 'status': listed[0]['status'],
                         'created_at': listed[0]['created_at'], 'user_id': ''}
    assert server.requests('u') == []
    server.finish()
    assert server.lines('{app="a"}') == expected
    assert server.requests()[0]['status'] == 'processed'
    # All that is left is in the one block that is in use, and nothing else.
    assert entries_in(before) == [150]
    assert entries_in(blocks_of(server.prefix, 't') - before)[-1] == 152
    assert server.count('{app=~"a|b"}') == 152
    server.moraine.stop()
    server.start()
    assert server.lines('{app="a"}') == expected
    assert server.requests()[0]['status'] == 'processed'
    server.moraine.stop()


def test_filters_of_lines_labels_and_metadata_choose_entries():
    server = Server()
    server.push([(i, 'level=%s id=%d' % ('error' if i % 10 == 0 else 'info', i))
                 for i in range(100)], labels={'app': 'a'})
    server.push([(200 + i, 'traced %d' % i) for i in range(5)], labels={'app': 'a'},
                metadata={'trace_id': 'abc'})
    server.push([(300 + i, 'traced %d' % i) for i in range(5)], labels={'app': 'a'},
                metadata={'trace_id': 'def'})
    server.moraine.flush()
    server.moraine.compact()
    before = blocks_of(server.prefix, 't')
    server.delete('{app="a"} |= "level=info" | logfmt | id > 50')
    server.delete('{app="a"} | trace_id="abc"')
    server.delete('{app="a"} |~ "traced [01]$"', 300)
    server.delete('{app="none"} |= "level"')
    left = ['level=%s id=%d' % ('error' if i % 10 == 0 else 'info', i)
            for i in range(100) if i <= 50 or i % 10 == 0] + ['traced 2', 'traced 3', 'traced 4']
    assert server.lines() == left
    assert server.count('{app="a"} |= "info"') == 45
    assert server.lines('{app="a"} | trace_id="abc"') == []

    def check_counts():
        """What the index says of entries and bytes is what is left, before compaction and after."""
        span = {'query': '{app="a"}', 'start': '%d' % ((BASE - 10) * SECOND),
                'end': '%d' % ((BASE + 3000) * SECOND)}
        stats = json.loads(server.moraine.get_raw('/loki/api/v1/index/stats', 't', **span)[1])
        assert (stats['entries'], stats['streams']) == (len(left), 1), stats
        volume = server.moraine.get('/loki/api/v1/index/volume', 't', **span)['result']
        assert [v['value'][1] for v in volume] == [str(stats['bytes'])], (volume, stats)
        assert sum(map(len, left)) <= stats['bytes'] < sum(map(len, left)) + 40 * len(left), stats
    check_counts()
    server.kill()
    server.start()
    assert server.lines() == left
    server.finish()
    check_counts()
    assert [r['status'] for r in server.requests()] == ['processed'] * 4
    assert server.lines() == left
    assert entries_in(blocks_of(server.prefix, 't') - before) == [len(left)]
    # Nothing is left to do: the next run writes nothing.
    after = blocks_of(server.prefix, 't')
    server.moraine.compact()
    assert blocks_of(server.prefix, 't') == after
    server.moraine.stop()


def test_a_stream_of_which_nothing_is_left_shows_nowhere():
    server = Server()
    for app in ('gone', 'stays'):
        server.push([(i, 'line n=%d' % i) for i in range(40)], labels={'app': app})

    def check(apps):
        span = {'start': '%d' % ((BASE - 10) * SECOND), 'end': '%d' % ((BASE + 3000) * SECOND)}
        get = server.moraine.get
        assert get('/loki/api/v1/label/app/values', 't', **span) == apps
        assert sorted(s['app'] for s in get('/loki/api/v1/series', 't', **span)) == apps
        volume = get('/loki/api/v1/index/volume', 't', query='{app=~".+"}', **span)['result']
        assert sorted(v['metric']['app'] for v in volume) == apps
        stats = server.moraine.get_raw('/loki/api/v1/index/stats', 't', query='{app=~".+"}', **span)
        assert json.loads(stats[1])['streams'] == len(apps), stats
        seen = get('/loki/api/v1/patterns', 't', query='{app=~".+"}', step='10s', **span)
        assert sum(n for p in seen for _, n in p['samples']) == 40 * len(apps), seen
        raw = server.moraine.get_raw('/loki/api/v1/detected_fields', 't', query='{app=~".+"}', **span)
        assert bool(json.loads(raw[1])['fields']) == bool(apps), raw
    check(['gone', 'stays'])
    server.delete('{app="gone"}', prefix='/logs', method='PUT')
    check(['stays'])
    server.finish()
    check(['stays'])
    server.delete('{}')
    check([])
    server.finish()
    assert server.lines() == []
    server.push(numbered(0, 1), labels={'app': 'new'})
    assert server.lines() == ['line 0']
    server.moraine.stop()


def test_kill_9_between_request_and_compaction_forgets_nothing():
    server = Server()
    server.push(numbered(0, 100))
    server.delete('{app="a"}', 0, 49)
    server.push(numbered(0, 10))
    left = ['line %d' % i for i in list(range(10)) + list(range(50, 100))]
    assert server.lines() == left
    server.kill()
    server.start()
    assert server.lines() == left
    server.push(numbered(10, 20))
    left = ['line %d' % i for i in list(range(20)) + list(range(50, 100))]
    server.kill()
    server.start()
    assert server.lines() == left
    server.finish()
    assert server.lines() == left
    server.kill()
    server.start()
    assert server.lines() == left
    server.moraine.stop()


def test_a_request_is_taken_back_until_it_is_carried_out():
    server = Server()
    server.push(numbered(0, 100))
    request = server.delete('{app="a"} |= "line 1"')
    assert len(server.lines()) == 89
    assert server.call('DELETE', 'u', request_id=request)[:2] == (
        404, b'could not find delete request with given id')
    assert len(server.lines()) == 89
    assert server.call('DELETE', prefix='/logs', request_id=request)[0] == 204
    assert len(server.lines()) == 100
    assert server.requests() == []
    assert server.call('DELETE', request_id=request)[0] == 404
    assert server.call('DELETE')[0] == 404
    request = server.delete('{app="a"} |= "line 2"')
    server.finish()
    status, body, _ = server.call('DELETE', request_id=request, force='true')
    assert (status, body) == (
        400, b'deletion of request which is in process or already processed is not allowed')
    assert len(server.lines()) == 89
    server.moraine.stop()


def test_within_its_cancel_period_a_request_only_hides():
    server = Server('--compactor.delete_cancel_period', '1h')
    server.push(numbered(0, 100))
    request = server.delete('{app="a"}', 0, 49)
    server.push(numbered(0, 5))
    server.moraine.flush()
    server.moraine.compact()
    left = ['line %d' % i for i in list(range(5)) + list(range(50, 100))]
    assert server.lines() == left
    assert server.requests()[0]['status'] == 'received'
    assert server.call('DELETE', request_id=request)[0] == 204
    assert server.lines() == ['line %d' % i for i in range(100)]
    server.moraine.stop()


def test_past_its_cancel_period_a_request_is_taken_back_by_force():
    server = Server('--compactor.delete_cancel_period', '1ms')
    server.push(numbered(0, 10))
    request = server.delete('{app="a"}')
    time.sleep(0.01)
    status, body, _ = server.call('DELETE', request_id=request)
    assert status == 400 and body.startswith(
        b'Cancellation of partially completed delete request or delete request past the deadline '
        b'of 1ms since its creation is not allowed.'), body
    assert server.lines() == []
    assert server.call('DELETE', request_id=request, force='true')[0] == 204
    assert len(server.lines()) == 10
    server.moraine.stop()


def test_modes_of_tenants():
    server = Server(config='overrides:\n  off: {limits.deletion_mode: disabled}\n'
                           '  hide: {limits.deletion_mode: filter-only}\n')
    for tenant in ('off', 'hide'):
        server.push(numbered(0, 10), tenant=tenant)
    for method in ('GET', 'POST', 'PUT', 'DELETE'):
        assert server.call(method, 'off')[:2] == (
            403, b'deletion is not available for this tenant'), method
    server.delete('{app="a"}', 0, 4, tenant='hide')
    server.push(numbered(2, 3), tenant='hide')
    left = ['line %d' % i for i in (2, 5, 6, 7, 8, 9)]
    for _ in range(3):
        assert server.lines(tenant='hide') == left
        assert len(server.lines(tenant='off')) == 10
        server.moraine.flush()
        server.moraine.compact()
    assert server.requests('hide')[0]['status'] == 'received'
    assert entries_in(blocks_of(server.prefix, 'hide')) == [1, 10]
    server.moraine.stop()


def test_bad_requests_are_answered_as_by_loki():
    server = Server()
    good = {'query': '{app="a"}', 'start': str(BASE), 'end': str(BASE + 10)}
    times = 'invalid %s time: require unix seconds or RFC3339 format'
    for change, text in [
            ({'query': ''}, 'query not set'),
            ({'query': '{app="a"'}, 'invalid query expression'),
            ({'query': 'rate({app="a"}[1m])'}, 'invalid query expression'),
            ({'query': '{app="a"} |~ "("'}, 'invalid query expression'),
            ({'query': '('*5000}, 'invalid query expression'),
            ({'start': ''}, 'start time not set'),
            ({'start': 'yesterday'}, times % 'start'),
            ({'start': '%d' % (BASE * SECOND)}, times % 'start'),
            ({'end': '1'}, times % 'end'),
            ({'end': '99999999999'}, times % 'end'),
            ({'end': str(int(time.time()) + 3600)}, 'deletes in the future are not allowed'),
            ({'end': str(BASE)}, "start time can't be greater than or equal to end time"),
            ({'query': '{app="a"} |= "x"', 'max_interval': '10'},
             "invalid max_interval: valid time units are 's', 'm', 'h'"),
            ({'query': '{app="a"} |= "x"', 'max_interval': '1ms'},
             "invalid max_interval: valid time units are 's', 'm', 'h'"),
            ({'query': '{app="a"} |= "x"', 'max_interval': '25h'},
             "max_interval can't be greater than 24h0m0s"),
            ({'query': '{app="a"} |= "x"', 'max_interval': '11s'},
             "max_interval can't be greater than the interval to be deleted (10s)")]:
        status, body, _ = server.call('POST', **{**good, **change})
        assert (status, body.decode()) == (400, text), (change, status, body)
    assert server.call('POST', 'a|b', **good)[:2] == (400, b'multiple org IDs present')
    assert server.requests() == []
    rfc = datetime.datetime.fromtimestamp(BASE, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')
    assert server.call('POST', query='{a="b"}', start=rfc + '.5Z', end=rfc + '.75-01:00')[0] == 204
    assert server.call('POST', query='{a="b"} |= "x"', start='0000000000', max_interval='1h')[0] == 204
    listed = server.requests()
    assert [(r['start_time'], r['end_time']) for r in listed[:1]] == [(BASE + .5, BASE + 3600.75)]
    assert len(server.requests(start=str(BASE - 10), end=str(BASE - 5))) == 1
    assert len(server.requests(for_querytime_filtering='true')) == 2
    assert server.call('GET', start='x', end='y')[0] == 400
    server.moraine.stop()


RULES = '''retention:
  log_streams:
    - {selector: '{app="short"}', period: 24h}
    - {selector: '{app="short",env="audit"}', period: 900d, priority: 1}
overrides:
  u:
    retention.log_streams:
      - {selector: '{app=~".+"}', period: 900d}
'''


def push_short_and_long(server, tenant):
    server.push(numbered(0, 50), labels={'app': 'short'}, tenant=tenant)
    server.push(numbered(0, 30), labels={'app': 'short', 'env': 'audit'}, tenant=tenant)
    server.push(numbered(0, 20), labels={'app': 'long'}, tenant=tenant)


def test_streams_go_when_their_own_retention_is_over():
    server = Server(config=RULES)
    for tenant in ('t', 'u'):
        push_short_and_long(server, tenant)

    def check():
        assert server.count('{app=~".+"}') == 50
        assert server.count('{app="short"}') == 30
        assert len(server.lines('{app="short",env=""}')) == 0
        assert server.count('{app=~".+"}', tenant='u') == 100
    check()
    server.moraine.flush()
    check()
    server.moraine.compact()
    check()
    assert entries_in(blocks_of(server.prefix, 't')) == [50]
    assert entries_in(blocks_of(server.prefix, 'u')) == [100]
    server.moraine.stop()


def test_rules_are_taken_over_by_a_running_server_also_for_blocks_that_are_there():
    server = Server(config='{}')
    for tenant in ('t', 'u'):
        push_short_and_long(server, tenant)
    server.moraine.flush()
    server.moraine.compact()
    before = blocks_of(server.prefix, 't') | blocks_of(server.prefix, 'u')
    assert server.count('{app=~".+"}') == 100
    server.write_config(RULES)
    server.moraine.process.send_signal(signal.SIGHUP)
    wait_until('the rules hold', lambda: server.count('{app=~".+"}') == 50)
    assert server.count('{app=~".+"}', tenant='u') == 100
    server.moraine.compact()
    assert server.count('{app=~".+"}') == 50
    assert entries_in(blocks_of(server.prefix, 't') - before) == [50]
    assert blocks_of(server.prefix, 'u') - before == set()
    after = blocks_of(server.prefix, 't')
    server.moraine.compact()
    assert blocks_of(server.prefix, 't') == after
    server.moraine.stop()


def test_rules_that_are_wrong_are_said_so():
    for rule, text in [('{selector: "{app", period: 24h}', 'retention.log_streams.0.selector'),
                       ('{selector: "{a=\\"b\\"}"}', 'a period above 0'),
                       ('{period: 24h}', 'needs a selector'),
                       ('{period: often}', 'no duration above 0'),
                       ('{priority: 1.5}', 'no whole number'),
                       ('{name: x}', 'a selector, a priority and a period, no name')]:
        with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
            file.write('retention:\n  log_streams:\n    - %s\n' % rule)
            file.flush()
            done = subprocess.run([moraine.BINARY, 'config', 'check', '--config', file.name],
                                  capture_output=True, text=True)
        assert done.returncode != 0 and text in done.stderr, (rule, done)


if __name__ == '__main__':
    moraine.main(globals())
