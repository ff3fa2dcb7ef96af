#!/usr/bin/env python3
"""What a trace by its id costs a process that has just started, on a MinIO with 100 objects: two GETs for
each that has it, none for the others."""
import os
import random
import re
import time

import moraine as m
import traces_test as traces

OBJECTS = 100


def gets(moraine):
    total = 0
    for line in moraine.request('GET', '/metrics')[1].decode().splitlines():
        if line.startswith('moraine_store_request_duration_seconds_count') and 'op="get"' in line:
            total += int(float(line.rsplit(' ', 1)[1]))
    return total


def settled(moraine):
    """GETs, once footers were read and nothing goes on by itself."""
    seen = [-1]

    def same():
        last, seen[0] = seen[0], gets(moraine)
        if last < OBJECTS or last != seen[0]:
            time.sleep(0.5)
            return None
        return True
    m.wait_until('footers were read', same)
    return seen[0]


def test_a_look_up_asks_only_objects_that_have_the_trace():
    arguments = ['--limits', 'off', '--compactor.interval', '24h', '--ingester.lanes', '1',
                 '--store', 's3://%s/traces-%d' % (os.environ['MORAINE_TEST_S3_BUCKET'], time.time_ns()),
                 '--s3.endpoint', os.environ['MORAINE_TEST_S3_ENDPOINT']]
    rng, moraine = random.Random(7), m.Moraine(None, *arguments)
    now_ns, wanted = time.time_ns(), {}
    for i in range(OBJECTS):
        made, by_service = traces.make(rng, now_ns - (OBJECTS - i) * 60 * 10 ** 9, 100)
        for span in (span for spans in by_service.values() for span in spans):
            # So that an object is more than what is read of it to get at its footer.
            span['attributes'].append({'key': 'pad', 'value': {'stringValue': '%0400x' % rng.getrandbits(1600)}})
        if i == 50:
            wanted = dict([next(iter(made.items()))])
        if i == 90:  # its other half
            (trace, spans), = wanted.items()
            span = traces.span_of(rng, trace, 0, now_ns)
            span['spanId'] = '%016x' % (rng.getrandbits(63) + 1)
            spans[span['spanId']] = span
            by_service.setdefault(0, []).append(span)
        traces.push(moraine, traces.request(by_service))
        moraine.flush()
    moraine.stop()
    moraine = m.Moraine(None, *arguments)
    before = settled(moraine)
    (trace, spans), = wanted.items()
    found = traces.ids_of(traces.get(moraine, '/api/traces/%032x' % trace))
    assert sorted(found) == sorted(spans)
    cost = gets(moraine) - before
    assert 2 <= cost <= 4, cost
    traces.get(moraine, '/api/traces/%032x' % rng.getrandbits(127), 404)
    assert gets(moraine) - before <= cost + 2, 'a filter may be wrong once in a hundred objects, not more'
    print('a trace in 2 of %d objects: %d GETs; one in none: %d' % (OBJECTS, cost, gets(moraine) - before - cost))
    moraine.stop()


if __name__ == '__main__':
    m.main({k: v for k, v in globals().items() if not re.match('traces', k)})
