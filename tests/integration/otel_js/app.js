// An application with the OpenTelemetry SDK for JavaScript: makes traces, sends them by the exporter
// that is asked for, and prints what it sent, a line of JSON for each span.
//
//     node app.js otlp-grpc|otlp-http|otlp-proto|zipkin|jaeger URL TENANT TRACES
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [how, url, tenant, traces] = process.argv.slice(2);
const headers = { 'x-scope-orgid': tenant };
const exporters = {
  'otlp-grpc': async () => {
    const { OTLPTraceExporter } = (await import('@opentelemetry/exporter-trace-otlp-grpc')).default;
    const { Metadata } = (await import('@grpc/grpc-js')).default;
    const metadata = new Metadata();
    metadata.set('x-scope-orgid', tenant);
    return new OTLPTraceExporter({ url, metadata, compression: 'gzip' });
  },
  'otlp-http': async () => {
    const { OTLPTraceExporter } = (await import('@opentelemetry/exporter-trace-otlp-http')).default;
    return new OTLPTraceExporter({ url: url + '/v1/traces', headers });
  },
  'otlp-proto': async () => {
    const { OTLPTraceExporter } = (await import('@opentelemetry/exporter-trace-otlp-proto')).default;
    return new OTLPTraceExporter({ url: url + '/v1/traces', headers, compression: 'gzip' });
  },
  zipkin: async () => {
    const { ZipkinExporter } = (await import('@opentelemetry/exporter-zipkin')).default;
    return new ZipkinExporter({ url: url + '/api/v2/spans', headers });
  },
  jaeger: async () => {
    const { JaegerExporter } = (await import('@opentelemetry/exporter-jaeger')).default;
    return new JaegerExporter({ endpoint: url + '/api/traces' });
  },
};

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'shop', 'host.name': 'h-1' }),
  spanProcessors: [new BatchSpanProcessor(await exporters[how](), { maxQueueSize: 100000 })],
});
const tracer = provider.getTracer('shop.checkout', '1.2.3');

function say(span, parent) {
  const { traceId, spanId } = span.spanContext();
  console.log(JSON.stringify({
    trace: traceId, id: spanId, parent: parent ? parent.spanContext().spanId : '', name: span.name, kind: span.kind,
    attributes: span.attributes, events: span.events.map((e) => e.name),
    links: span.links.map((l) => l.context.traceId + l.context.spanId),
    failed: span.status.code === SpanStatusCode.ERROR,
  }));
}

let last;
for (let i = 0; i < Number(traces); i++) {
  const root = tracer.startSpan('GET /cart', { kind: SpanKind.SERVER, attributes: { text: 'ü'.repeat(i % 3) + 'x', whole: i, part: i + 0.5, yes: i % 2 === 0 } });
  const below = trace.setSpan(context.active(), root);
  const child = tracer.startSpan('SELECT', { kind: SpanKind.CLIENT, links: last ? [{ context: last.spanContext() }] : [] }, below);
  child.addEvent('retried');
  if (i % 5 === 0) child.setStatus({ code: SpanStatusCode.ERROR, message: 'no answer' });
  child.end();
  root.end();
  say(root);
  say(child, root);
  last = root;
}
await provider.forceFlush();
await provider.shutdown();
