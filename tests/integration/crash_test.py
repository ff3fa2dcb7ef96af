#!/usr/bin/env python3
"""kill -9 in a loop under load: every acknowledged sample is there afterwards, each once."""
import http.client
import os
import random
import threading
import time

import moraine as m

ROUNDS = int(os.environ.get('MORAINE_CRASH_ROUNDS', '50'))
WRITERS = 3
SERIES = 40


class Writer(threading.Thread):
    """Writes batches of one sample a series until the server dies; remembers what was answered."""

    def __init__(self, server, number, first_ms, acknowledged):
        super().__init__()
        self.server, self.number, self.time_ms = server, number, first_ms
        self.acknowledged = acknowledged
        self.stopping = False

    def run(self):
        while not self.stopping:
            self.time_ms += 1000
            batch = [({'__name__': 'crash_total', 'writer': str(self.number), 'i': str(i)},
                      [(self.time_ms, float(self.time_ms // 1000 * 100 + i))]) for i in range(SERIES)]
            try:
                status, body, _ = self.server.push(batch)
            except (OSError, http.client.HTTPException):
                return
            if status == 204 or status == 200:
                self.acknowledged.append((self.number, self.time_ms))
            elif status != 503:
                raise AssertionError('push answered %d %s' % (status, body[:200]))


def flush_until_death(server):
    try:
        server.request('POST', '/ingester/flush')
    except (OSError, http.client.HTTPException):
        pass


def check(server, acknowledged, first_ms, last_ms):
    got = {}
    window = last_ms - first_ms + 2000
    for series in server.query('crash_total[%dms]' % window, last_ms / 1000 + 1):
        values = series['values']
        times = [t for t, _ in values]
        assert times == sorted(set(times)), 'an instant twice in %s' % series['metric']
        got[int(series['metric']['writer']), int(series['metric']['i'])] = {
            round(t * 1000): float(v) for t, v in values}
    missing = 0
    for writer, time_ms in acknowledged:
        for i in range(SERIES):
            if got.get((writer, i), {}).get(time_ms) != float(time_ms // 1000 * 100 + i):
                missing += 1
    assert missing == 0, '%d of %d acknowledged samples are missing or wrong' % (
        missing, len(acknowledged) * SERIES)


def test_acknowledged_means_durable():
    rng = random.Random(7)
    acknowledged = []
    first_ms = next_ms = 1_700_000_000_000
    data = m.work_dir('crash')
    for number in range(ROUNDS):
        server = m.Moraine(data, '--limits', 'off')
        writers = [Writer(server, w, next_ms, acknowledged) for w in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(rng.uniform(0.02, 0.25))
        if number % 5 == 1:
            # Die in the middle of a flush, too.
            threading.Thread(target=flush_until_death, args=(server,), daemon=True).start()
            time.sleep(rng.uniform(0, 0.03))
        if number % 7 == 3:
            server.compact()
        server.kill()
        for writer in writers:
            writer.stopping = True
            writer.join()
        next_ms = max(w.time_ms for w in writers) + 1000
        if number % 10 == 9 or number == ROUNDS - 1:
            server = m.Moraine(data, '--limits', 'off')
            check(server, acknowledged, first_ms, next_ms)
            server.kill()
    print('%d rounds, %d acknowledged samples' % (ROUNDS, len(acknowledged) * SERIES))
    assert len(acknowledged) > ROUNDS, 'too little was written for the test to mean anything'


if __name__ == '__main__':
    m.main(globals())
