/** The trace extension of Triton (its docs/protocol/extension_trace.md and docs/user_guide/trace.md). */
import { SlipwayError } from '../../core/errors.ts'
import type { TracingConfig } from '../../serving/observe/tracing/options.ts'

/** Values of settings, each a text, or several of them. */
export type TraceSettings = Readonly<Record<string, string | readonly string[]>>

/** What is traced: the same for every model. Spans go to a collector and never to files. */
export function traceSettings({
  endpoint,
  sampleRatio,
  serviceName,
}: Pick<TracingConfig, 'endpoint' | 'sampleRatio' | 'serviceName'>): TraceSettings {
  const isOn = endpoint !== undefined && sampleRatio > 0
  return {
    trace_level: [isOn ? 'TIMESTAMPS' : 'OFF'],
    // One request of so many, as near as a whole number comes to the share.
    trace_rate: String(isOn ? Math.round(1 / sampleRatio) : 0),
    trace_count: '-1',
    log_frequency: '0',
    trace_file: '',
    trace_mode: 'opentelemetry',
    ...(isOn && { resource: `service.name=${serviceName}` }),
  }
}

/**
 * Refuses changes: tracing is configured when the server starts. A request without changes asks for what is in force.
 * @throws SLW_NOT_IMPLEMENTED, SLW_BAD_REQUEST for what is no setting
 */
export function checkTraceChanges(changes: Readonly<Record<string, unknown>>, present: TraceSettings): void {
  const [name] = Object.keys(changes)
  if (name === undefined) return
  if (!Object.hasOwn(present, name))
    throw new SlipwayError('SLW_BAD_REQUEST', `trace settings: there is no "${name}"; there are ${Object.keys(present).join(', ')}`)
  throw new SlipwayError(
    'SLW_NOT_IMPLEMENTED',
    `trace settings: "${name}" does not change while the server runs; "tracing" in its configuration says what is traced`,
  )
}
