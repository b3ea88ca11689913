/** The page that puts the protocols side by side, made of the dialects themselves and of the differences that a test holds. */
import { readFileSync } from 'node:fs'
import { ERRORS, SlipwayError } from '../src/core/errors.ts'
import { GRPC } from '../src/protocol/grpc/dialect.ts'
import { serviceName } from '../src/protocol/grpc/methods.ts'
import { grpcServices } from '../src/protocol/grpc/services.ts'
import { DIALECTS } from '../src/protocol/http/dialects/dialects.ts'
import type { ErrorCode } from '../src/core/errors.ts'
import type { HealthHost } from '../src/protocol/grpc/health-service.ts'
import type { InferenceHost } from '../src/protocol/grpc/inference/inference-host.ts'
import type { Dialect, DialectHost } from '../src/protocol/http/dialects/dialect.ts'

const DIFFERENCES = new URL('../docs/reference/protocols/differences.json', import.meta.url)

/** What may go wrong, in the words of people who operate servers. */
const SITUATIONS: readonly (readonly [situation: string, code: ErrorCode])[] = [
  ['the request is wrong', 'SLW_BAD_REQUEST'],
  ['a value is outside its range', 'SLW_INPUT_INVALID'],
  ['no such model', 'SLW_MODEL_NOT_FOUND'],
  ['no such route', 'SLW_ROUTE_NOT_FOUND'],
  ['no key, or a wrong one', 'SLW_UNAUTHENTICATED'],
  ['the key is not for this', 'SLW_FORBIDDEN'],
  ['too large', 'SLW_BODY_TOO_LARGE'],
  ['a type that is not read', 'SLW_UNSUPPORTED_MEDIA_TYPE'],
  ['not offered', 'SLW_NOT_IMPLEMENTED'],
  ['not ready', 'SLW_MODEL_NOT_READY'],
  ['the queue is full', 'SLW_QUEUE_FULL'],
  ['shutting down', 'SLW_DRAINING'],
  ['not answered in time', 'SLW_DEADLINE_EXCEEDED'],
  ['the model failed', 'SLW_RUN_FAILED'],
]

interface Difference {
  readonly kinds: readonly string[]
  readonly triton: string
  readonly mlserver: string
  readonly slipway: string
  readonly why: string
}

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ')).join(' | ')} |`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [row(...head), `|${'---|'.repeat(head.length)}`, ...rows.map((cells) => row(...cells))].join('\n')
}

function answersTo(code: ErrorCode, dialect: Dialect): string {
  return String(dialect.error(new SlipwayError(code, 'what is wrong'), 'ID').status)
}

/** What a dialect's clients read of an error. */
function exampleOf(dialect: Dialect): string {
  return dialect.error(new SlipwayError('SLW_MODEL_NOT_FOUND', 'no model "m" is served'), 'ID').body.trim()
}

function routesOf(dialect: Dialect): string {
  // Routes are closures over the host, which nobody asks here.
  const routes = dialect.routes({ tracing: {} } as DialectHost)
  return routes
    .map(({ method, path }) => `\`${method} ${path.replaceAll(/:([a-z]\w*)(\([^)]*\))?/g, '{$1}').replaceAll('::', ':')}\``)
    .join(', ')
}

function known(differences: readonly string[]): string {
  return differences.length === 0 ? '' : `\n\nOtherwise than there:\n\n${differences.map((text) => `- ${text}`).join('\n')}`
}

function sectionOf(dialect: Dialect): string {
  const { name, of, byDefault = false, description, differences = [] } = dialect
  return `## \`${name}\`${of === undefined ? '' : `: ${of}`}

${description[0]!.toUpperCase()}${description.slice(1)}. ${byDefault ? 'On by default.' : `Off by default: \`--dialects ${name}\`, or \`${name}@PORT\` for a port of its own.`}

Routes: ${routesOf(dialect)}.

An error: \`${exampleOf(dialect)}\`${known(differences)}
`
}

function sectionOfGrpc(): string {
  // Methods are closures over the host, which nobody asks here.
  const services = grpcServices({ tracing: {} } as InferenceHost & HealthHost)
  const methods = services.map((service) => `\`${serviceName(service)}\`: ${service.methods.map(({ name }) => `\`${name}\``).join(', ')}`)
  return `## \`${GRPC.name}\`: ${GRPC.of}

${GRPC.description}. On by default; \`--grpc-port\` or \`${GRPC.name}@PORT\` says where.

${methods.map((text) => `- ${text}`).join('\n')}

An error: the code of the table above, with the message that HTTP has, too.${known(GRPC.differences)}
`
}

export function protocolsPage(heading: string): string {
  const situations = SITUATIONS.map(([situation, code]) => [
    situation,
    ...DIALECTS.map((dialect) => answersTo(code, dialect)),
    ERRORS[code].grpc,
  ])
  const found = JSON.parse(readFileSync(DIFFERENCES, 'utf8')) as readonly Difference[]
  const differences = found.map(({ kinds, triton, mlserver, slipway, why }) => [kinds.join(', '), triton, mlserver, slipway, why])
  return `${heading}# Protocols

A server speaks several dialects at once, all over the same models: the same batches, limits, guards, keys, metrics. \`--dialects\` chooses them; one that is named as \`NAME@PORT\` has a port of its own. A request for a dialect that is off is answered with the option that turns it on.

Every prediction, whatever it was asked by, carries \`slipway-variant\` and \`slipway-prediction-id\` in its headers, and takes \`slipway-unit\`, \`slipway-timeout-ms\` and \`slipway-priority\`.

## Side by side

What is answered when something goes wrong, as the clients of each dialect expect it: HTTP status, and the code of gRPC.

${table(['Situation', ...DIALECTS.map(({ name }) => `\`${name}\``), 'gRPC'], situations)}

${[...DIALECTS.map(sectionOf), sectionOfGrpc()].join('\n')}
## The same requests to Triton and MLServer

520 requests of 52 kinds, right and wrong, are sent to Triton (nvidia-pytriton), to MLServer and to Slipway with the same model by a test (\`test/differential\`). Where nothing stands here all three answer with the same status, and the same numbers.

${table(['Requests with', 'Triton', 'MLServer', 'Slipway', 'Why'], differences)}
`
}
