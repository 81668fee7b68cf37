/** What a log line carries of a trace; the names are OpenTelemetry's (https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/). */
export interface TraceContext {
  readonly trace_id: string
  readonly span_id: string
  readonly trace_flags: string
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * Reads a `traceparent` header. Later versions may add to it; version 00 may not.
 * Source: W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header
 * @returns undefined where the header is missing or not valid, which means that there is no trace
 */
export function parseTraceparent (header: unknown): TraceContext | undefined {
  const [, trace_id, span_id, trace_flags, more] = typeof header === 'string' ? TRACEPARENT.exec(header) ?? [] : []
  if (trace_id === undefined || (more !== undefined && String(header).startsWith('00'))) return undefined
  return { trace_id, span_id: span_id!, trace_flags: trace_flags! }
}
