import { Type } from 'typebox'
import { oneOf } from '../../../contract/schema.ts'
import { SlipwayError } from '../../../core/errors.ts'
import type { Static } from 'typebox'

export const TracingOptions = Type.Object(
  {
    endpoint: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'URL of an OTLP collector, e.g. http://127.0.0.1:4318 (HTTP; /v1/traces is added where the URL has no path) or http://127.0.0.1:4317 with the protocol grpc. Default: none, no tracing.',
      }),
    ),
    protocol: Type.Optional(oneOf(['http', 'grpc'], { description: 'How OTLP is spoken, in protobuf either way. Default: http.' })),
    sampleRatio: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'Share of the requests that are traced; a caller that sends a traceparent has decided already. Default: 0.01.',
      }),
    ),
    serviceName: Type.Optional(Type.String({ minLength: 1, description: 'What traces call this server. Default: slipway.' })),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Sent with each export, e.g. authorization. OTEL_EXPORTER_OTLP_HEADERS keeps secrets out of files.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type TracingOptions = Static<typeof TracingOptions>

/** {@link TracingOptions} with every default in place. */
export interface TracingConfig {
  /** Whole URL of the collector; undefined: no tracing. */
  readonly endpoint: string | undefined
  readonly protocol: 'http' | 'grpc'
  /** 0 to 1. */
  readonly sampleRatio: number
  readonly serviceName: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

const TRACES_PATH = '/v1/traces'
/** Characters that HTTP allows in the name and in the value of a header. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e]*$/

/** @throws SLW_CONFIG_INVALID naming the setting */
export function resolveTracing(options: TracingOptions = {}): TracingConfig {
  const protocol = options.protocol ?? 'http'
  const headers = Object.entries(options.headers ?? {}).map(([name, value]) => {
    if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value))
      throw new SlipwayError('SLW_CONFIG_INVALID', `tracing.headers: "${name}" or its value is not what an HTTP header may hold`)
    return [name.toLowerCase(), value] as const
  })
  return {
    endpoint: options.endpoint === undefined ? undefined : resolveEndpoint(options.endpoint, protocol),
    protocol,
    sampleRatio: options.sampleRatio ?? 0.01,
    serviceName: options.serviceName ?? 'slipway',
    headers: Object.fromEntries(headers),
  }
}

function resolveEndpoint(given: string, protocol: 'http' | 'grpc'): string {
  const url = URL.parse(given)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `tracing.endpoint: "${given}" is not a URL with http:// or https://, e.g. http://127.0.0.1:4318`,
    )
  // The path of a URL is not used with gRPC, where the method is the path.
  if (protocol === 'grpc') return url.origin
  if (url.pathname === '/') url.pathname = TRACES_PATH
  return url.href
}
