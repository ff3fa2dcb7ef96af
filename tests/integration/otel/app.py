"""An application with the OpenTelemetry SDK and its standard settings, which come from the
environment (OTEL_EXPORTER_OTLP_ENDPOINT and so on): it counts, measures and logs, then ends."""
import logging
import os
import sys

from opentelemetry import metrics
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

if os.environ.get('OTEL_EXPORTER_OTLP_PROTOCOL') == 'grpc':
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

resource = Resource.create({'service.name': 'shop', 'service.namespace': 'retail',
                            'service.instance.id': 'shop-1', 'k8s.pod.name': 'pod-7', 'cloud.account': 'a b'})

reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3600_000)
meters = MeterProvider(resource=resource, metric_readers=[reader], views=[
    View(instrument_name='sizes', aggregation=ExponentialBucketHistogramAggregation())])
metrics.set_meter_provider(meters)
meter = metrics.get_meter('shop.checkout', '1.2.3')
requests = meter.create_counter('http.server.requests', unit='1', description='Requests served.')
duration = meter.create_histogram('http.server.duration', unit='s', explicit_bucket_boundaries_advisory=[0.1, 0.5, 2.5])
sizes = meter.create_histogram('sizes', unit='By')
queue = meter.create_up_down_counter('queue.length')
for i in range(10):
    requests.add(2, {'http.method': 'GET', 'http.status_code': 200})
    duration.record(0.05 * (i + 1), {'http.route': '/cart'})
    sizes.record(100 * (i + 1))
    queue.add(1 if i % 2 else 3)
meter.create_observable_gauge('cpu.load', callbacks=[lambda options: [metrics.Observation(0.25, {'core': 'a'})]], unit='1')
assert meters.force_flush()
meters.shutdown()

loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(loggers)
log = logging.getLogger('shop')
log.setLevel(logging.INFO)
log.addHandler(LoggingHandler(logger_provider=loggers))
for i in range(int(sys.argv[1])):
    log.warning('order %d is late: "%s"', i, 'ü' * (i % 3), extra={'order.id': i, 'nested': {'a': [1, 2.5, None]}})
assert loggers.force_flush()
loggers.shutdown()
