"""What the tests of this folder share: a Moraine under test, remote_write by hand, queries.

Python's standard library only. Servers bind to 127.0.0.1 and are stopped by their pid.
"""
import atexit
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

SOURCE = os.environ.get('MORAINE_SOURCE_DIR') or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('MORAINE_BUILD_DIR') or os.path.join(SOURCE, 'build/release')
BINARY = os.environ.get('MORAINE_BINARY', os.path.join(BUILD, 'moraine'))
_running = []
_logs = set()


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def work_dir(name='moraine'):
    path = tempfile.mkdtemp(prefix=name + '-')
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@atexit.register
def _stop_all():
    for process in list(_running):
        if process.poll() is None:
            process.kill()
            process.wait()


@atexit.register
def _remove_logs():
    for path in _logs:
        if os.path.exists(path):
            os.unlink(path)


def run(argv, **options):
    """Starts a process that is stopped with the test at the latest."""
    process = subprocess.Popen(argv, **options)
    _running.append(process)
    return process


def wait_until(what, check, seconds=60):
    """Calls check() until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError('timed out after %d s waiting until %s' % (seconds, what))
        time.sleep(0.05)


class Moraine:
    def __init__(self, data=None, *arguments, env=None, wait=True, binary=None, wrapper=()):
        self.data = data or work_dir()
        os.makedirs(self.data, exist_ok=True)
        self.log_path = os.path.join(self.data, '..', os.path.basename(self.data) + '.log')
        self.log = open(self.log_path, 'ab')
        _logs.add(self.log_path)
        # Many run beside each other, so that none takes the ports that OTLP has by default.
        own_port = [part for flag in ('--otlp-http', '--otlp-grpc') if flag not in arguments
                    for part in (flag, 'off')]
        self.process = run(list(wrapper) + [binary or BINARY, '--data', self.data, '--http', '127.0.0.1:0',
                            *own_port, *arguments],
                           stdout=subprocess.PIPE, stderr=self.log,
                           env={**os.environ, **(env or {})})
        self.port = None
        if wait:
            self.wait_ready()

    def wait_ready(self):
        for line in self.process.stdout:
            found = re.search(rb'https?://[^:/]+:(\d+)/api/v1/push', line)
            if found:
                self.port = int(found.group(1))
            if line.strip().startswith(b'its own state'):
                return self
        raise AssertionError('moraine ended with %s:\n%s' % (self.process.wait(), self.log_text()))

    def log_text(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()[-8000:]

    @property
    def url(self):
        return 'http://127.0.0.1:%d' % self.port

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds=60):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process.stdout.close()
        assert status == 0, 'moraine ended with %s:\n%s' % (status, self.log_text())

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def push(self, series, tenant=None, **headers):
        return self.push_bytes(snappy(write_request(series)), tenant, **headers)

    def push_bytes(self, body, tenant=None, **more):
        headers = {'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'snappy',
                   'X-Prometheus-Remote-Write-Version': '0.1.0', **more}
        if tenant is not None:
            headers['X-Scope-OrgID'] = tenant
        return self.request('POST', '/api/v1/push', body, headers)

    def get(self, path, tenant=None, **parameters):
        """A successful answer's `data`."""
        status, body, _ = self.get_raw(path, tenant, **parameters)
        assert status == 200, '%s: %d %s' % (path, status, body[:500])
        answer = json.loads(body)
        assert answer['status'] == 'success', answer
        return answer['data']

    def get_raw(self, path, tenant=None, **parameters):
        pairs = [(k, v) for k, vs in parameters.items()
                 for v in (vs if isinstance(vs, list) else [vs])]
        headers = {'X-Scope-OrgID': tenant} if tenant is not None else {}
        return self.request('GET', path + ('?' + urllib.parse.urlencode(pairs) if pairs else ''),
                            None, headers)

    def query(self, expression, time_s, tenant=None):
        return self.get('/api/v1/query', tenant, query=expression, time='%.3f' % time_s)['result']

    def query_range(self, expression, start, end, step, tenant=None):
        return self.get('/api/v1/query_range', tenant, query=expression, start='%.3f' % start,
                        end='%.3f' % end, step=step)['result']

    def flush(self):
        status, body, _ = self.request('POST', '/ingester/flush', timeout=300)
        assert status == 204, body

    def compact(self):
        status, body, _ = self.request('POST', '/compactor/run', timeout=300)
        assert status == 204, body

    def metric(self, name):
        """The sum of one of Moraine's own metrics over its labels."""
        total = 0.0
        for line in self.request('GET', '/metrics')[1].decode().splitlines():
            if re.match(re.escape(name) + r'(\{| )', line):
                total += float(line.rsplit(' ', 1)[1])
        return total

    def rss_bytes(self):
        with open('/proc/%d/status' % self.process.pid) as f:
            return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) * 1024


# ---- remote_write 1.0 by hand ----

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def label(name, value):
    to_bytes = lambda s: s if isinstance(s, bytes) else s.encode()
    return field(1, field(1, to_bytes(name)) + field(2, to_bytes(value)))


def sample(time_ms, value):
    bits = value if isinstance(value, bytes) else struct.pack('<d', value)
    return field(2, b'\x09' + bits + b'\x10' + varint(time_ms))


def timeseries(labels, samples):
    pairs = sorted(labels.items()) if isinstance(labels, dict) else labels
    return field(1, b''.join(label(k, v) for k, v in pairs) +
                 b''.join(sample(t, v) for t, v in samples))


def write_request(series):
    """series: [(labels, [(time_ms, value)])]"""
    return b''.join(timeseries(labels, samples) for labels, samples in series)


def snappy(data):
    """The block format with literals only."""
    out = bytearray(varint(len(data)))
    for i in range(0, len(data), 65536):
        chunk = data[i:i + 65536]
        n = len(chunk) - 1
        out += bytes([n << 2]) if n < 60 else bytes([61 << 2]) + struct.pack('<H', n)
        out += chunk
    return bytes(out)


def main(tests):
    """Runs functions named test_*, all or those named on the command line; says which failed."""
    chosen = sys.argv[1:]
    functions = [(n, f) for n, f in tests.items() if n.startswith('test_') and callable(f)]
    failed = 0
    for name, function in functions:
        if chosen and name not in chosen:
            continue
        started = time.monotonic()
        try:
            function()
            print('ok      %s (%.1f s)' % (name, time.monotonic() - started), flush=True)
        except Exception as error:
            import traceback
            traceback.print_exc()
            print('FAILED  %s: %s' % (name, error), flush=True)
            failed += 1
        _stop_all()
        _running.clear()
    sys.exit(1 if failed else 0)
