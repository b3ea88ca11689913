import { Type } from 'typebox'
import { ControlPlaneOptions, resolveControlPlane } from './control-plane-options.ts'
import { DOOR_SETTINGS, resolveDoors } from './door-options.ts'
import { oneOf } from '../contract/schema.ts'
import { SlipwayError } from '../core/errors.ts'
import { ServingOptions } from '../contract/serving-options.ts'
import { GRPC } from '../protocol/grpc/dialect.ts'
import { DIALECTS } from '../protocol/http/dialects/dialects.ts'
import { isVertexPath, VERTEX_PATHS } from '../protocol/http/dialects/vertex.ts'
import { HTTP_LIMIT_DEFAULTS, HTTP_LIMIT_SETTINGS } from '../protocol/http/options.ts'
import { REQUEST_LIMIT_DEFAULTS, REQUEST_LIMIT_SETTINGS } from '../protocol/limits.ts'
import { resolveTracing, TracingOptions } from '../serving/observe/tracing/options.ts'
import type { Static } from 'typebox'
import type { VertexPaths } from '../protocol/http/dialects/vertex.ts'
import type { HttpLimits } from '../protocol/http/options.ts'
import type { RequestLimits } from '../protocol/limits.ts'
import type { ControlPlaneConfig } from './control-plane-options.ts'
import type { DoorsConfig } from './door-options.ts'
import type { TracingConfig } from '../serving/observe/tracing/options.ts'

/** Dialects of a server that is not told what to speak. */
const BY_DEFAULT = [...DIALECTS.filter(({ byDefault }) => byDefault === true).map(({ name }) => name), GRPC.name]
/** Port of gRPC where none is chosen. */
const GRPC_PORT = 8471

const ModelEntry = Type.Object(
  {
    path: Type.String({ minLength: 1, description: 'File or folder, relative to the current folder.' }),
    name: Type.Optional(Type.String({ description: 'Default: the name of the file or folder.' })),
    serving: Type.Optional(ServingOptions),
  },
  { additionalProperties: false },
)

/** `slipway.server.yaml`: how this server runs. */
export const ServerOptions = Type.Object(
  {
    host: Type.Optional(Type.String({ description: 'Address to listen on. Default: 127.0.0.1.' })),
    port: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 65_535, description: 'Port to listen on; 0 takes a free one. Default: 8470.' }),
    ),
    grpcPort: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 65_535,
        description: `Port of gRPC; 0 takes a free one. Default: ${GRPC_PORT}, or a free one where \`port\` is 0; where the default is taken, the server says so and goes without gRPC.`,
      }),
    ),
    insecure: Type.Optional(Type.Boolean({ description: 'Allow listening beyond this machine without keys and TLS. Default: false.' })),
    ...DOOR_SETTINGS,
    models: Type.Optional(Type.Array(ModelEntry, { description: 'What to serve, beside what the command line names.' })),
    controlPlane: Type.Optional(ControlPlaneOptions),
    defaultModel: Type.Optional(Type.String({ description: 'Model that POST /predict means. Default: the only one.' })),
    versions: Type.Optional(
      Type.String({
        pattern: '^(latest|all|\\d+(,\\d+)*)$',
        description:
          'Numbered versions to serve: latest, all, or a list such as 1,3. Default: as a config.pbtxt of Triton says, else latest.',
      }),
    ),
    adminPort: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 65_535,
        description: 'Port of its own for the routes of administration. Default: they are beside the others.',
      }),
    ),
    processes: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Serving processes that share the port, for machines on which one main thread is the bottleneck. Each loads the models. Default: 1.',
      }),
    ),
    dialects: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9-]+(@\\d+)?(\\s*,\\s*[a-z0-9-]+(@\\d+)?)*$',
        description: `How clients may talk to the server, separated by commas; NAME@PORT listens on a port of its own. There are ${[...DIALECTS, GRPC].map(({ name }) => name).join(', ')}; what each is stands in docs/reference/protocols.md. Default: ${BY_DEFAULT.join(',')}.`,
      }),
    ),
    vertex: Type.Optional(
      Type.Object(
        {
          healthRoute: Type.Optional(
            Type.String({ pattern: '^/', description: 'Path of health for the dialect vertex. Default: AIP_HEALTH_ROUTE, else /health.' }),
          ),
          predictRoute: Type.Optional(
            Type.String({
              pattern: '^/',
              description: 'Path of predictions for the dialect vertex. Default: AIP_PREDICT_ROUTE, else /predict.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    pollMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'How often the folders of models are looked at for new, changed and removed versions; a version is loaded when it has been still for two looks. 0: never. Default: 0.',
      }),
    ),
    watch: Type.Optional(
      Type.Boolean({ description: 'For development: looks at the folders three times a second and tells what it does. Default: false.' }),
    ),
    modelRoots: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Folders, beside those of the models served, that a switch may take models from.',
      }),
    ),
    memoryBudgetMb: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Memory that all models may hold together, as measured when each is loaded. Beyond it the longest unused ones are unloaded, and loaded again by the next request. Default: no limit.',
      }),
    ),
    sandboxPython: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Python interpreter with scikit-learn, in which models that are pickles run, confined: no network, files or other programs. Default: such models are refused.',
      }),
    ),
    strictReadiness: Type.Optional(
      Type.Boolean({ description: 'A model that could not be loaded at start keeps the server unready. Default: false.' }),
    ),
    device: Type.Optional(oneOf(['cpu'], { description: 'Where models run. Default: cpu.' })),
    serving: Type.Optional(ServingOptions),
    limits: Type.Optional(
      Type.Object(
        { ...HTTP_LIMIT_SETTINGS, ...REQUEST_LIMIT_SETTINGS },
        { additionalProperties: false, description: 'What one request and one client may take.' },
      ),
    ),
    log: Type.Optional(
      Type.Object(
        {
          level: Type.Optional(oneOf(['debug', 'info', 'warn', 'error', 'silent'], { description: 'Default: info.' })),
          file: Type.Optional(
            Type.String({
              minLength: 1,
              description:
                'File that log lines are added to; it may be moved away, and SIGHUP then begins a new one. Default: standard error.',
            }),
          ),
          access: Type.Optional(Type.Boolean({ description: 'One line per request. Default: false.' })),
          slowMs: Type.Optional(Type.Integer({ minimum: 1, description: 'Requests slower than this are told. Default: 1000.' })),
        },
        { additionalProperties: false },
      ),
    ),
    metrics: Type.Optional(
      Type.Object(
        {
          guideNames: Type.Optional(
            Type.Boolean({
              description:
                'Also expose predictions_total, prediction_latency_seconds, request_count, request_latency_seconds. Default: false.',
            }),
          ),
          tritonNames: Type.Optional(
            Type.Boolean({
              description: 'Also expose the metrics of Triton, such as nv_inference_request_success. Default: false.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    tracing: Type.Optional(TracingOptions),
    shutdown: Type.Optional(
      Type.Object(
        {
          pauseMs: Type.Optional(
            Type.Integer({
              minimum: 0,
              description:
                'After SIGTERM: how long to go on answering while readiness is already 503, so that load balancers notice. Default: 2000.',
            }),
          ),
          graceMs: Type.Optional(
            Type.Integer({ minimum: 0, description: 'Then: how long requests in flight may take to finish. Default: 25000.' }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false, description: 'How a Slipway server runs.' },
)
export type ServerOptions = Static<typeof ServerOptions>

/** A dialect that the server offers. */
export interface DialectChoice {
  readonly name: string
  /** Undefined: the port of the server. */
  readonly port: number | undefined
}

/** The port of gRPC. */
export interface GrpcChoice {
  readonly port: number
  /** Whether somebody has asked for it: a server that cannot have it does not start. */
  readonly asked: boolean
}

/** {@link ServerOptions} with every default in place. */
export interface ServerConfig extends DoorsConfig {
  readonly host: string
  readonly port: number
  /** Whether listening beyond this machine is allowed without keys and TLS. */
  readonly insecure: boolean
  readonly models: readonly { readonly path: string; readonly name?: string; readonly serving?: ServingOptions }[]
  /** Undefined: files are served. */
  readonly controlPlane: ControlPlaneConfig | undefined
  readonly defaultModel: string | undefined
  /** Undefined: as a config.pbtxt says, else the latest. */
  readonly versions: 'latest' | 'all' | readonly string[] | undefined
  readonly adminPort: number | undefined
  readonly processes: number
  /** 0: the folders are never looked at again. */
  readonly pollMs: number
  readonly watch: boolean
  readonly modelRoots: readonly string[]
  readonly memoryBudgetMb: number | undefined
  readonly sandboxPython: string | undefined
  readonly strictReadiness: boolean
  readonly serving: ServingOptions
  readonly limits: HttpLimits & RequestLimits
  /** Those over HTTP. */
  readonly dialects: readonly DialectChoice[]
  /** Undefined: off. */
  readonly grpc: GrpcChoice | undefined
  readonly vertex: VertexPaths
  readonly log: { readonly level: string; readonly file: string | undefined; readonly access: boolean; readonly slowMs: number }
  readonly metrics: { readonly guideNames: boolean; readonly tritonNames: boolean }
  readonly tracing: TracingConfig
  readonly shutdown: { readonly pauseMs: number; readonly graceMs: number }
}

/** Pause between two looks of `watch` at the folders. */
const WATCH_MS = 300

/** @throws SLW_CONFIG_INVALID for errors that a schema cannot express */
export function resolveServer(options: ServerOptions): ServerConfig {
  const { versions } = options
  const chosen = resolveDialects(options.dialects)
  return {
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 8470,
    insecure: options.insecure ?? false,
    ...resolveDoors(options),
    models: options.models ?? [],
    controlPlane: resolveControlPlane(options.controlPlane),
    defaultModel: options.defaultModel,
    versions: versions === undefined || versions === 'latest' || versions === 'all' ? versions : versions.split(','),
    adminPort: options.adminPort,
    processes: options.processes ?? 1,
    pollMs: options.pollMs ?? (options.watch === true ? WATCH_MS : 0),
    watch: options.watch ?? false,
    modelRoots: options.modelRoots ?? [],
    memoryBudgetMb: options.memoryBudgetMb,
    sandboxPython: options.sandboxPython,
    strictReadiness: options.strictReadiness ?? false,
    serving: options.serving ?? {},
    limits: { ...HTTP_LIMIT_DEFAULTS, ...REQUEST_LIMIT_DEFAULTS, ...options.limits },
    dialects: chosen.filter(({ name }) => name !== GRPC.name),
    grpc: resolveGrpc(options, chosen),
    vertex: resolveVertex({ ...VERTEX_PATHS, ...options.vertex }),
    log: { level: 'info', file: undefined, access: false, slowMs: 1000, ...options.log },
    metrics: { guideNames: false, tritonNames: false, ...options.metrics },
    tracing: resolveTracing(options.tracing),
    shutdown: { pauseMs: 2000, graceMs: 25_000, ...options.shutdown },
  }
}

/** @throws SLW_CONFIG_INVALID for a dialect that does not exist, one that is named twice, and a port that is none */
function resolveDialects(text: string | undefined): DialectChoice[] {
  const known = [...DIALECTS, GRPC].map(({ name }) => name)
  if (text === undefined) return BY_DEFAULT.map((name) => ({ name, port: undefined }))
  const chosen = text.split(',').map((entry): DialectChoice => {
    const [name = '', port] = entry.trim().split('@')
    return { name, port: port === undefined ? undefined : Number(port) }
  })
  for (const [index, { name, port }] of chosen.entries()) {
    if (!known.includes(name)) throw invalidDialects(`there is no dialect "${name}"; there are ${known.join(', ')}`)
    if (chosen.findIndex((other) => other.name === name) !== index) throw invalidDialects(`"${name}" is named twice`)
    if (port !== undefined && port > 65_535) throw invalidDialects(`${port} is no port`)
  }
  return chosen
}

/** @throws SLW_CONFIG_INVALID for a port of gRPC where that is off, and for two of them */
function resolveGrpc({ grpcPort, port, dialects }: ServerOptions, chosen: readonly DialectChoice[]): GrpcChoice | undefined {
  const named = chosen.find(({ name }) => name === GRPC.name)
  if (named === undefined) {
    if (grpcPort === undefined) return undefined
    throw invalidDialects(`grpcPort is ${grpcPort}, and gRPC is not among the dialects; add ${GRPC.name} to them, or leave the port out`)
  }
  if (named.port !== undefined && grpcPort !== undefined && named.port !== grpcPort)
    throw invalidDialects(`${GRPC.name}@${named.port}, and grpcPort is ${grpcPort}; gRPC has one port`)
  const asked = named.port ?? grpcPort
  return { port: asked ?? (port === 0 ? 0 : GRPC_PORT), asked: asked !== undefined || dialects !== undefined }
}

/** @throws SLW_CONFIG_INVALID for a path that addresses cannot have as it is */
function resolveVertex(paths: VertexPaths): VertexPaths {
  for (const [name, path] of Object.entries(paths))
    if (!isVertexPath(path))
      throw new SlipwayError(
        'SLW_CONFIG_INVALID',
        `vertex.${name}: "${path}" is no path that Vertex AI asks; expected letters, digits and "._~:@-" after each slash`,
      )
  return paths
}

function invalidDialects(message: string): SlipwayError {
  return new SlipwayError('SLW_CONFIG_INVALID', `dialects: ${message}`)
}
