"""OTLP's messages by hand: what a test says in Python lists, as protobuf and as JSON.

A message is a list of (name, value); a value is a number, a text, bytes, a list of values, or a message
again. FIELDS says how each name is encoded."""
import base64
import json
import struct

import moraine as m

# name: (number, kind[, kinds of message within]); names mean the same in every message but these.
KEY_VALUE = {'key': (1, 'text'), 'value': (2, 'any')}
RESOURCE = {'attributes': (1, KEY_VALUE)}
SCOPE = {'name': (1, 'text'), 'version': (2, 'text'), 'attributes': (3, KEY_VALUE)}
EXEMPLAR = {'timeUnixNano': (2, 'fixed64'), 'asDouble': (3, 'double'), 'spanId': (4, 'id'), 'traceId': (5, 'id'),
            'asInt': (6, 'fixed64'), 'filteredAttributes': (7, KEY_VALUE)}
NUMBER = {'startTimeUnixNano': (2, 'fixed64'), 'timeUnixNano': (3, 'fixed64'), 'asDouble': (4, 'double'),
          'exemplars': (5, EXEMPLAR), 'asInt': (6, 'fixed64'), 'attributes': (7, KEY_VALUE), 'flags': (8, 'varint')}
HISTOGRAM = {'startTimeUnixNano': (2, 'fixed64'), 'timeUnixNano': (3, 'fixed64'), 'count': (4, 'fixed64'),
             'sum': (5, 'double'), 'bucketCounts': (6, 'packed64'), 'explicitBounds': (7, 'packed_double'),
             'exemplars': (8, EXEMPLAR), 'attributes': (9, KEY_VALUE), 'flags': (10, 'varint')}
BUCKETS = {'offset': (1, 'zigzag'), 'bucketCounts': (2, 'packed_varint')}
EXPONENTIAL = {'attributes': (1, KEY_VALUE), 'startTimeUnixNano': (2, 'fixed64'), 'timeUnixNano': (3, 'fixed64'),
               'count': (4, 'fixed64'), 'sum': (5, 'double'), 'scale': (6, 'zigzag'), 'zeroCount': (7, 'fixed64'),
               'positive': (8, BUCKETS), 'negative': (9, BUCKETS), 'flags': (10, 'varint'), 'exemplars': (11, EXEMPLAR)}
QUANTILE = {'quantile': (1, 'double'), 'value': (2, 'double')}
SUMMARY = {'startTimeUnixNano': (2, 'fixed64'), 'timeUnixNano': (3, 'fixed64'), 'count': (4, 'fixed64'),
           'sum': (5, 'double'), 'quantileValues': (6, QUANTILE), 'attributes': (7, KEY_VALUE), 'flags': (8, 'varint')}


def data(point):
    return {'dataPoints': (1, point), 'aggregationTemporality': (2, 'varint'), 'isMonotonic': (3, 'bool')}


METRIC = {'name': (1, 'text'), 'description': (2, 'text'), 'unit': (3, 'text'), 'gauge': (5, data(NUMBER)),
          'sum': (7, data(NUMBER)), 'histogram': (9, data(HISTOGRAM)), 'exponentialHistogram': (10, data(EXPONENTIAL)),
          'summary': (11, data(SUMMARY))}
METRICS = {'resourceMetrics': (1, {'resource': (1, RESOURCE), 'schemaUrl': (3, 'text'), 'scopeMetrics': (2, {
    'scope': (1, SCOPE), 'metrics': (2, METRIC), 'schemaUrl': (3, 'text')})})}
RECORD = {'timeUnixNano': (1, 'fixed64'), 'severityNumber': (2, 'varint'), 'severityText': (3, 'text'), 'body': (5, 'any'),
          'attributes': (6, KEY_VALUE), 'droppedAttributesCount': (7, 'varint'), 'flags': (8, 'fixed32'),
          'traceId': (9, 'id'), 'spanId': (10, 'id'), 'observedTimeUnixNano': (11, 'fixed64'), 'eventName': (12, 'text')}
LOGS = {'resourceLogs': (1, {'resource': (1, RESOURCE), 'schemaUrl': (3, 'text'), 'scopeLogs': (2, {
    'scope': (1, SCOPE), 'logRecords': (2, RECORD), 'schemaUrl': (3, 'text')})})}


def attributes(pairs):
    return [{'key': k, 'value': v} for k, v in pairs]


def any_to_wire(value):
    if value is None:
        return b''
    if isinstance(value, bool):
        return b'\x10' + bytes([value])
    if isinstance(value, int):
        return b'\x18' + m.varint(value)
    if isinstance(value, float):
        return b'\x21' + struct.pack('<d', value)
    if isinstance(value, str):
        return m.field(1, value.encode())
    if isinstance(value, bytes):
        return m.field(7, value)
    if isinstance(value, list):
        return m.field(5, b''.join(m.field(1, any_to_wire(v)) for v in value))
    return m.field(6, b''.join(m.field(1, m.field(1, k.encode()) + m.field(2, any_to_wire(v)))
                               for k, v in value.items()))


def any_to_json(value):
    if value is None:
        return {}
    if isinstance(value, bool):
        return {'boolValue': value}
    if isinstance(value, int):
        return {'intValue': str(value)}
    if isinstance(value, float):
        return {'doubleValue': value}
    if isinstance(value, str):
        return {'stringValue': value}
    if isinstance(value, bytes):
        return {'bytesValue': base64.b64encode(value).decode()}
    if isinstance(value, list):
        return {'arrayValue': {'values': [any_to_json(v) for v in value]}}
    return {'kvlistValue': {'values': [{'key': k, 'value': any_to_json(v)} for k, v in value.items()]}}


def zigzag(n):
    return m.varint(n << 1 ^ n >> 63)


def one_to_wire(number, kind, value):
    if kind == 'any':
        return m.field(number, any_to_wire(value))
    if kind in ('text', 'id'):
        return m.field(number, value if isinstance(value, bytes) else value.encode())
    if kind == 'double':
        return m.varint(number << 3 | 1) + struct.pack('<d', value)
    if kind == 'fixed64':
        return m.varint(number << 3 | 1) + struct.pack('<Q', value & (1 << 64) - 1)
    if kind == 'fixed32':
        return m.varint(number << 3 | 5) + struct.pack('<I', value)
    if kind in ('varint', 'bool'):
        return m.varint(number << 3) + m.varint(int(value))
    if kind == 'zigzag':
        return m.varint(number << 3) + zigzag(value)
    if kind == 'packed64':
        return m.field(number, b''.join(struct.pack('<Q', v) for v in value))
    if kind == 'packed_double':
        return m.field(number, b''.join(struct.pack('<d', v) for v in value))
    if kind == 'packed_varint':
        return m.field(number, b''.join(m.varint(v) for v in value))
    return m.field(number, to_wire(kind, value))


def to_wire(kinds, message):
    out = b''
    for name, value in message.items():
        number, kind = kinds[name]
        many = isinstance(value, list) and kind != 'any' and not str(kind).startswith('packed')
        out += b''.join(one_to_wire(number, kind, v) for v in (value if many else [value]))
    return out


def one_to_json(kind, value):
    if kind == 'any':
        return any_to_json(value)
    if kind == 'id':
        return value.hex()
    if kind == 'fixed64':
        return str(value)
    if kind == 'packed64' or kind == 'packed_varint':
        return [str(v) for v in value]
    if kind == 'double' and value != value:
        return 'NaN'
    if isinstance(kind, dict):
        return to_json(kind, value)
    return value


def to_json(kinds, message):
    out = {}
    for name, value in message.items():
        kind = kinds[name][1]
        many = isinstance(value, list) and kind != 'any' and not str(kind).startswith('packed')
        out[name] = [one_to_json(kind, v) for v in value] if many else one_to_json(kind, value)
    return out


def post(server, path, kinds, message, as_json=False, tenant=None, **headers):
    body = json.dumps(to_json(kinds, message)).encode() if as_json else to_wire(kinds, message)
    headers = {'Content-Type': 'application/json' if as_json else 'application/x-protobuf', **headers}
    if tenant is not None:
        headers['X-Scope-OrgID'] = tenant
    return server.request('POST', path, body, headers)
