import { SlipwayError } from '../../core/errors.ts'
import { slipwayVersion } from '../../core/version.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import { permits } from './access.ts'
import { priorityOf, runRequest } from './run-request.ts'
import { readV2Request } from './v2-request.ts'
import { writeV2Response } from './v2-response.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { Variant } from '../../serving/variant.ts'
import type { Signature } from '../../signature/signature.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'
import type { Exchange } from './exchange.ts'
import type { HttpLimits } from './options.ts'
import type { Params, Route } from './routes.ts'
import type { V2Request } from './v2-request.ts'

const HEADER_LENGTH = 'inference-header-content-length'

/**
 * The Open Inference Protocol, version 2, over HTTP, with Triton's binary tensors and repository index.
 * @param unloaded names of the models that an administrator has taken out of service
 */
export function v2Routes(dataPlane: DataPlane, limits: HttpLimits, unloaded: () => Promise<readonly string[]>): Route[] {
  const variantOf = (params: Params): Variant => dataPlane.endpoint(params['name'] ?? '').route(params['version'], undefined)
  const infer = (exchange: Exchange, params: Params): void => inferV2(exchange, params, dataPlane, limits)
  const metadata = async (exchange: Exchange, params: Params): Promise<void> => {
    const variant = variantOf(params)
    const signature = await dataPlane.signatureOf(variant)
    exchange.json(
      200,
      JSON.stringify(
        modelMetadata(variant, signature, params['version'] === undefined ? dataPlane.endpoint(params['name'] ?? '').variants : [variant]),
      ),
    )
  }
  const ready = (exchange: Exchange, params: Params): void => {
    const variant = variantOf(params)
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
  return [
    {
      method: 'GET',
      path: '/v2',
      access: 'predict',
      handle: (exchange) =>
        exchange.json(
          200,
          JSON.stringify({
            name: 'slipway',
            version: slipwayVersion(),
            extensions: ['binary_tensor_data', 'model_repository', 'parameters'],
          }),
        ),
    },
    { method: 'GET', path: '/v2/models/:name', access: 'predict', handle: metadata },
    { method: 'GET', path: '/v2/models/:name/versions/:version', access: 'predict', handle: metadata },
    { method: 'GET', path: '/v2/models/:name/ready', access: 'predict', handle: ready },
    { method: 'GET', path: '/v2/models/:name/versions/:version/ready', access: 'predict', handle: ready },
    { method: 'POST', path: '/v2/models/:name/infer', access: 'predict', handle: infer },
    { method: 'POST', path: '/v2/models/:name/versions/:version/infer', access: 'predict', handle: infer },
    {
      method: 'POST',
      path: '/v2/repository/index',
      access: 'predict',
      handle: (exchange) => repositoryIndex(exchange, { dataPlane, limits, unloaded }),
    },
  ]
}

function inferV2(exchange: Exchange, params: Params, dataPlane: DataPlane, limits: HttpLimits): void {
  exchange.protocol = 'v2'
  let request: V2Request
  runRequest(
    exchange,
    dataPlane,
    { name: params['name'] ?? '', version: params['version'] },
    {
      prepare(body, variant, { signature }) {
        request = readV2Request(body, exchange.header(HEADER_LENGTH), limits, signature.inputs)
        const { inputs, rows, warnings } = checkTensors(signature, request.inputs)
        if (rows > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${rows} rows, limits.rows is ${limits.rows}`)
        const { timeout: timeoutUs, priority, parametersKey } = readParameters(request.parameters)
        return {
          parametersKey,
          priority: priority === undefined ? undefined : priorityOf(priority, 'parameters.priority'),
          inputs,
          rows,
          warnings,
          outputs: variant.requestedOutputs(request.outputs?.map((output) => output.name)),
          timeoutMs: typeof timeoutUs === 'number' && timeoutUs > 0 ? timeoutUs / 1000 : undefined,
        }
      },
      respond(done) {
        const response = writeV2Response(request, done.subject, done.outputs)
        if (response.headerLength === undefined) exchange.json(200, response.body as string, done.headers)
        else
          exchange.send(200, 'application/octet-stream', response.body, { ...done.headers, [HEADER_LENGTH]: String(response.headerLength) })
      },
    },
  )
}

/** Parameters that say how to answer, not what to run. */
const OF_THE_ANSWER = new Set(['timeout', 'priority', 'binary_data_output'])

/** Requests with other parameters than these never share a run. */
function readParameters(parameters: V2Request['parameters']): {
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
    platform: signature.format === 'onnx' ? 'onnxruntime_onnx' : `sklearn_${signature.format}`,
    inputs: signature.inputs.map(tensorMetadata),
    outputs: signature.outputs.map(tensorMetadata),
  }
}

/** States as Triton names them. */
const STATES = { waiting: 'UNAVAILABLE', loading: 'LOADING', ready: 'READY', unloaded: 'UNAVAILABLE', failed: 'UNAVAILABLE' } as const

interface Index {
  readonly dataPlane: DataPlane
  readonly limits: HttpLimits
  readonly unloaded: () => Promise<readonly string[]>
}

async function repositoryIndex(exchange: Exchange, { dataPlane, limits, unloaded }: Index): Promise<void> {
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
  const gone = readyOnly ? [] : (await unloaded()).filter((name) => permits(exchange.caller, name))
  exchange.json(200, JSON.stringify([...models, ...gone.map((name) => ({ name, version: '', state: 'UNAVAILABLE', reason: 'unloaded' }))]))
}
