#!/usr/bin/env python3
"""Random PromQL over real data, answered by a real Prometheus 3 and by Moraine: any difference is a
failure, which prints the expression and both answers. A third of the expressions is asked while the
data is in the ingester, a third when it is in the store, a third when it is compacted.

    promql_differential_test.py [--count N] [--seed N] [--only I] [--data FILE] [--failures-max N]
                                [--exporter PROGRAM]

Expression I of a seed is the same in every run over the same data; the data of a run that fails is
kept in a file that --data takes.
"""
import argparse
import json
import os
import pickle
import random
import re
import sys
import time
import traceback

import moraine as m
import promql_compare as compare
import promql_data as data
import promql_random

STEPS_S = (0.5, 5, 15, 30, 30, 60, 60, 61.5, 300, 900)
STEPS_MAX = 25
NATIVE = re.compile(r'rpc_duration|_histogram\b|mixed|moving_seconds\b')
INEXACT = re.compile(r'std(dev|var)|sin|cos|tan|exp|ln|log|\^')
JUMPS = re.compile(r' (==|!=|<|>|<=|>=|%) |floor|ceil|round|changes|resets|sgn|count_values')
ASK_AGAIN = 6  # of Prometheus, where it may answer in more than one way


def questions(seed, i, metrics):
    """Expression i, and how it is asked: [(path, parameters, the answer's order, what
    the topk() was of)]."""
    rng = random.Random('%d/%d' % (seed, i))
    generator = promql_random.Generator(rng, metrics, data.BASE_MS, data.END_MS)
    expression = generator.expression()
    order, inner = generator.order, generator.inner
    start = rng.randrange(data.BASE_MS - 600000, data.END_MS + 600000, 1 if rng.random() < 0.3 else data.STEP_MS)
    step = rng.choice(STEPS_S)
    steps = rng.randrange(1, STEPS_MAX if rng.random() < 0.95 else 10 * STEPS_MAX)
    end = start + int(steps * step * 1000) + rng.choice((0, 0, 250))
    more = [('lookback_delta', rng.choice(('1m', '30', '10m')))] if rng.random() < 0.1 else []
    instant = [('time', '%.3f' % (start / 1000))] + more
    asked = [('/api/v1/query', [('query', expression)] + instant, order, inner),
             ('/api/v1/query_range', [('query', expression), ('start', '%.3f' % (start / 1000)),
                                      ('end', '%.3f' % (end / 1000)), ('step', '%g' % step)] + more, order, inner)]
    if rng.random() < 0.1:
        asked.append(('/api/v1/query', [('query', generator.instant_only())] + instant, None, None))
    if rng.random() < 0.2:
        asked += [(path, [('query', expression)], None, None) for path in ('/api/v1/format_query', '/api/v1/parse_query')]
    return asked


def excused(expression, why):
    """What Prometheus itself gets wrong, or nobody right."""
    # It compares histograms with the empty buckets that their chunks happen to have.
    if NATIVE.search(expression) and re.search(r'[=!]=|changes|count_values', expression):
        return True
    # Where it needs no buckets, it knows of a reset only when its iterator passed the sample before.
    if why.startswith('warnings') and 'conflicting counter resets' in why and \
            re.search(r'timestamp|absent|histogram_(count|sum|avg)', expression):
        return True
    # Of two places that say the same the later is told; Moraine takes scalars before the vector that
    # they belong to.
    texts = re.sub(r' \(\d+:\d+\)', '', why).split('\n')
    if re.match('warnings|infos', why) and 'scalar(' in expression and \
            texts[0].split('want ')[-1].strip() == texts[-1].split('got ')[-1].strip():
        return True
    if INEXACT.search(expression) and JUMPS.search(expression):
        return True  # the last digits decide
    if len(INEXACT.findall(expression)) > 1 or re.search(r'std.*(time|ts_of)', expression):
        return True  # the tangent of what is as large as an exponential; deviations of times
    # timestamp() of a selector with @ reads what the offset selected, but where it was without one.
    return re.search(r'timestamp\([^)]*(offset.*@|@.*offset)', expression)


def tolerance(expression):
    """What a part that is good for nearly all digits may become where the rest cancels out."""
    if re.search(r'std(dev|var)\b', expression):
        return 1e-4  # of large values beside which their deviations are small
    if INEXACT.search(expression):
        return 1e-6  # Go has a mathematical library of its own
    return compare.TOLERANCE


def check(connections, question, totals):
    """None or a difference."""
    path, parameters, order, inner = question
    prometheus, moraine = connections
    method = 'GET' if len(parameters[0][1]) % 2 else 'POST'
    compare.tolerance = tolerance(parameters[0][1])
    want = prometheus.ask(method, path, parameters)
    got = moraine.ask(method, path, parameters)
    totals['asked'] += 1
    totals['answered'] += b'"metric"' in want[1] or b'"data":' in want[1] and b'"resultType"' not in want[1]
    why = compare.difference(want, got, order)
    if why is None and inner is not None and b'"metric"' in got[1]:
        why = compare.not_among(got, moraine.ask(method, path, [('query', inner)] + parameters[1:]))
    if why is None:
        return None
    # What depends on the order of a Go map comes out one way or another.
    varies = False
    for _ in range(ASK_AGAIN):
        again = prometheus.ask(method, path, parameters)
        if compare.difference(again, got, order) is None:
            return None
        varies = varies or compare.difference(want, again, order) is not None
    if varies or excused(parameters[0][1], why):
        totals['varied'] += 1
        return None
    return why


def work(options, ports, metrics, indices):
    """In a process of its own. Prints differences; returns the totals."""
    connections = [compare.Connection(port) for port in ports]
    totals = {'asked': 0, 'answered': 0, 'varied': 0, 'failed': 0}
    for i in indices:
        for question in questions(options.seed, i, metrics):
            path, parameters = question[:2]
            why = check(connections, question, totals)
            if why is not None:
                totals['failed'] += 1
                print('DIFFERENT seed %d expression %d %s?%s\n    %s\n    %s' % (
                    options.seed, i, path, '&'.join('%s=%s' % p for p in parameters[1:]),
                    parameters[0][1], why), flush=True)
            if totals['failed'] >= options.failures_max:
                return totals
    return totals


def in_processes(options, ports, metrics, indices):
    """Shares the work out to two processes, as there are two servers; sums what they return."""
    total, children = {}, []
    for k in range(2):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.write(write, json.dumps(work(options, ports, metrics, indices[k::2])).encode())
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                sys.stdout.flush()
                os._exit(status)
        os.close(write)
        children.append((pid, read))
    for pid, read in children:
        with os.fdopen(read, 'rb') as f:
            text = f.read()
        _, status = os.waitpid(pid, 0)
        assert status == 0 and text, 'a process that asks ended with status %d' % status
        for key, value in json.loads(text).items():
            total[key] = total.get(key, 0) + value
    return total


def load(options):
    if options.data and os.path.exists(options.data):
        with open(options.data, 'rb') as f:
            return pickle.load(f)
    series = data.make(options.seed, options.exporter)
    if options.data:
        with open(options.data, 'wb') as f:
            pickle.dump(series, f)
    return series


def run(options):
    series = load(options)
    metrics = promql_random.metrics_of(series)
    prometheus = compare.Prometheus()
    moraine = m.Moraine(None, '--limits', 'off')
    compare.send(series, prometheus, moraine)
    ports = prometheus.port, moraine.port
    indices = [options.only] if options.only is not None else list(range(options.count))
    total, third = {}, (len(indices) + 2) // 3
    for k, before in enumerate((lambda: None, moraine.flush, moraine.compact)):
        before()
        share = indices if options.only is not None else indices[k * third:(k + 1) * third]
        for key, value in in_processes(options, ports, metrics, share).items():
            total[key] = total.get(key, 0) + value
    moraine.stop()
    print('%d series, %d expressions of seed %d, %d queries: %d with something in the answer, %d that '
          'Prometheus answers in several ways, %d different' % (
              len(series), len(indices), options.seed, total['asked'], total['answered'], total['varied'],
              total['failed']))
    if total['failed'] and not options.data:
        options.data = '/tmp/promql-differential-%d.pickle' % os.getpid()
        with open(options.data, 'wb') as f:
            pickle.dump(series, f)
    if total['failed']:
        print('the data: --data ' + options.data)
    assert total['failed'] == 0
    if options.only is None:
        assert total['answered'] > total['asked'] / 2, 'most answers are empty: this tests little'
        assert total['varied'] <= total['asked'] / 50, 'too much is excused'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=8000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--only', type=int, help='this one expression')
    parser.add_argument('--data', help='a file with the data: read, or written when it does not exist')
    parser.add_argument('--failures-max', type=int, default=20)
    parser.add_argument('--exporter', help='a node exporter to start; else its recorded scrapes are the data')
    options = parser.parse_args()
    started = time.monotonic()
    run(options)
    print('ok (%.1f s)' % (time.monotonic() - started))


if __name__ == '__main__':
    main()
