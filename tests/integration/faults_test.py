#!/usr/bin/env python3
"""A full disk, a damaged log, two processes on one directory, and a process over its memory."""
import glob
import os
import subprocess
import threading
import time

import moraine as m

NOW = int(time.time() * 1000)


def batch(first, count, time_ms, value=1.0, width=20):
    return [({'__name__': 'fault', 'i': '%d' % i, 'pad': 'p%d' % i * width}, [(time_ms, value)])
            for i in range(first, first + count)]


def test_a_full_disk_refuses_and_loses_nothing():
    disk = m.work_dir('disk')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk], check=True)
    try:
        store = m.work_dir('store')
        arguments = ['--store', 'file://' + store, '--limits', 'off', '--ingester.lanes', '1']
        server = m.Moraine(os.path.join(disk, 'data'), *arguments)
        acknowledged, refused, number = [], 0, 0
        filler = os.path.join(disk, 'filler')

        def push():
            nonlocal refused, number
            number += 1
            status, body, headers = server.push(batch(number * 100, 100, NOW, width=200))
            if status == 204:
                acknowledged.append(number)
            else:
                assert status == 503 and headers['Retry-After'], (status, body)
                assert b'space' in body, body
                refused += 1

        for _ in range(20):
            push()
        with open(filler, 'wb') as f:
            free = os.statvfs(disk)
            try:
                f.write(b'\0' * (free.f_bavail * free.f_frsize))
            except OSError:
                pass
        # What the log has reserved is filled first.
        for _ in range(2000):
            if refused == 5:
                break
            push()
        assert refused == 5, 'the disk was never full'
        os.unlink(filler)
        before = len(acknowledged)
        for _ in range(20):
            push()
        assert len(acknowledged) == before + 20, 'it did not resume when there was room again'
        want = len(acknowledged) * 100
        count = lambda: int(server.query('count(fault)', NOW / 1000)[0]['value'][1])
        assert count() == want, (count(), want)
        server.kill()
        server = m.Moraine(server.data, *arguments)
        assert count() == want, (count(), want)
        server.stop()
    finally:
        m._stop_all()
        subprocess.run(['umount', '-l', disk], check=True)


def test_a_damaged_log_replays_what_is_whole():
    server = m.Moraine(None, '--ingester.lanes', '1', '--limits', 'off')
    for i in range(50):
        assert server.push(batch(i * 20, 20, NOW))[0] == 204
    server.kill()
    logs = sorted(glob.glob(server.data + '/**/*.wal', recursive=True), key=os.path.getsize)
    assert logs, 'no log found in %s' % os.listdir(server.data)
    with open(logs[-1], 'r+b') as f:
        whole = f.read()
        used = len(whole.rstrip(b'\0'))
        f.seek(used // 2)
        f.write(bytes(b ^ 0x55 for b in whole[used // 2:used // 2 + 8]))
    server = m.Moraine(server.data, '--ingester.lanes', '1', '--limits', 'off')
    count = int(server.query('count(fault)', NOW / 1000)[0]['value'][1])
    assert 500 <= count < 1000, count
    assert server.metric('moraine_wal_corruptions_total') >= 1
    assert 'level=error' in server.log_text()
    assert server.push(batch(5000, 20, NOW))[0] == 204
    server.stop()


def test_a_torn_tail_is_cut_off_and_said_so():
    server = m.Moraine(None, '--ingester.lanes', '1', '--limits', 'off')
    for i in range(10):
        assert server.push(batch(i * 20, 20, NOW))[0] == 204
    server.kill()
    log = sorted(glob.glob(server.data + '/**/*.wal', recursive=True), key=os.path.getsize)[-1]
    with open(log, 'r+b') as f:
        used = len(f.read().rstrip(b'\0'))
        f.truncate(used - 5)
    server = m.Moraine(server.data, '--ingester.lanes', '1', '--limits', 'off')
    count = int(server.query('count(fault)', NOW / 1000)[0]['value'][1])
    assert 180 <= count < 200, count
    server.stop()


def test_a_second_process_on_one_directory_refuses_to_start():
    server = m.Moraine()
    second = m.Moraine(server.data, wait=False)
    assert second.process.wait(20) != 0
    assert str(server.process.pid) in second.log_text(), second.log_text()
    assert server.push(batch(0, 1, NOW))[0] == 204
    server.stop()


def test_memory_stays_inside_its_limit():
    limit = 96 << 20
    server = m.Moraine(None, '--memory.limit', str(limit), '--limits', 'off')
    outcomes, stop = {}, threading.Event()

    def write(number):
        i = 0
        while not stop.is_set():
            i += 1
            try:
                status = server.push(batch((number * 1000 + i) * 2000, 2000, NOW))[0]
            except OSError:
                status = 'closed'
            outcomes[status] = outcomes.get(status, 0) + 1

    def ask():
        while not stop.is_set():
            server.get_raw('/api/v1/query', query='sum by (i) (fault)', time=str(NOW / 1000))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)] + [threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    peak = 0
    for _ in range(200):
        time.sleep(0.1)
        peak = max(peak, server.rss_bytes())
    stop.set()
    for thread in threads:
        thread.join()
    print('peak %d MiB of %d, answers %s' % (peak >> 20, limit >> 20, outcomes))
    assert set(outcomes) <= {204, 503}, outcomes
    assert outcomes[204] > 20
    assert peak < limit * 1.5 + (24 << 20), '%d MiB' % (peak >> 20)
    server.kill()
    server = m.Moraine(server.data, '--memory.limit', str(limit), '--limits', 'off')
    assert server.rss_bytes() < limit * 1.5 + (24 << 20)
    server.stop(120)


if __name__ == '__main__':
    m.main(globals())
