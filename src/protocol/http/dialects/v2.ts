import { SlipwayError } from '../../../core/errors.ts'
import { slipwayVersion } from '../../../core/version.ts'
import { checkRows } from '../../../signature/tensors.ts'
import { parseJson } from '../../../tensor/json-reader.ts'
import { priorityOf } from '../../priority.ts'
import { permits } from '../access.ts'
import type { Prepared } from '../../../serving/caller.ts'
import type { DataPlane } from '../../../serving/data-plane.ts'
import type { Variant } from '../../../serving/variant.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Tensor, TensorSpec } from '../../../tensor/tensor.ts'
import type { V2Read } from '../../bodies/readers.ts'
import type { Written } from '../../bodies/writers.ts'
import type { Exchange } from '../exchange.ts'
import type { Params, Route } from '../routes.ts'
import type { Answer, Asking, Conversation, Dialect, DialectHost, DialectRoute, PredictRoute } from './dialect.ts'

const HEADER_LENGTH = 'inference-header-content-length'

/** The Open Inference Protocol, version 2, over HTTP, with Triton's binary tensors and repository index. */
export const v2: Dialect = {
  name: 'v2',
  of: 'the Open Inference Protocol',
  byDefault: true,
  description: 'Open Inference Protocol (KServe V2): tensors as JSON or binary, model metadata, repository index',
  prefix: '/v2',
  error: (error) => ({ status: error.kind.http, type: 'application/json', body: JSON.stringify({ error: error.message }) }),
  routes,
}

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  const metadata = async (exchange: Exchange, params: Params): Promise<void> => {
    const variant = variantOf(dataPlane, params)
    const signature = await dataPlane.signatureOf(variant)
    const versions = params['version'] === undefined ? dataPlane.endpoint(variant.subject.endpoint).variants : [variant]
    exchange.json(200, JSON.stringify(modelMetadata(variant, signature, versions)))
  }
  const ready = (exchange: Exchange, params: Params): void => {
    const variant = variantOf(dataPlane, params)
    exchange.json(
      variant.ready ? 200 : 503,
      JSON.stringify({
        name: params['name'],
        version: variant.subject.version,
        ready: variant.ready,
        ...(!variant.ready && { error: variant.reason }),
      }),
    )
  }
  const get = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, access: 'predict', handle })
  const infer = (path: string): PredictRoute => ({
    method: 'POST',
    path,
    target: (params) => ({ name: params['name'] ?? '', version: params['version'] }),
    converse: (request) => inferConversation(request, host),
  })
  return [
    get('/v2', (exchange) =>
      exchange.json(
        200,
        JSON.stringify({
          name: 'slipway',
          version: slipwayVersion(),
          extensions: ['binary_tensor_data', 'model_repository', 'parameters'],
        }),
      ),
    ),
    get('/v2/models/:name', metadata),
    get('/v2/models/:name/versions/:version', metadata),
    get('/v2/models/:name/ready', ready),
    get('/v2/models/:name/versions/:version/ready', ready),
    infer('/v2/models/:name/infer'),
    infer('/v2/models/:name/versions/:version/infer'),
    { method: 'POST', path: '/v2/repository/index', access: 'predict', handle: (exchange) => repositoryIndex(exchange, host) },
  ]
}

/** The version that is named, or the main one of the endpoint. @throws SLW_MODEL_NOT_FOUND */
function variantOf(dataPlane: DataPlane, { name = '', version }: Params): Variant {
  const endpoint = dataPlane.endpoint(name)
  return version === undefined ? endpoint.requireMain() : endpoint.decide({ version })!.variant
}

function inferConversation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  let asked: V2Read['asked']
  let check: (outputs: readonly Tensor[]) => void
  return {
    prepare(body, { signature, requestedOutputs }) {
      const prepared = ({ inputs, rows, warnings, asked: read }: V2Read): Prepared => {
        asked = read
        check = (outputs) => checkRows(signature, outputs, rows)
        const { timeout: timeoutUs, priority, parametersKey } = readParameters(asked.parameters)
        return {
          parametersKey,
          priority: priority === undefined ? undefined : priorityOf(priority, 'parameters.priority'),
          inputs,
          rows,
          warnings,
          outputs: requestedOutputs(asked.outputs?.map((output) => output.name)),
          timeoutMs: typeof timeoutUs === 'number' && timeoutUs > 0 ? timeoutUs / 1000 : undefined,
        }
      }
      const read = bodies.read('v2', { body, header: request.header(HEADER_LENGTH), signature, limits })
      return read instanceof Promise ? read.then(prepared) : prepared(read)
    },
    answer({ subject, outputs }) {
      check(outputs)
      const written = bodies.write('v2', { asked, subject, outputs })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
  }
}

function answerOf({ body, headerLength }: Written): Answer {
  if (headerLength === undefined) return { type: 'application/json', body }
  return { type: 'application/octet-stream', body, headers: { [HEADER_LENGTH]: String(headerLength) } }
}

/** Parameters that say how to answer, not what to run. */
const OF_THE_ANSWER = new Set(['timeout', 'priority', 'binary_data_output'])

/** Separates the parameters that change a run: requests that differ in them never share one. */
function readParameters(parameters: V2Read['asked']['parameters']): {
  timeout: unknown
  priority: unknown
  parametersKey: string | undefined
} {
  let parametersKey: string | undefined
  for (const name of Object.keys(parameters)) {
    if (!OF_THE_ANSWER.has(name)) parametersKey = `${parametersKey ?? ''}${name}=${String(parameters[name])};`
  }
  return { timeout: parameters['timeout'], priority: parameters['priority'], parametersKey }
}

/** A shape as the protocol shows it: -1 for free dimensions. */
function tensorMetadata(spec: TensorSpec): { name: string; datatype: string; shape: readonly number[] } {
  return { name: spec.name, datatype: spec.datatype, shape: spec.anyRank === true ? [-1] : spec.shape }
}

function modelMetadata(variant: Variant, signature: Signature, versions: readonly Variant[]): object {
  return {
    name: variant.subject.endpoint,
    versions: versions.map((version) => version.subject.version),
    platform: signature.platform,
    inputs: signature.inputs.map(tensorMetadata),
    outputs: signature.outputs.map(tensorMetadata),
  }
}

/** States as Triton names them. */
const STATES = { waiting: 'UNAVAILABLE', loading: 'LOADING', ready: 'READY', unloaded: 'UNAVAILABLE', failed: 'UNAVAILABLE' } as const

async function repositoryIndex(exchange: Exchange, { dataPlane, limits, administration }: DialectHost): Promise<void> {
  const body = await exchange.readBody()
  const filter = body.length === 0 ? {} : parseJson(body, { nesting: limits.jsonNesting })
  if (filter !== null && typeof filter === 'object' && !Array.isArray(filter) && typeof (filter['ready'] ?? false) !== 'boolean')
    throw new SlipwayError('SLW_BAD_REQUEST', 'ready: expected true or false')
  const readyOnly = filter !== null && typeof filter === 'object' && !Array.isArray(filter) && filter['ready'] === true
  const models = [...dataPlane.variants()]
    .filter((variant) => (!readyOnly || variant.ready) && permits(exchange.caller, variant.subject.endpoint))
    .map((variant) => ({
      name: variant.subject.endpoint,
      version: variant.subject.version,
      state: STATES[variant.phase],
      reason: variant.reason ?? '',
    }))
  const gone = readyOnly
    ? []
    : (await administration.models())
        .filter(({ unloaded }) => unloaded)
        .map(({ name }) => name)
        .filter((name) => permits(exchange.caller, name))
  exchange.json(200, JSON.stringify([...models, ...gone.map((name) => ({ name, version: '', state: 'UNAVAILABLE', reason: 'unloaded' }))]))
}
