"""An application with the OpenTelemetry SDK for Python and its standard settings, which come from the
environment: makes traces and prints what it sent, a line of JSON for each span."""
import json
import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

how = os.environ.get('OTEL_EXPORTER_OTLP_PROTOCOL')
if how == 'grpc':
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Exporter
elif how == 'zipkin':
    from opentelemetry.exporter.zipkin.json import ZipkinExporter as Exporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Exporter

provider = TracerProvider(resource=Resource.create({'service.name': 'shop', 'host.name': 'h-1'}))
provider.add_span_processor(BatchSpanProcessor(Exporter(), max_queue_size=100000))
tracer = provider.get_tracer('shop.checkout', '1.2.3')


def say(span):
    print(json.dumps({
        'trace': '%032x' % span.context.trace_id, 'id': '%016x' % span.context.span_id,
        'parent': '%016x' % span.parent.span_id if span.parent else '', 'name': span.name, 'kind': span.kind.value,
        'attributes': dict(span.attributes), 'events': [e.name for e in span.events],
        'links': ['%032x%016x' % (link.context.trace_id, link.context.span_id) for link in span.links],
        'failed': span.status.status_code == StatusCode.ERROR}))


last = None
for i in range(int(sys.argv[1])):
    root = tracer.start_span('GET /cart', kind=SpanKind.SERVER, attributes={'text': 'ü' * (i % 3) + 'x', 'whole': i, 'part': i + 0.5, 'yes': i % 2 == 0})
    child = tracer.start_span('SELECT', context=trace.set_span_in_context(root), kind=SpanKind.CLIENT,
                              links=[Link(last.context)] if last else [])
    child.add_event('retried')
    if i % 5 == 0:
        child.set_status(Status(StatusCode.ERROR, 'no answer'))
    child.end()
    root.end()
    say(root)
    say(child)
    last = root
assert provider.force_flush()
provider.shutdown()
