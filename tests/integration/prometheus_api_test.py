#!/usr/bin/env python3
"""Prometheus' HTTP API beside queries: label names and values, series, and what is wrong with such
requests. What Moraine answers is what a real Prometheus 3 with the same data answers, before and after
a flush."""
import itertools
import json
import random
import re

import moraine as m
import promql_compare as compare
import promql_data as data
import promql_random

ROUNDS = 400


def start():
    prometheus, moraine = compare.Prometheus(), m.Moraine(None, '--limits', 'off')
    series = data.make(1)
    compare.send(series, prometheus, moraine)
    return prometheus, moraine, promql_random.metrics_of(series)


def selectors(generator, rng):
    return [generator.selector(generator.one(generator.metrics), False) for _ in range(rng.choice((1, 1, 1, 2, 3)))]


def ask_both(connections, method, path, parameters, change=lambda answer: answer):
    want, got = (change(c.ask(method, path, parameters)) for c in connections)
    why = compare.difference(want, got)
    assert why is None, '%s %s: %s' % (path, parameters, why)
    return want


def in_order(answer):
    """Series, which come in none."""
    status, body = answer
    body = json.loads(body)
    if isinstance(body.get('data'), list):
        body['data'].sort(key=lambda s: sorted(s.items()))
    return status, json.dumps(body).encode()


def counted(answer):
    """With a limit it is not said which: Prometheus takes some before it sorts them."""
    status, body = answer
    body = json.loads(body)
    body['data'] = [None for _ in body['data']]
    return status, json.dumps(body).encode()


def check_metadata_queries(prometheus, moraine, metrics, rng):
    connections = [compare.Connection(s.port) for s in (prometheus, moraine)]
    generator = promql_random.Generator(rng, metrics, data.BASE_MS, data.END_MS)
    generator.focus = generator.metrics[0]
    for i in range(ROUNDS):
        matches = [('match[]', s) for s in selectors(generator, rng)]
        method = rng.choice(('GET', 'POST'))
        ask_both(connections, method, '/api/v1/series', matches, in_order)
        ask_both(connections, method, '/api/v1/labels', matches if i % 2 else [])
        label = rng.choice(('__name__', 'instance', 'le', 'job', 'none', 'device'))
        ask_both(connections, 'GET', '/api/v1/label/%s/values' % label, matches if i % 3 else [])
        limit = [('limit', rng.choice('0123456'))]
        ask_both(connections, 'GET', '/api/v1/label/%s/values' % label, limit, counted)
        ask_both(connections, 'GET', '/api/v1/labels', limit, counted)
    # A name that a path can't have is escaped the way the metric parsers do it.
    ask_both(connections, 'GET', '/api/v1/label/U__k8s_2e_pod/values', [])


def check_errors(prometheus, moraine):
    connections = [compare.Connection(s.port) for s in (prometheus, moraine)]
    # What is wrong with a parameter is said in other words.
    plain = lambda answer: (answer[0], re.sub(rb'"error":.*', b'"error":"..."}', answer[1]))
    for path, parameters in itertools.product(
            ('/api/v1/series', '/api/v1/labels', '/api/v1/label/job/values'),
            ([], [('match[]', '{')], [('match[]', '{job=""}')], [('match[]', '{job=~".*"}')], [('match[]', 'up'), ('start', 'x')],
             [('match[]', 'up'), ('end', '1e400')], [('match[]', 'up'), ('limit', '-1')], [('match[]', 'up'), ('limit', 'x')],
             [('match[]', 'rate(up[5m])')], [('match[]', '')])):
        ask_both(connections, 'GET', path, parameters, plain)


def check_answers(prometheus, moraine, metrics, rng):
    check_metadata_queries(prometheus, moraine, metrics, rng)
    check_errors(prometheus, moraine)


def test_label_and_series_queries():
    prometheus, moraine, metrics = start()
    rng = random.Random(1)
    check_answers(prometheus, moraine, metrics, rng)
    moraine.flush()
    check_answers(prometheus, moraine, metrics, rng)


if __name__ == '__main__':
    m.main(globals())
