"""Calls by grpcio itself: grpc_calls.py ADDRESS TENANT prints a line of JSON for each of the calls
on its standard input: [method, hex of the message, compression or null], answered as [status,
message, hex of the answer or of the status' details]."""
import json
import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1], options=[('grpc.max_send_message_length', -1)])
codings = {None: grpc.Compression.NoCompression, 'gzip': grpc.Compression.Gzip, 'deflate': grpc.Compression.Deflate}
for line in sys.stdin:
    method, message, coding = json.loads(line)
    call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
    try:
        answer = call(bytes.fromhex(message), metadata=[('x-scope-orgid', sys.argv[2])], timeout=60,
                      compression=codings[coding])
        told = [0, '', answer.hex()]
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata() or ()).get('grpc-status-details-bin', b'')
        told = [error.code().value[0], error.details(), details.hex()]
    print(json.dumps(told), flush=True)
