"""A WebSocket client (RFC 6455) that a test can make do what it wants."""
import base64
import json
import os
import socket
import struct
import urllib.parse


class Closed(Exception):
    def __init__(self, code, reason):
        super().__init__('closed with %s: %s' % (code, reason))
        self.code = code
        self.reason = reason


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__('%d %s' % (status, body))
        self.status = status
        self.body = body


class WebSocket:
    def __init__(self, port, path, headers=None, parameters=None, receive_bytes=None,
                 tls=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(60)
        self.socket.connect(('127.0.0.1', port))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname='localhost')
        self.buffered = b''
        self.pings = 0
        if parameters:
            path += '?' + urllib.parse.urlencode(parameters)
        lines = ['GET %s HTTP/1.1' % path, 'Host: 127.0.0.1:%d' % port, 'Connection: Upgrade',
                 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
                 'Sec-WebSocket-Key: ' + base64.b64encode(os.urandom(16)).decode()]
        lines += ['%s: %s' % pair for pair in (headers or {}).items()]
        self.socket.sendall(('\r\n'.join(lines) + '\r\n\r\n').encode())
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            head += self._exactly(1)
        status = int(head.split(b' ', 2)[1])
        if status != 101:
            length = 0
            for line in head.split(b'\r\n'):
                if line.lower().startswith(b'content-length:'):
                    length = int(line.split(b':')[1])
            body = self._exactly(length).decode()
            self.socket.close()
            raise Refused(status, body)

    def _exactly(self, count):
        while len(self.buffered) < count:
            got = self.socket.recv(65536)
            if not got:
                raise Closed(None, 'the connection ended')
            self.buffered += got
        out, self.buffered = self.buffered[:count], self.buffered[count:]
        return out

    def frame(self):
        first, length = self._exactly(2)
        assert first & 0x70 == 0 and length < 128, 'reserved bits, or a mask'
        if length == 126:
            length, = struct.unpack('>H', self._exactly(2))
        elif length == 127:
            length, = struct.unpack('>Q', self._exactly(8))
        return first & 15, self._exactly(length)

    def send(self, opcode, payload=b''):
        mask = os.urandom(4)
        assert len(payload) < 126
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask +
                            bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def message(self):
        """The next message, as JSON; answers pings on the way."""
        while True:
            opcode, payload = self.frame()
            if opcode == 1:
                return json.loads(payload)
            if opcode == 9:
                self.pings += 1
                self.send(10, payload)
            if opcode == 8:
                code = struct.unpack('>H', payload[:2])[0] if payload else None
                raise Closed(code, payload[2:].decode())

    def lines(self, count):
        """So many lines, as (stream, line), over as many messages as they take."""
        out = []
        while len(out) < count:
            for stream in self.message()['streams']:
                out += [(stream['stream'], value[1]) for value in stream['values']]
        return out

    def close(self):
        """As a client should: waits for the answer."""
        self.send(8, struct.pack('>H', 1000))
        try:
            while True:
                self.message()
        except (Closed, ConnectionResetError):
            pass
        self.socket.close()

    def hang_up(self):
        self.socket.close()
