"""A real Prometheus 3 beside Moraine, with the same data, and whether two answers of theirs agree."""
import http.client
import json
import os
import re
import subprocess
import urllib.parse

import moraine as m
import promql_data

FEATURES = ('promql-experimental-functions,promql-delayed-name-removal,promql-binop-fill-modifiers,'
            'promql-per-step-stats')
TOLERANCE = 1e-12  # of sums whose order isn't defined, of functions whose last bit a library chooses


class Prometheus:
    """A Prometheus 3 that scrapes nothing and takes remote write."""

    def __init__(self):
        here = os.path.dirname(os.path.abspath(__file__))
        self.binary, self.promtool = subprocess.run([os.path.join(here, 'prometheus3')], check=True,
                                                    stdout=subprocess.PIPE, text=True).stdout.split()
        folder, self.port = m.work_dir('prometheus3'), m.free_port()
        config = os.path.join(folder, 'prometheus.yml')
        with open(config, 'w') as f:
            f.write('global: {scrape_interval: 1h}\n')
        # One long block, so that nothing is compacted, in which histograms would lose what they know
        # about counter resets.
        m.run([self.binary, '--config.file=' + config, '--storage.tsdb.path=' + os.path.join(folder, 'data'),
               '--web.listen-address=127.0.0.1:%d' % self.port, '--web.enable-remote-write-receiver',
               '--storage.tsdb.min-block-duration=1d', '--storage.tsdb.retention.time=100y',
               '--enable-feature=' + FEATURES], stderr=open(os.path.join(folder, 'log'), 'w'),
              cwd=folder)  # where no UI is looked for
        self.url = 'http://127.0.0.1:%d' % self.port
        m.wait_until('Prometheus is ready', self.ready)

    def ready(self):
        try:
            return Connection(self.port).ask('GET', '/-/ready', {})[0] == 200
        except OSError:
            return False


class Connection:
    """To one server, kept alive."""

    def __init__(self, port):
        self.http = http.client.HTTPConnection('127.0.0.1', port, timeout=120)

    def ask(self, method, path, parameters):
        text = urllib.parse.urlencode(parameters, doseq=True)
        if method == 'GET':
            self.http.request('GET', path + '?' + text)
        else:
            self.http.request('POST', path, text, {'Content-Type': 'application/x-www-form-urlencoded'})
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def write(self, path, body):
        self.http.request('POST', path, body, {
            'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'snappy',
            'X-Prometheus-Remote-Write-Version': '0.1.0'})
        answer = self.http.getresponse()
        text = answer.read()
        assert answer.status // 100 == 2, 'remote write: %d %s' % (answer.status, text[:500])


def send(series, prometheus, moraine):
    """The same requests to both."""
    receivers = (Connection(prometheus.port), '/api/v1/write'), (Connection(moraine.port), '/api/v1/push')
    for body in promql_data.requests(series):
        for connection, path in receivers:
            connection.write(path, body)


# ---- answers ----

tolerance = TOLERANCE  # what counts in the process that compares


def _number(want, got):
    if want == got:
        return True
    a, b = float(want), float(got)
    if abs(a) < 1e-20 and abs(b) < 1e-20:
        return True  # what is left of nothing by rounding
    return a == b or a != a and b != b or abs(a - b) <= tolerance * max(abs(a), abs(b))


def _numbers(want, got):
    return len(want) == len(got) and all(map(_number, want, got))


def _point(want, got):
    """[time, "value"] or [time, {histogram}]"""
    if want == got:
        return True
    if want[0] != got[0] or isinstance(want[1], str) != isinstance(got[1], str):
        return False
    if isinstance(want[1], str):
        return _number(want[1], got[1])
    w, g = want[1], got[1]
    # 0 times infinity is one of those, too.
    buckets = lambda h: [b for b in h.get('buckets') or [] if b[3] != 'NaN']
    if w['count'] == 'NaN':
        return g['count'] == 'NaN'  # so is each bucket, and Prometheus has some that were empty
    most = max((abs(float(b[3])) for b in buckets(w)), default=0)
    return (_number(w['count'], g['count']) and _number(w['sum'], g['sum']) and
            len(buckets(w)) == len(buckets(g)) and
            all(a[0] == b[0] and _numbers(a[1:3], b[1:3]) and _bucket(a[3], b[3], most)
                for a, b in zip(buckets(w), buckets(g))))


def _bucket(want, got, most):
    """One of a histogram, which differences may have left next to nothing in."""
    return _number(want, got) or abs(float(want) - float(got)) <= tolerance * most


def _series(want, got):
    if want == got:
        return True
    if want['metric'] != got['metric'] or set(want) != set(got):
        return False
    for key in ('value', 'histogram'):
        if key in want and not _point(want[key], got[key]):
            return False
    for key in ('values', 'histograms'):
        if key in want and not (len(want[key]) == len(got[key]) and all(map(_point, want[key], got[key]))):
            return False
    return True


def _labels(series):
    return sorted(series['metric'].items())


def _result(want, got, order):
    if want['resultType'] != got['resultType']:
        return 'another type of result'
    w, g = want['result'], got['result']
    if want['resultType'] in ('scalar', 'string'):
        return None if (want['resultType'] == 'scalar' and _point(w, g)) or w == g else 'another value'
    if order == 'top':
        return _values_by_time(w, g)
    if len(w) != len(g):
        return '%d series instead of %d' % (len(g), len(w))
    if order == 'value' and want['resultType'] == 'vector':
        values = [[s['value'][1] for s in v] for v in (w, g)]
        if not _numbers(*values):
            return 'another order: want %s\n    got  %s' % tuple(v[:30] for v in values)
    if order == 'labels' and len(set(frozenset(s['metric']) for s in w)) > 1:
        order = None  # a label that some haven't is nowhere in Prometheus' order
    if order != 'labels' or want['resultType'] != 'vector':
        w, g = sorted(w, key=_labels), sorted(g, key=_labels)
    for a, b in zip(w, g):
        if not _series(a, b):
            return 'want %s\n    got  %s' % _part(a, b)
    return None


def _points(result):
    """[(labels, time, value)] of floats."""
    return [(_labels(s), t, v) for s in result for t, v in ([s['value']] if 'value' in s else s.get('values', []))]


def _values_by_time(want, got):
    """Which of equal values topk() takes is not said: what must be there is the values."""
    by_value = lambda p: (p[0], p[1] != p[1], 0 if p[1] != p[1] else p[1])
    w, g = (sorted(((t, float(v)) for _, t, v in _points(result)), key=by_value) for result in (want, got))
    if len(w) == len(g) and all(a[0] == b[0] and _number(a[1], b[1]) for a, b in zip(w, g)):
        return None
    return 'other values: want %s\n    got  %s' % (w[:20], g[:20])


def not_among(got, inner):
    """None, or what of the answer `got` is not in the answer `inner`, of which it should be a part."""
    inner = json.loads(inner[1])
    if 'data' not in inner:
        return None  # series that are equal without their names, of which topk() left one
    known = {(str(labels), t): v for labels, t, v in _points(inner['data']['result'])}
    for labels, t, v in _points(json.loads(got[1])['data']['result']):
        if not _number(known.get((str(labels), t), '-7e-77'), v):
            return 'this was made up: %s at %s is %s' % (labels, t, v)
    return None


def _part(want, got):
    """Where two series part, short enough to print."""
    if want['metric'] == got['metric'] and set(want) == set(got):
        for key in ('values', 'histograms'):
            if key in want and len(want[key]) == len(got[key]):
                for a, b in zip(want[key], got[key]):
                    if not _point(a, b):
                        return (json.dumps([want['metric'], a])[:1500], json.dumps([got['metric'], b])[:1500])
    return json.dumps(want)[:1500], json.dumps(got)[:1500]


def _apart(want, got):
    """Two texts, or trees as such, from shortly before where they part."""
    w, g = (x if isinstance(x, str) else json.dumps(x, sort_keys=True) for x in (want, got))
    at = max(0, len(os.path.commonprefix([w, g])) - 100)
    return w[at:at + 400], g[at:at + 400]


def _texts(want, got):
    """Of warnings or infos. Past ten of them Prometheus picks some at random."""
    if len(want) > 10 and len(got) == len(want):
        return True
    # histogram_quantiles() doubles the number with each step.
    some = lambda text: re.sub(r'over \d+ samples', 'over some samples', text)
    plain = lambda texts: sorted(re.sub(r'(\d\.\d{12})\d+', r'\1', some(text)) for text in texts)
    return plain(want) == plain(got)


def _plain(text):
    """An error without its position, as Moraine gives line and column where Prometheus gives bytes, and
    without the two series of many that it names."""
    text = re.sub(r'^(invalid parameter "query": )\d+:\d+: (parse error: )?', r'\1', text or '')
    if text.startswith('found duplicate series'):
        text = re.sub(r'\{[^{}]*\}', '{}', text)
    return re.sub(r'(Scalar value [-+]?\d\.\d{9})\d*', r'\1', text)


def _about_mixed(want, got):
    """Whether only what is said of histograms that are aggregated with floats, which gives nothing,
    differs: there it counts which comes first."""
    ignored = ('during aggregation', 'during histogram aggregation', 'vector contains a mix of histograms')
    some = lambda answer, key: [t for t in answer.get(key, []) if not any(i in t for i in ignored)]
    mixed = any('mix of histograms and floats' in t for t in want.get('warnings', []))
    return mixed and all(len(want.get(key, [])) > 10 or _texts(some(want, key), some(got, key))
                         for key in ('warnings', 'infos'))


def difference(want, got, order=None):
    """None, or in what the two (status, body) are not the same. What they are ordered by: "value" and
    "labels" as with sort() and sort_by_label(), "top" as topk() selects."""
    if want == got:
        return None
    if want[0] == 500 and b'unsupported value' in want[1]:
        return None  # Prometheus has no JSON for a fill value of NaN
    if want[0] != got[0]:
        return 'status %d instead of %d: want %s\n    got %s' % (got[0], want[0], want[1][:600], got[1][:600])
    w, g = json.loads(want[1]), json.loads(got[1])
    for key in ('status', 'errorType', 'error'):
        if _plain(w.get(key)) != _plain(g.get(key)):
            return '%s: want %s\n    got  %s' % (key, w.get(key), g.get(key))
    if _about_mixed(w, g):
        return None if 'data' not in w else _result(w['data'], g['data'], order)
    for key in ('warnings', 'infos'):
        if not _texts(w.get(key, []), g.get(key, [])):
            return '%s: want %s\n    got  %s' % (key, sorted(w.get(key, [])), sorted(g.get(key, [])))
    if 'data' not in w:
        return None
    if not isinstance(w['data'], dict) or 'resultType' not in w['data']:
        return None if w['data'] == g['data'] else 'want %s\n    got  %s' % _apart(w['data'], g['data'])
    return _result(w['data'], g['data'], order)
