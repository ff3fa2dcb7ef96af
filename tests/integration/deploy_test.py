#!/usr/bin/env python3
"""The files in deploy/ do what they say: what the compose file starts in containers is started here
as processes, with the same configuration files."""
import os
import re
import subprocess
import time

import moraine as m

NOW = int(time.time() * 1000)
DEPLOY = os.path.join(m.SOURCE, 'deploy')


def test_the_example_configuration_runs_on_minio_with_its_two_tenants():
    environment = {'MORAINE_S3_ENDPOINT': os.environ['MORAINE_TEST_S3_ENDPOINT'],
                   'MORAINE_BUCKET': os.environ['MORAINE_TEST_S3_BUCKET']}
    checked = subprocess.run([m.BINARY, 'config', 'check', '--config', DEPLOY + '/example.yaml'],
                             env={**os.environ, **environment}, capture_output=True, text=True)
    assert checked.returncode == 0 and '2 tenants' in checked.stdout, checked
    server = m.Moraine(None, '--config', DEPLOY + '/example.yaml', env=environment)
    old = NOW - 30 * 86400 * 1000
    for tenant in ('team-a', 'team-b'):
        assert server.push([({'__name__': 'kept'}, [(old, 1.0), (NOW, 2.0)])], tenant)[0] == 204
    server.flush()
    server.compact()
    # 90 days are kept for one and 7 for the other.
    count = lambda tenant: len(server.query('kept[60d]', NOW / 1000, tenant)[0]['values'])
    assert (count('team-a'), count('team-b')) == (2, 1)
    server.stop()


def test_a_store_that_knows_signature_v2_only_keeps_data():
    arguments = ['--store', 's3://%s/v2-%d' % (os.environ['MORAINE_TEST_S3_BUCKET'], NOW),
                 '--s3.endpoint', os.environ['MORAINE_TEST_S3_ENDPOINT'], '--s3.signature', 'v2']
    server = m.Moraine(None, *arguments)
    assert server.push([({'__name__': 'x', 'i': str(i)}, [(NOW, 1.0)]) for i in range(100)])[0] == 204
    server.flush()
    server.compact()
    server.kill()
    server = m.Moraine(None, *arguments)
    assert len(server.query('x', NOW / 1000)) == 100
    server.stop()


def test_limits_are_taken_over_while_it_runs():
    config = os.path.join(m.work_dir('config'), 'moraine.yaml')

    def write(limit):
        with open(config, 'w') as f:
            f.write('overrides:\n  small:\n    limits:\n      label_names_max: %d\n' % limit)
    write(3)
    server = m.Moraine(None, '--config', config)
    series = [({'__name__': 'x', 'a': '1', 'b': '2', 'c': '3'}, [(NOW, 1.0)])]
    assert server.push(series, 'other')[0] == 204
    status, body, _ = server.push(series, 'small')
    assert status == 400 and b'limits.label_names_max' in body, (status, body)
    write(10)
    server.process.send_signal(m.signal.SIGHUP)
    m.wait_until('the new limit holds', lambda: server.push(series, 'small')[0] == 204, 20)
    server.stop()


def test_errors_in_the_configuration_say_where_and_what():
    config = os.path.join(m.work_dir('config'), 'moraine.yaml')
    for text, said in [
        ('memory:\n  limit: lots\n', r'moraine.yaml:2: memory.limit: "lots" is not a size'),
        ('memry:\n  limit: 1\n', r'moraine.yaml:2: there is no setting named "memry.limit"'),
        ('store: s3://${NOT_SET_ANYWHERE}/x\n', r'moraine.yaml:1: environment variable NOT_SET_ANYWHERE'),
        ('a: [1\n', r'moraine.yaml:2: '),
        ('overrides:\n  "../x":\n    retention.metrics: 1d\n', r'moraine.yaml:3: overrides'),
        ('log-level: loud\n', r'moraine.yaml:1: log-level: "loud" is not one of debug, info'),
    ]:
        with open(config, 'w') as f:
            f.write(text)
        got = subprocess.run([m.BINARY, 'config', 'check', '--config', config], capture_output=True, text=True)
        assert got.returncode == 1 and re.search(said, got.stderr), (text, got)


def test_the_configuration_reference_is_the_programs_own():
    printed = subprocess.run([m.BINARY, 'config', 'docs'], capture_output=True, text=True).stdout
    with open(os.path.join(m.SOURCE, 'docs/configuration.md')) as f:
        assert f.read() == printed, 'docs/configuration.md: write it anew with `moraine config docs`'


def test_everybody_may_not_reach_it_unless_that_is_said():
    server = m.Moraine(None, '--http', '0.0.0.0:0', wait=False)
    assert server.process.wait(20) == 1
    assert '--auth none' in server.log_text()


if __name__ == '__main__':
    m.main(globals())
