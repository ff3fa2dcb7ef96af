"""Calls that are answered by many messages: grpc_streams.py ADDRESS TENANT prints a line of JSON for each of
the calls on its standard input: [method, hex of the message], answered as [status, message, [hex of an answer]]."""
import json
import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1], options=[('grpc.max_receive_message_length', -1)])
for line in sys.stdin:
    method, message = json.loads(line)
    answers = []
    try:
        for answer in channel.unary_stream(method, request_serializer=None, response_deserializer=None)(
                bytes.fromhex(message), metadata=[('x-scope-orgid', sys.argv[2])], timeout=60):
            answers.append(answer.hex())
        told = [0, '', answers]
    except grpc.RpcError as error:
        told = [error.code().value[0], error.details(), answers]
    print(json.dumps(told), flush=True)
