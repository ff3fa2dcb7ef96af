#!/usr/bin/env python3
"""What a compiler doesn't check: includes that go the wrong way, calls we don't make, long files."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMON = ['base', 'batch', 'config', 'net', 'store', 'block', 'manifest', 'tenant', 'cluster']
ROLES = ['gateway', 'ingester', 'querier', 'compactor']
BANNED = re.compile(r'\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|alloca|setjmp|longjmp)\s*\(')
LINES_MAX = 900


def files():
    listed = subprocess.run(['git', 'ls-files', '*.c', '*.h', '*.cc'], cwd=TOP, capture_output=True, text=True)
    found = listed.stdout.split()
    if not found:
        found = [os.path.relpath(os.path.join(d, f), TOP) for d, _, fs in os.walk(TOP)
                 for f in fs if f.endswith(('.c', '.h', '.cc')) and '/build/' not in d]
    return [f for f in found if not f.startswith(('tests/', 'bench/'))]


def may_include(path, included):
    """Folders of common/ see those before them, and the wire format above base/; roles see common/, proto/ and themselves; cli/ sees all."""
    here, there = path.split('/'), included.split('/')
    if there[0] not in ROLES + ['common', 'proto', 'cli']:
        return True
    if here[0] == 'common':
        if there[0] == 'proto':
            return there[1] == 'wire' and here[1] != 'base'
        return there[0] == 'common' and COMMON.index(there[1]) <= COMMON.index(here[1])
    if here[0] == 'proto':
        return there[0] == 'proto' or there[:2] == ['common', 'base']
    if here[0] in ROLES:
        return there[0] in ('common', 'proto', here[0])
    return True


def main():
    wrong = []
    for path in files():
        with open(os.path.join(TOP, path), encoding='utf-8') as f:
            lines = f.read().split('\n')
        if len(lines) > LINES_MAX:
            wrong.append('%s: %d lines; at most %d, or it is two things' % (path, len(lines), LINES_MAX))
        for number, line in enumerate(lines, 1):
            include = re.match(r'#include "([^"]+)"', line)
            if include and not may_include(path, include.group(1)):
                wrong.append('%s:%d: includes %s, which is not below it' % (path, number, include.group(1)))
            if BANNED.search(line.split('//')[0]) and not line.lstrip().startswith('*'):
                wrong.append('%s:%d: %s' % (path, number, BANNED.search(line).group(1)))
    print('\n'.join(wrong) if wrong else 'tidy')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
