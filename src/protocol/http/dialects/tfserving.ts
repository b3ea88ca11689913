import { SlipwayError } from '../../../core/errors.ts'
import { answerOutputs } from '../../../signature/answer.ts'
import { metricsRoute } from '../metrics-route.ts'
import type { DataPlane } from '../../../serving/data-plane.ts'
import type { Variant, VariantStatus } from '../../../serving/variant.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Datatype } from '../../../tensor/datatype.ts'
import type { TensorSpec } from '../../../tensor/tensor.ts'
import type { BatchForm, BatchRead } from '../../bodies/instances.ts'
import type { TensorFlowMethod } from '../../bodies/tensorflow-answer.ts'
import type { Exchange } from '../exchange.ts'
import type { Params, Route } from '../routes.ts'
import type { Conversation, Dialect, DialectHost, DialectRoute, ModelAddress, PredictRoute } from './dialect.ts'

/** The REST API of TensorFlow Serving: g3doc/api_rest.md of tensorflow/serving. */
export const tfserving: Dialect = {
  name: 'tfserving',
  of: 'TensorFlow Serving',
  description: "TensorFlow Serving's REST API: predict, classify, regress, status and metadata of versions",
  differences: [
    'A model has the one signature `serving_default`; another name is refused.',
    'Labels of versions are names of variants, such as `v1`, `stable` or `canary`.',
    '`:classify` wants a classification with probabilities, `:regress` a regression.',
    'The metrics are those of this server; there is no gRPC of `PredictionService`.',
  ],
  prefix: '/v1/',
  error: (error) => ({ status: error.kind.http, type: 'application/json', body: JSON.stringify({ error: error.message }) }),
  routes,
}

const MODEL = '/v1/models/:name(^[^/:]+)'
/** A model, one of its versions, or the version that has a label. */
const TARGETS = [MODEL, `${MODEL}/versions/:version(^[^/:]+)`, `${MODEL}/labels/:label(^[^/:]+)`]
const METHODS: readonly TensorFlowMethod[] = ['predict', 'classify', 'regress']
const TENSORS: BatchForm = { keys: ['instances', 'inputs'], beside: ['signature_name'], empty: false }
const EXAMPLES: BatchForm = { keys: ['examples'], beside: ['signature_name', 'context'], empty: false }
const DEFAULT_SIGNATURE = 'serving_default'

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  return [
    metricsRoute(host.metrics, '/monitoring/prometheus/metrics'),
    ...TARGETS.flatMap((target): DialectRoute[] => [
      { method: 'GET', path: target, access: 'predict', handle: (exchange, params) => status(exchange, params, host) },
      get(`${target}/metadata`, async (exchange, params) => {
        const { name, version } = addressOf(params, dataPlane)
        const endpoint = dataPlane.endpoint(name)
        const variant = version === undefined ? endpoint.requireMain() : endpoint.decide({ version })!.variant
        exchange.json(200, JSON.stringify(metadataOf(variant, await dataPlane.signatureOf(variant))))
      }),
      ...METHODS.map((method): PredictRoute => ({
        method: 'POST',
        path: `${target}::${method}`,
        target: (params) => addressOf(params, dataPlane),
        converse: () => conversation(method, host),
      })),
    ]),
  ]
}

function get(path: string, handle: Route['handle']): Route {
  return { method: 'GET', path, access: 'predict', handle }
}

/**
 * Labels are names of variants, such as "stable" and "canary".
 * @throws SLW_MODEL_NOT_FOUND; SLW_BAD_REQUEST for a label that no version has
 */
function addressOf({ name = '', version, label }: Params, dataPlane: DataPlane): ModelAddress {
  if (label === undefined) return { name, version }
  const { variants } = dataPlane.endpoint(name)
  const labelled = variants.find(({ spec }) => spec.name === label)
  if (labelled !== undefined) return { name, version: labelled.subject.version }
  const labels = variants.map(({ spec }) => spec.name).join(', ')
  throw new SlipwayError('SLW_BAD_REQUEST', `no version of "${name}" has the label "${label}"; labels are names of variants: ${labels}`)
}

function conversation(method: TensorFlowMethod, { bodies, limits }: DialectHost): Conversation {
  let asked: { readonly signature: Signature; readonly read: BatchRead }
  return {
    async prepare(body, { signature, requestedOutputs }) {
      const form = method === 'predict' ? TENSORS : EXAMPLES
      const read = await bodies.read('batch', { body, header: undefined, signature, limits, form })
      requireSignature(read.beside['signature_name'], method)
      asked = { signature, read }
      const { inputs, rows, warnings } = read
      return { inputs, rows, warnings, outputs: requestedOutputs(outputsFor(method, signature)) }
    },
    async answer({ outputs }) {
      const { signature, read } = asked
      const { key, rows, bare } = read
      const written = await bodies.write('tensorflow', { method, byRow: key === 'instances', bare, signature, outputs, rows })
      return { type: 'application/json', body: written.body }
    },
  }
}

/** Every model has one signature here, which each of the methods takes that its answers allow. @throws SLW_BAD_REQUEST */
function requireSignature(name: unknown, method: TensorFlowMethod): void {
  if (name === undefined || name === '' || name === DEFAULT_SIGNATURE || name === `tensorflow/serving/${method}`) return
  if (typeof name !== 'string') throw new SlipwayError('SLW_BAD_REQUEST', 'signature_name: expected a text')
  throw new SlipwayError('SLW_BAD_REQUEST', `signature_name: there is no signature "${name}"; models have "${DEFAULT_SIGNATURE}"`)
}

/** Outputs that an answer is made of; undefined: all. @throws SLW_BAD_REQUEST where the model's answers are no such thing */
function outputsFor(method: TensorFlowMethod, signature: Signature): readonly string[] | undefined {
  const { answer } = signature
  if (method === 'predict') return undefined
  if (method === 'classify' && answer.task === 'classification' && answer.probabilities !== undefined) return answerOutputs(signature)
  if (method === 'regress' && answer.task === 'regression') return answerOutputs(signature)
  const needed = method === 'classify' ? 'a classification with probabilities' : 'a regression'
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `:${method} needs ${needed}, and the answers of this model are of the task ${answer.task}; use :predict`,
  )
}

type State = 'START' | 'LOADING' | 'AVAILABLE' | 'UNLOADING' | 'END'

/** A model that was unloaded to save memory is available: a request loads it. */
const STATES = { waiting: 'START', loading: 'LOADING', ready: 'AVAILABLE', unloaded: 'AVAILABLE', failed: 'END' } as const

interface VersionStatus {
  readonly version: string
  readonly state: State
  readonly status: { readonly error_code: string; readonly error_message: string }
}

async function status(exchange: Exchange, params: Params, { dataPlane, administration }: DialectHost): Promise<void> {
  const { name = '' } = params
  const versions = dataPlane.endpoints.has(name) ? served(params, dataPlane) : await ended(name, params, { dataPlane, administration })
  if (versions.length === 0)
    throw new SlipwayError('SLW_MODEL_NOT_FOUND', `model "${name}" has no version ${params['version']} that is served or was tried`)
  exchange.json(200, JSON.stringify({ model_version_status: versions.toSorted(newestFirst) }))
}

/** The versions that serve, are being loaded, or could not be. */
function served(params: Params, dataPlane: DataPlane): VersionStatus[] {
  const { name, version } = addressOf(params, dataPlane)
  const { variants, loading, failures } = dataPlane.endpoint(name)
  return [...[...variants, ...loading].map(statusOf), ...failures.map(failed)].filter(
    (one) => version === undefined || one.version === version,
  )
}

/** Those of a model that was unloaded on request. @throws SLW_MODEL_NOT_FOUND */
async function ended(
  name: string,
  { version }: Params,
  { dataPlane, administration }: Pick<DialectHost, 'dataPlane' | 'administration'>,
): Promise<VersionStatus[]> {
  const model = (await administration.models()).find((one) => one.name === name && one.unloaded)
  const versions = model?.versions ?? [dataPlane.endpoint(name).requireMain().subject.version]
  return versions.filter((one) => version === undefined || one === version).map((one) => versionStatus(one, 'END'))
}

function statusOf(variant: Variant): VersionStatus {
  const { version } = variant.subject
  if (variant.phase === 'failed') return failed(variant.status())
  if (variant.retired) return versionStatus(version, 'UNLOADING')
  return variant.phase === 'ready' && !variant.ready
    ? versionStatus(version, 'LOADING', 'UNAVAILABLE', variant.reason)
    : versionStatus(version, STATES[variant.phase])
}

function failed({ version, failure, reason }: VariantStatus): VersionStatus {
  const error = failure === undefined ? 'UNKNOWN' : new SlipwayError(failure.code, '').kind.grpc
  return versionStatus(version, 'END', error, failure?.message ?? reason)
}

function versionStatus(version: string, state: State, code = 'OK', message = ''): VersionStatus {
  return { version, state, status: { error_code: code, error_message: message } }
}

function newestFirst(one: VersionStatus, other: VersionStatus): number {
  return other.version.localeCompare(one.version, 'en', { numeric: true })
}

/** Names of datatypes in TensorFlow's protocol buffers: tensorflow/core/framework/types.proto. */
const TENSORFLOW_TYPES: Readonly<Record<Datatype, string>> = {
  BOOL: 'DT_BOOL',
  UINT8: 'DT_UINT8',
  UINT16: 'DT_UINT16',
  UINT32: 'DT_UINT32',
  UINT64: 'DT_UINT64',
  INT8: 'DT_INT8',
  INT16: 'DT_INT16',
  INT32: 'DT_INT32',
  INT64: 'DT_INT64',
  FP16: 'DT_HALF',
  BF16: 'DT_BFLOAT16',
  FP32: 'DT_FLOAT',
  FP64: 'DT_DOUBLE',
  BYTES: 'DT_STRING',
}

function tensorInfo({ name, datatype, shape, anyRank = false, dimensionNames }: TensorSpec): object {
  const dim = anyRank ? [] : shape.map((size, axis) => ({ size: String(size), name: dimensionNames[axis] ?? '' }))
  return { dtype: TENSORFLOW_TYPES[datatype], tensor_shape: { dim, unknown_rank: anyRank }, name }
}

function metadataOf({ subject }: Variant, { inputs, outputs }: Signature): object {
  const byName = (specs: readonly TensorSpec[]): object => Object.fromEntries(specs.map((spec) => [spec.name, tensorInfo(spec)]))
  const signature = { inputs: byName(inputs), outputs: byName(outputs), method_name: 'tensorflow/serving/predict' }
  return {
    model_spec: { name: subject.endpoint, signature_name: '', version: subject.version },
    metadata: { signature_def: { signature_def: { [DEFAULT_SIGNATURE]: signature } } },
  }
}
