#!/usr/bin/env python3
"""A few hours of data for tests that compare query engines: real scrapes of a node exporter, with
their timestamps moved apart, and histograms of every kind. The same bytes go to every engine, and on
every machine: the scrapes were recorded, as what a random expression shows depends on them.

    promql_data.py --record    scrapes this machine's node exporter anew, into node_exporter.xz

A series is {'labels': {name: value}, 'points': [[time_ms, float or Histogram or STALE]]}.
"""
import lzma
import math
import os
import random
import re
import shutil
import struct
import sys
import urllib.request

import moraine as m

BASE_MS = 1751313600000  # 2025-06-30 20:00 UTC: a month ends within the data
STEP_MS = 30000
POINTS = 320
END_MS = BASE_MS + STEP_MS * POINTS
STALE = struct.pack('<Q', 0x7ff0000000000002)
SLICE = 40  # points of each series that one request carries
RECORDING = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'node_exporter.xz')
RECORDED = 60  # scrapes


class Histogram:
    """Buckets are {index: count}: of integers when `integer`, absolute, not deltas."""

    def __init__(self, schema, positive, negative, zero, total, integer=True, threshold=1e-128,
                 custom=(), gauge=False):
        self.schema, self.positive, self.negative = schema, positive, negative
        self.zero, self.sum, self.integer = zero, total, integer
        self.threshold, self.custom, self.gauge = threshold, custom, gauge

    def count(self):
        return self.zero + sum(self.positive.values()) + sum(self.negative.values())

    def encode(self, time_ms):
        count = self.count()
        if self.integer:
            out = m.varint(1 << 3) + m.varint(count)
        else:
            out = _double(2, count)
        out += _double(3, self.sum) + m.varint(4 << 3) + _zigzag(self.schema)
        if self.schema != -53:
            out += _double(5, self.threshold)
            out += m.varint(6 << 3) + m.varint(self.zero) if self.integer else _double(7, self.zero)
        out += self._buckets(self.negative, 8) + self._buckets(self.positive, 11)
        if self.gauge:
            out += m.varint(14 << 3) + m.varint(3)
        out += m.varint(15 << 3) + m.varint(time_ms)
        if self.custom:
            out += m.field(16, struct.pack('<%dd' % len(self.custom), *self.custom))
        return m.field(4, out)

    def _buckets(self, buckets, number):
        out, values, last = b'', [], None
        for index in sorted(buckets):
            values.append(buckets[index])
            if last is not None and index == last[0] + last[1]:
                last[1] += 1
                continue
            if last:
                out += self._span(last, number)
            gap = index if last is None else index - last[0] - last[1]
            last = [index, 1, gap]
        if last:
            out += self._span(last, number)
        if not values:
            return out
        if not self.integer:
            return out + m.field(number + 2, struct.pack('<%dd' % len(values), *values))
        deltas = [b - a for a, b in zip([0] + values, values)]
        return out + m.field(number + 1, b''.join(_zigzag(d) for d in deltas))

    @staticmethod
    def _span(span, number):
        return m.field(number, m.varint(1 << 3) + _zigzag(span[2]) + m.varint(2 << 3) + m.varint(span[1]))


def _zigzag(n):
    return m.varint((n << 1) ^ (n >> 63))


def _double(number, value):
    return m.varint(number << 3 | 1) + struct.pack('<d', value)


# ---- the node exporter ----

_LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def exposition(port):
    with urllib.request.urlopen('http://127.0.0.1:%d/metrics' % port) as answer:
        return answer.read().decode()


def parse(text):
    """{labels as a sorted tuple: value} and {name: type}."""
    values, types = {}, {}
    for line in text.splitlines():
        if line.startswith('# TYPE'):
            _, _, name, kind = line.split(' ')
            types[name] = kind
        found = _LINE.match(line)
        if found:
            labels = [(k, v.replace('\\"', '"').replace('\\n', '\n').replace('\\\\', '\\'))
                      for k, v in _PAIR.findall(found.group(2) or '')]
            values[tuple(sorted(labels + [('__name__', found.group(1))]))] = float(found.group(3))
    return values, types


def scraped(exporter, count):
    """The text of `count` scrapes of a real node exporter, with some work in between for the counters
    to see, or None if it isn't installed."""
    found = next((path for path in map(shutil.which, (exporter, 'node_exporter')) if path), None)
    if not found:
        return None
    port = m.free_port()
    process = m.run([found, '--web.listen-address=127.0.0.1:%d' % port,
                     '--collector.filesystem.mount-points-exclude=^/.+'],
                    stdout=open('/dev/null', 'w'), stderr=open('/dev/null', 'w'))

    def first():
        try:
            return exposition(port)
        except OSError:
            return None
    texts = [m.wait_until('the node exporter answers', first)]
    for i in range(count - 1):
        sum(math.sqrt(k) for k in range(20000 * (i % 5)))
        texts.append(exposition(port))
    process.kill()
    return texts


def recorded():
    """The texts of the recording: a form feed ends each scrape, and a line without a value goes for
    good. What a scrape doesn't mention is as it was."""
    texts, state = [], {}
    with lzma.open(RECORDING, 'rt') as f:
        for part in f.read().split('\f')[:-1]:
            for line in part.splitlines():
                key, _, value = line.rpartition(' ')
                if value == '-':
                    del state[key]
                else:
                    state[key] = value
            texts.append('\n'.join(k + ' ' + v for k, v in state.items()))
    return texts


def record(exporter):
    texts, state = scraped(exporter, RECORDED), {}
    assert texts, '%s is not installed: tests/run installs it' % exporter
    with lzma.open(RECORDING, 'wt', preset=9) as f:
        for text in texts:
            now = {}
            for line in text.splitlines():
                if not line.startswith('# HELP'):
                    key, _, value = line.rpartition(' ')
                    now[key] = value
            f.write(''.join('%s -\n' % k for k in state if k not in now))
            f.write(''.join('%s %s\n' % pair for pair in now.items() if state.get(pair[0]) != pair[1]))
            f.write('\f')
            state = now


def _is_counter(name, types):
    for suffix in ('', '_bucket', '_sum', '_count'):
        if name.endswith(suffix) and types.get(name[:len(name) - len(suffix) or None]) in (
                ('counter',) if not suffix else ('histogram', 'summary')):
            return True
    return False


def _instance(rng, values, types, instance, keep):
    """One instance's series: scrapes in their order, over and over, counters going on from where the
    round before ended; restarts, missed scrapes, series that come and go."""
    restarts = sorted(rng.sample(range(40, POINTS), 2))
    missed = {i for i in range(POINTS) if rng.random() < 0.01} | set(range(200, 213))
    jitter = [BASE_MS + STEP_MS * i + (rng.randrange(-40, 40) if rng.random() < 0.2 else 0)
              for i in range(POINTS)]
    series = []
    for key in sorted(values[-1]):
        name = dict(key)['__name__']
        if not keep(rng, name):
            continue
        seen = [v.get(key) for v in values]
        first = next(v for v in seen if v is not None)
        counter = _is_counter(name, types)
        growth = seen[-1] - first if counter else 0
        lives = (0, POINTS) if rng.random() < 0.9 else tuple(sorted(rng.sample(range(POINTS), 2)))
        base, points = first, []
        for i in range(*lives):
            if i in missed:
                if points and i - 1 not in missed:
                    points.append([jitter[i], STALE])
                continue
            value = seen[i % len(seen)]
            if value is None:
                continue
            if counter:
                lap = i // len(seen)
                value += growth * lap
                if any(i >= r for r in restarts):
                    start = max(r for r in restarts if i >= r)
                    base = first + growth * (start / len(seen))
                    value = max(0.0, value - base)
            points.append([jitter[i], value])
        if lives[1] < POINTS and points:
            points.append([jitter[lives[1]], STALE])
        labels = dict(key, job='node', instance=instance)
        series.append({'labels': labels, 'points': points, 'counter': counter})
    ups = [[t, 0.0 if i in missed else 1.0] for i, t in enumerate(jitter)]
    series.append({'labels': {'__name__': 'up', 'job': 'node', 'instance': instance}, 'points': ups})
    return series


# ---- what the exporter doesn't have ----

def _times(rng):
    return [BASE_MS + STEP_MS * i + rng.randrange(-5, 5) for i in range(POINTS)]


def _draw(rng, schema):
    """An observation's bucket index, of about 1 ms to 10 s."""
    value = math.exp(rng.gauss(-2.5, 1.2))
    return value, math.ceil(math.log2(value) * 2.0 ** schema)


def _native(rng, labels, schema_at, integer=True, gauge=False, negative=False):
    positive, below, zero, total, points = {}, {}, 0, 0.0, []
    schema = schema_at(0)
    for i, t in enumerate(_times(rng)):
        if gauge or rng.random() < 0.012 or schema_at(i) != schema:
            schema, positive, below, zero, total = schema_at(i), {}, {}, 0, 0.0
        for _ in range(rng.randrange(0, 6)):
            value, index = _draw(rng, schema)
            side = below if negative and rng.random() < 0.4 else positive
            side[index] = side.get(index, 0) + (1 if integer else rng.choice((1, 0.5, 2.25)))
            total += -value if side is below else value
        if rng.random() < 0.1:
            zero += 1
        if rng.random() < 0.01:
            points.append([t, STALE])
        elif rng.random() > 0.02:
            points.append([t, Histogram(schema, dict(positive), dict(below), zero, total, integer,
                                        gauge=gauge)])
    return {'labels': labels, 'points': points}


def _custom(rng, labels, bounds_at):
    bounds, counts, total, points = bounds_at(0), {}, 0.0, []
    for i, t in enumerate(_times(rng)):
        if bounds_at(i) != bounds or rng.random() < 0.01:
            bounds, counts, total = bounds_at(i), {}, 0.0
        for _ in range(rng.randrange(0, 5)):
            value = math.exp(rng.gauss(-2.5, 1.2))
            index = sum(b < value for b in bounds)
            counts[index] = counts.get(index, 0) + 1
            total += value
        points.append([t, Histogram(-53, dict(counts), {}, 0, total, custom=bounds)])
    return {'labels': labels, 'points': points}


def _classic(rng, name, labels, bounds):
    counts, total = [0] * (len(bounds) + 1), 0.0
    rows, sums, sizes = [[] for _ in counts], [], []
    for t in _times(rng):
        if rng.random() < 0.01:
            counts, total = [0] * len(counts), 0.0
        for _ in range(rng.randrange(0, 7)):
            value = math.exp(rng.gauss(-2.5, 1.2))
            total += value
            for k, bound in enumerate(bounds + [math.inf]):
                counts[k] += value <= bound
        for row, c in zip(rows, counts):
            row.append([t, float(c)])
        sums.append([t, total])
        sizes.append([t, float(counts[-1])])
    out = [{'labels': dict(labels, __name__=name + '_bucket', le=le), 'points': row, 'counter': True}
           for le, row in zip(['%g' % b for b in bounds] + ['+Inf'], rows)]
    out.append({'labels': dict(labels, __name__=name + '_sum'), 'points': sums, 'counter': True})
    out.append({'labels': dict(labels, __name__=name + '_count'), 'points': sizes, 'counter': True})
    return out


def _info(rng, name, labels, variants):
    """Info series: one variant at a time, 1 while it is."""
    out, cuts = [], sorted(rng.sample(range(1, POINTS), len(variants) - 1)) + [POINTS]
    begin, times = 0, _times(rng)
    for variant, end in zip(variants, cuts):
        points = [[t, 1.0] for t in times[begin:end]]
        if end < POINTS:
            points.append([times[end], STALE])
        out.append({'labels': dict(labels, __name__=name, **variant), 'points': points})
        begin = end
    return out


def _special(rng):
    values = [0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, 0.1, 1e16,
              123456789.125, 3.0, -2.5]
    out = []
    for name, choose in (('anything', lambda i: rng.choice(values)), ('constant', lambda i: 42.0),
                         ('growing', lambda i: i * 0.1), ('nan', lambda i: math.nan),
                         ('infinite', lambda i: math.inf), ('sparse', lambda i: float(i)),
                         ('switching', lambda i: float(i // 20 % 2))):
        points = [[t, choose(i)] for i, t in enumerate(_times(rng))
                  if name != 'sparse' or i % 13 == 0]
        out.append({'labels': {'__name__': 'special', 'case': name, 'job': 'lab'}, 'points': points})
    return out


def _mixed(rng, labels):
    native = _native(rng, labels, lambda i: 1)['points']
    return {'labels': labels, 'points': [
        [t, v if i // 25 % 2 else (STALE if i % 25 == 24 else float(i))] for i, (t, v) in enumerate(native)]}


def made(rng):
    series = []
    for instance in ('api-1:80', 'api-2:80'):
        common = {'job': 'api', 'instance': instance}
        for method, code in (('GET', '200'), ('GET', '500'), ('POST', '200')):
            labels = dict(common, method=method, code=code)
            schema = rng.choice((0, 1, 2, 3))
            series.append(_native(rng, dict(labels, __name__='rpc_duration_seconds'),
                                  lambda i, s=schema: s if i < 220 else s - 1))
            series += _classic(rng, 'http_duration_seconds', labels, [0.01, 0.05, 0.1, 0.5, 1, 5])
        series.append(_native(rng, dict(common, __name__='float_histogram'), lambda i: 2, integer=False))
        series.append(_native(rng, dict(common, __name__='gauge_histogram'), lambda i: 1, gauge=True,
                              negative=True))
        series.append(_native(rng, dict(common, __name__='signed_histogram'),
                              lambda i: 3 - i // 100, negative=True))
        bounds = ((0.01, 0.1, 1.0, 10.0), (0.05, 0.1, 0.5, 1.0))
        series.append(_custom(rng, dict(common, __name__='custom_histogram'),
                              lambda i: bounds[i > 170]))
        series.append(_mixed(rng, dict(common, __name__='mixed')))
        series += _info(rng, 'target_info', common, [{'version': v, 'zone': 'eu'} for v in ('1', '2', '3')])
        series += _info(rng, 'build_info', common, [{'revision': 'abc'}, {'revision': 'def'}])
    series.append(_custom(rng, {'__name__': 'custom_histogram', 'job': 'api', 'instance': 'api-3:80'},
                          lambda i: (0.01, 0.1, 1.0, 10.0)))
    # Both kinds under one name, as a server exposes while its clients move to native histograms.
    series += _classic(rng, 'moving_seconds', {'job': 'api'}, [0.1, 1, 10])
    series.append(_native(rng, {'__name__': 'moving_seconds', 'job': 'api'}, lambda i: 2))
    series += _special(rng)
    for pod in ('a', 'b', 'ü'):
        series.append({'labels': {'__name__': 'k8s.pod.cpu', 'k8s.pod': pod, 'job': 'lab'}, 'counter': True,
                       'points': [[t, i * 0.5] for i, t in enumerate(_times(rng))]})
    return series


def make(seed, exporter=None):
    """All series, ordered by labels. Of a node exporter to start, or else of the recording."""
    rng = random.Random(seed)
    texts = scraped(exporter, RECORDED) if exporter else recorded()
    assert texts, '%s is not installed' % exporter
    parsed = [parse(text) for text in texts]
    values, types = [v for v, _ in parsed], parsed[0][1]
    # Everything of the first instance; of the others what many expressions are about.
    series = _instance(rng, values, types, 'node-1:9100', lambda r, name: not name.startswith('go_'))
    for instance in ('node-2:9100', 'node-3:9100'):
        series += _instance(rng, values[rng.randrange(20):], types, instance, lambda r, name: re.match(
            'node_(cpu|load|memory_Mem|network_(rec|tr)|filesystem|disk|boot|time|schedstat)', name))
    series += made(rng)
    return sorted((s for s in series if s['points']), key=lambda s: sorted(s['labels'].items()))


def requests(series):
    """Bodies of remote write requests, in order of time, which every receiver takes.

    The first makes all series known in the order of their labels, in which Prometheus then reads them:
    which of equal values topk() takes, for one, depends on it.
    """
    known = [m.timeseries(one['labels'], [(BASE_MS - 3600000, STALE)]) for one in series]
    yield m.snappy(b''.join(known))
    def encode(t, v):
        if isinstance(v, Histogram):
            return v.encode(t)
        return m.sample(t, v)
    for begin in range(0, POINTS, SLICE):
        low, high = (begin * STEP_MS + BASE_MS - STEP_MS // 2, (begin + SLICE) * STEP_MS + BASE_MS - STEP_MS // 2)
        body = []
        for one in series:
            points = [p for p in one['points'] if low <= p[0] < high]
            # One request may not mix floats and histograms of a series, nor have a stale marker
            # between them: receivers append each kind for itself, which would be out of order.
            runs, only_floats = [], all(not isinstance(p[1], Histogram) for p in one['points'])
            for p in points:
                kind = only_floats or type(p[1])
                if not runs or runs[-1][0] != kind:
                    runs.append((kind, []))
                runs[-1][1].append(p)
            for k, (_, run) in enumerate(runs):
                while len(body) <= k:
                    body.append([])
                labels = b''.join(m.label(*pair) for pair in sorted(one['labels'].items()))
                body[k].append(m.field(1, labels + b''.join(encode(t, v) for t, v in run)))
        for part in body:
            yield m.snappy(b''.join(part))


if __name__ == '__main__':
    assert sys.argv[1:] == ['--record'], __doc__
    record('prometheus-node-exporter')
