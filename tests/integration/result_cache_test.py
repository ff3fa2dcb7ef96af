#!/usr/bin/env python3
"""Range queries as dashboards ask them, again and again, shifted and overlapping, while late data arrives and data moves
to the store: with kept answers and without (Cache-Control: no-store) the body is the same, byte for byte."""
import json
import os
import random
import time
import urllib.parse

import moraine as m

SERIES, HOURS, SCRAPE = 24, 3, 15
NOW = int(time.time()) // 300 * 300
START = NOW - HOURS * 3600
EXPRESSIONS = [
    'requests_total',
    'rate(requests_total[2m])',
    'sum by (job) (rate(requests_total[5m]))',
    'sum(increase(requests_total{job="a"}[10m])) / 4',
    'temperature',
    'max_over_time(temperature[3m])',
    'avg_over_time(temperature[10m:1m])',
    'topk(3, temperature)',
    'quantile by (job) (0.9, temperature)',
    'histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))',
    'temperature > 30 and on (i) requests_total',
    'temperature / on (i, job) requests_total',
    'label_replace(temperature, "host", "h$1", "i", "(.*)")',
    'temperature offset 20m',
    'temperature offset -5m',
    'temperature - temperature @ %d' % (START + 3000),
    'temperature - temperature @ end()',
    'absent(temperature{i="nothing"})',
    'count_values("v", round(temperature / 20))',
    'rate(temperature[2m])',  # has an info: the name is no counter's
    'sort(temperature)',
    'temperature + on (job) temperature',  # fails: many to many
    'info(temperature)',
    'stddev(temperature)',
    'vector(time())',
    'scalar(requests_total{i="1"})',
]


class World:
    def __init__(self, *arguments):
        self.random = random.Random(4)
        self.server = m.Moraine(None, *arguments)
        self.seen = {}

    def value(self, name, i, time_s):
        if name == 'temperature':
            return (time_s // SCRAPE * 7 + i * 13) % 160 / 4
        return (time_s - START) // SCRAPE * (1 + i % 5)

    def labels(self, name, i):
        labels = {'__name__': name, 'i': str(i), 'job': 'ab'[i % 2]}
        return {**labels, 'le': ['1', '2', '4', '+Inf'][i % 4]} if name == 'latency_bucket' else labels

    def push(self, times, names=('requests_total', 'temperature', 'latency_bucket'), series=range(SERIES), shift=0):
        status, body, _ = self.server.push([
            (self.labels(name, i), [(round(t * 1000), self.value(name, i, t) + shift) for t in times])
            for name in names for i in series])
        assert status == 204, body

    def ask(self, expression, start, end, step, no_store, tenant=None):
        query = urllib.parse.urlencode(dict(query=expression, start=start, end=end, step=step))
        headers = {'Cache-Control': 'no-cache, no-store'} if no_store else {}
        if tenant:
            headers['X-Scope-OrgID'] = tenant
        status, body, _ = self.server.request('GET', '/api/v1/query_range?' + query, None, headers)
        return status, body

    def check(self, expression, start, end, step, tenant=None):
        kept = self.ask(expression, start, end, step, False, tenant)
        plain = self.ask(expression, start, end, step, True, tenant)
        assert kept == plain, '%s [%s, %s] by %s:\n%d %s\nnot\n%d %s' % (
            expression, start, end, step, kept[0], kept[1][:3000], plain[0], plain[1][:3000])

    def uses(self):
        """Requests since the last call, by what was known."""
        text = self.server.request('GET', '/metrics')[1].decode()
        now = {line.split('"')[1]: float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
               if line.startswith('moraine_result_cache_requests_total')}
        since = {k: v - self.seen.get(k, 0) for k, v in now.items() if v > self.seen.get(k, 0)}
        self.seen = now
        return since


def scrapes(start, end):
    return list(range(start, end, SCRAPE))


def test_kept_answers_are_evaluated_ones():
    world = World('--cache.results_bytes', '4MiB')
    rounds = int(os.environ.get('ROUNDS', '40'))
    world.push(scrapes(START, START + 3600))
    written = START + 3600
    late = 0
    for n in range(rounds):
        if n % 4 == 0:
            dashboard = world.random.sample(EXPRESSIONS, 5)
        if n % 4 == 3 and written < NOW - 900:
            world.push(scrapes(written, written + 600))
            written += 600
        for _ in range(12):
            step = world.random.choice([15, 60, 60, 60])
            end = written - written % step - step * world.random.randrange(3)
            start = end - step * world.random.randrange(8, 60)
            world.check(world.random.choice(dashboard), start + (7 if world.random.random() < 0.1 else 0), end, step)
            if world.random.random() < 0.15:  # late, of times between the scrapes, or of a new series
                late += 1  # no time twice
                at = world.random.randrange(START, written) // SCRAPE * SCRAPE + 4 + late / 1000
                world.push([at], series=[world.random.randrange(SERIES + 4)], shift=world.random.randrange(50) / 4)
        if n % 8 == 5:
            world.server.flush()
        if n % 16 == 13:
            world.server.compact()
    uses = world.uses()
    print(uses)
    assert uses['partial'] > rounds and uses['hit'] > rounds / 2, uses
    assert world.server.metric('moraine_result_cache_invalidations_total') > 0
    assert 0 < world.server.metric('moraine_result_cache_bytes') <= 4 << 20
    world.server.stop()


def test_what_is_known_is_not_evaluated_again():
    world = World()
    world.push(scrapes(START, NOW - 600))
    ask = lambda start, end, no_store=False, tenant=None, expression='sum by (job) (temperature)': json.loads(
        world.ask(expression, start, end, 60, no_store, tenant)[1])
    world.uses()
    first = ask(START + 600, START + 6000)
    assert world.uses() == {'miss': 1}
    assert ask(START + 600, START + 6000) == first
    assert ask(START + 1200, START + 3000)['status'] == 'success'
    assert world.uses() == {'hit': 2}
    ask(START + 900, START + 6300)
    assert world.uses() == {'partial': 1}
    # Flushing and merging change nothing.
    world.server.flush()
    world.server.compact()
    ask(START + 900, START + 6300)
    assert world.uses() == {'hit': 1}
    # Late data does, but not before it and not of other tenants.
    world.push([START + 4001], names=['temperature'])
    ask(START + 900, START + 3900)
    assert world.uses() == {'hit': 1}
    ask(START + 900, START + 6300)
    assert world.uses() == {'partial': 1}
    ask(START + 900, START + 6300, tenant='other')
    ask(START + 900, START + 6300, tenant='anonymous|other')
    assert world.uses() == {'miss': 2}
    ask(START + 900, START + 6300, tenant='anonymous|other')
    assert world.uses() == {'hit': 1}
    world.push([START + 4002], names=['temperature'])
    ask(START + 900, START + 6300, tenant='other')
    assert world.uses() == {'hit': 1}
    ask(START + 900, START + 6300, tenant='anonymous|other')
    assert world.uses() == {'partial': 1}
    # Neither kept nor looked for.
    ask(START + 600, START + 6000, no_store=True, expression='temperature')
    assert world.uses() == {}
    ask(START + 600, START + 6000, expression='temperature')
    assert world.uses() == {'miss': 1}
    # Nor what is of the last minutes.
    now = int(time.time())
    for _ in range(2):
        ask(now - 90, now + 600, expression='temperature * 2')
    assert 'hit' not in world.uses()
    world.server.stop()


def test_off_is_off():
    world = World('--cache.results_bytes', '0')
    world.push(scrapes(START, START + 3600))
    for _ in range(3):
        world.check('sum(temperature)', START, START + 3000, 60)
    assert world.uses() == {}
    assert world.server.metric('moraine_result_cache_bytes') == 0
    world.server.stop()


if __name__ == '__main__':
    m.main(globals())
