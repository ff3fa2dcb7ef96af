"""Loki's push protocol by hand, and reading back exactly what was pushed."""
import base64
import gzip
import json

import moraine as m


def entry(time_ns, line, metadata=()):
    body = m.field(1, b'\x08' + m.varint(time_ns // 10**9) + b'\x10' + m.varint(time_ns % 10**9))
    body += m.field(2, line if isinstance(line, bytes) else line.encode())
    for name, value in metadata:
        body += m.field(3, m.field(1, name.encode()) + m.field(2, value.encode()))
    return m.field(2, body)


def selector(labels):
    return '{%s}' % ', '.join('%s=%s' % (k, json.dumps(v)) for k, v in sorted(labels.items()))


def push_request(streams):
    """streams: [(labels, [(time_ns, line[, [(name, value), ...]])])]; lines are str or bytes."""
    return b''.join(m.field(1, m.field(1, selector(labels).encode()) + b''.join(entry(*e) for e in entries))
                    for labels, entries in streams)


def push_json(streams):
    return json.dumps({'streams': [
        {'stream': labels, 'values': [[str(e[0]), e[1], *([dict(e[2])] if len(e) > 2 else [])] for e in entries]}
        for labels, entries in streams]}).encode()


def post(server, body, tenant=None, path='/loki/api/v1/push', **headers):
    if tenant is not None:
        headers['X-Scope-OrgID'] = tenant
    return server.request('POST', path, body, headers)


def push(server, streams, tenant=None):
    return post(server, m.snappy(push_request(streams)), tenant, **{'Content-Type': 'application/x-protobuf'})


def push_as_json(server, streams, tenant=None, compressed=False):
    body, headers = push_json(streams), {'Content-Type': 'application/json'}
    if compressed:
        body, headers['Content-Encoding'] = gzip.compress(body, 1), 'gzip'
    return post(server, body, tenant, **headers)


def ask(server, path, tenant=None, **parameters):
    status, body, _ = server.get_raw('/loki/api/v1/' + path, tenant, **parameters)
    assert status == 200, '%s %s: %d %s' % (path, parameters, status, body[:500])
    return json.loads(body)


def read_all(server, query, start_ns, end_ns, tenant=None, page=5000):
    """Every entry of a selector as (labels and metadata, time_ns, line as bytes), through as many pages as
    that takes. JSON can't carry lines that aren't UTF-8, so they travel as base64."""
    out, seen = [], set()
    while True:
        answer = ask(server, 'query_range', tenant, query=query + ' | line_format "{{b64enc __line__}}"',
                     start=str(start_ns), end=str(end_ns), limit=str(page), direction='forward')
        got = [(json.dumps(s['stream'], sort_keys=True), int(t), base64.b64decode(line))
               for s in answer['data']['result'] for t, line in s['values']]
        new = [e for e in got if e not in seen]
        out += new
        seen |= set(new)
        if len(got) < page:
            assert len(out) == len(seen), 'an entry came twice within one answer'
            return out
        newest = max(t for _, t, _ in got)
        assert new, 'more than %d entries at one instant' % page
        start_ns = newest
