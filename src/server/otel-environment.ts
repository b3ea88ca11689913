import type { Origin } from './origin.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A standard variable: the settings that its text stands for, or undefined where the text is invalid. */
interface Variable {
  readonly name: string
  readonly read: (text: string) => Readonly<Record<string, unknown>> | undefined
}

/** Weakest first: a variable for traces goes over the one for all signals. */
const VARIABLES: readonly Variable[] = [
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', read: (text) => ({ 'tracing.endpoint': withTracesPath(text) }) },
  { name: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', read: (text) => ({ 'tracing.endpoint': text }) },
  { name: 'OTEL_EXPORTER_OTLP_PROTOCOL', read: readProtocol },
  { name: 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', read: readProtocol },
  { name: 'OTEL_EXPORTER_OTLP_HEADERS', read: readHeaders },
  { name: 'OTEL_EXPORTER_OTLP_TRACES_HEADERS', read: readHeaders },
  { name: 'OTEL_SERVICE_NAME', read: (text) => ({ 'tracing.serviceName': text }) },
  { name: 'OTEL_TRACES_SAMPLER_ARG', read: readRatio },
]

/**
 * Reads the standard variables of OpenTelemetry for tracing as Slipway's settings (OpenTelemetry specification, "Environment
 * Variable Specification" and "OpenTelemetry Protocol Exporter"). An invalid value is ignored with a warning, as the
 * specification asks: these variables are often set for a whole platform. Values of headers are never shown.
 */
export function readOtelEnvironment(environment: Environment): { origins: Origin[]; warnings: string[] } {
  const origins: Origin[] = []
  const warnings: string[] = []
  const off = environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || environment['OTEL_TRACES_EXPORTER'] === 'none'
  if (off) return { origins, warnings }
  for (const { name, read } of VARIABLES) {
    const text = environment[name]?.trim() ?? ''
    if (text === '') continue
    const found = read(text)
    if (found === undefined) warnings.push(`environment variable ${name} is not understood and ignored`)
    else for (const [key, value] of Object.entries(found)) origins.push({ key, value, origin: `environment ${name}` })
  }
  return { origins, warnings }
}

/** This variable is for all signals: the path of traces is added to its path. A URL without a path gets it later. */
function withTracesPath(text: string): string {
  const url = URL.parse(text)
  if (url === null || url.pathname === '/') return text
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`
  return url.href
}

/** JSON is another body at the same address; a collector that takes JSON takes protobuf too. */
const PROTOCOLS: Readonly<Record<string, string>> = { grpc: 'grpc', 'http/protobuf': 'http', 'http/json': 'http' }

function readProtocol(text: string): Record<string, unknown> | undefined {
  const protocol = PROTOCOLS[text]
  return protocol === undefined ? undefined : { 'tracing.protocol': protocol }
}

function readRatio(text: string): Record<string, unknown> | undefined {
  const ratio = Number(text)
  return ratio >= 0 && ratio <= 1 ? { 'tracing.sampleRatio': ratio } : undefined
}

/** `name=value` pairs, separated by commas, percent-encoded as in W3C Baggage. */
function readHeaders(text: string): Record<string, unknown> | undefined {
  const headers: Record<string, string> = {}
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=')
    const name = pair.slice(0, equals).trim()
    if (equals <= 0 || name === '') return undefined
    try {
      headers[name] = decodeURIComponent(pair.slice(equals + 1).trim())
    } catch {
      return undefined
    }
  }
  return { 'tracing.headers': headers }
}
