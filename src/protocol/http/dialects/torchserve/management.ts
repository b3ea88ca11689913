import { basename, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { usableCores } from '../../../../core/cores.ts'
import { messageOf, SlipwayError } from '../../../../core/errors.ts'
import { TORCHSERVE_ARCHIVE } from '../../../../model/foreign-formats.ts'
import { addressOf } from './address.ts'
import { describeModel } from './describe.ts'
import { torchServeError } from './error.ts'
import { parametersOf, parametersOfBody, requireBoolean, wholeNumber } from './parameters.ts'
import type { ServingOptions } from '../../../../contract/serving-options.ts'
import type { Exchange } from '../../exchange.ts'
import type { Params, Route } from '../../routes.ts'
import type { Dialect, DialectHost } from '../dialect.ts'
import type { Parameters } from './parameters.ts'

/** TorchServe's management API (docs/management_api.md of pytorch/serve), which has a port of its own there: 8081. */
export const torchserveManagement: Dialect = {
  name: 'torchserve-management',
  of: "TorchServe's management",
  description: "TorchServe's management API: register, scale, describe and unregister models, with the admin token",
  differences: [
    'It wants the admin token of the server, which clients send as a bearer, and is off without one.',
    'A `url` is a file or folder inside the served folders and `--model-root`: nothing is downloaded, and `.mar` archives and handlers are refused.',
    'Registering and scaling end before they are answered, whether `synchronous` says so or not.',
    '`initial_workers=0` loads the model all the same, and `min_worker=0` is 501.',
    'The versions of a model are scaled and unregistered together.',
  ],
  error: torchServeError,
  routes,
}

const REGISTER = [
  'url',
  'model_name',
  'handler',
  'runtime',
  'batch_size',
  'max_batch_delay',
  'initial_workers',
  'synchronous',
  'response_timeout',
  'startup_timeout',
  's3_sse_kms',
]
const SCALE = ['min_worker', 'max_worker', 'number_gpu', 'synchronous', 'timeout']
/** More instances than this for each core are a mistake. */
const WORKERS_PER_CORE = 8
/** Models of a page. */
const PAGE = 100
const LARGE = 1_000_000

function routes(host: DialectHost): Route[] {
  const { dataPlane, administration } = host
  const route = (method: Route['method'], path: string, handle: (exchange: Exchange, params: Params) => Promise<object>): Route => ({
    method,
    path,
    access: 'admin',
    handle: async (exchange, params) => exchange.json(200, JSON.stringify(await handle(exchange, params))),
  })
  const MODEL = '/models/:name'
  const VERSION = `${MODEL}/:version`
  return [
    route('GET', '/models', (exchange) => listModels(exchange, host)),
    route('POST', '/models', (exchange) => register(exchange, host)),
    ...[MODEL, VERSION].flatMap((path) => [
      route('GET', path, (_, params) => Promise.resolve(describe(params, host))),
      route('PUT', path, (exchange, params) => scale(exchange, params, host)),
      route('DELETE', path, (_, params) => unregister(params, host)),
    ]),
    route('PUT', `${VERSION}/set-default`, async (exchange, params) => {
      const { name, version } = addressOf(params, dataPlane)
      exchange.administers({ wish: { model: name, version } })
      await administration.switchTo(name, { version: version! })
      return { status: `Default version successfully updated for model "${name}" to "${version}"` }
    }),
  ]
}

async function listModels(exchange: Exchange, { administration }: DialectHost): Promise<object> {
  const parameters = parametersOf(exchange, ['limit', 'next_page_token'])
  const limit = wholeNumber(parameters, 'limit', [1, LARGE]) ?? PAGE
  const from = wholeNumber(parameters, 'next_page_token', [0, LARGE]) ?? 0
  const models = (await administration.models())
    .filter(({ unloaded }) => !unloaded)
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .map(({ name, path = '' }) => ({ modelName: name, modelUrl: path }))
  const end = from + limit
  return { ...(end < models.length && { nextPageToken: String(end) }), models: models.slice(from, end) }
}

/** Loads at once, whether the client waits or not: whoever registers a model is told what is wrong with it. */
async function register(exchange: Exchange, { administration, dataPlane }: DialectHost): Promise<object> {
  const parameters = await parametersOfBody(exchange, REGISTER)
  exchange.administers({ wish: Object.fromEntries(parameters) })
  const path = pathOf(parameters)
  const name = parameters.get('model_name') ?? basename(path, extname(path))
  requireBoolean(parameters, 'synchronous')
  await administration.add({ name, path, serving: servingOf(parameters) })
  const { subject, loaded } = dataPlane.endpoint(name).requireMain()
  return { status: `Model "${name}" Version: ${subject.version} registered with ${loaded?.serving.instances ?? 0} initial workers` }
}

/** @throws SLW_BAD_REQUEST, SLW_MODEL_UNSUPPORTED, SLW_NOT_IMPLEMENTED */
function pathOf(parameters: Parameters): string {
  const url = parameters.get('url')
  if (url === undefined || url === '') throw new SlipwayError('SLW_BAD_REQUEST', 'parameter url is required: a file or folder of one model')
  if (parameters.has('handler'))
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      'parameter handler: there are no handlers in Python here; slipway.yaml says what rows and answers are',
    )
  if (/\.mar$/i.test(url))
    throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `${url} is ${TORCHSERVE_ARCHIVE.what}; convert ${TORCHSERVE_ARCHIVE.cure}`)
  const [scheme] = /^[a-z][\w+.-]*(?=:\/\/)/i.exec(url) ?? []
  if (scheme === undefined) return url
  if (scheme.toLowerCase() === 'file') return pathOfFile(url)
  throw new SlipwayError('SLW_NOT_IMPLEMENTED', `url ${url}: models are taken from the served folders and --model-root, not over ${scheme}`)
}

/** @throws SLW_BAD_REQUEST */
function pathOfFile(url: string): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw new SlipwayError('SLW_BAD_REQUEST', `parameter url: "${url}" names no file of this machine: ${messageOf(error)}`)
  }
}

function servingOf(parameters: Parameters): ServingOptions {
  const instances = wholeNumber(parameters, 'initial_workers', [0, workersMax()])
  const batchSize = wholeNumber(parameters, 'batch_size', [1, LARGE])
  const delayMs = wholeNumber(parameters, 'max_batch_delay', [0, LARGE])
  const timeoutS = wholeNumber(parameters, 'response_timeout', [1, LARGE])
  wholeNumber(parameters, 'startup_timeout', [1, LARGE])
  return {
    // There is no model without an instance here: it is loaded when it is registered.
    ...(instances !== undefined && instances > 0 && { instances }),
    ...(batchSize !== undefined && { maxBatchSize: batchSize }),
    ...(delayMs !== undefined && { maxDelayUs: delayMs * 1000 }),
    ...(timeoutS !== undefined && { runTimeoutMs: timeoutS * 1000 }),
  }
}

function workersMax(): number {
  return WORKERS_PER_CORE * Math.ceil(usableCores().count)
}

/** `all` in the place of a version: every version that is served. */
function describe(params: Params, { dataPlane }: DialectHost): object {
  const { name = '', version } = params
  const { variants } = dataPlane.endpoint(name)
  if (version === 'all') return variants.map(describeModel)
  const address = addressOf(params, dataPlane)
  const main = dataPlane.endpoint(name).requireMain()
  return [describeModel(variants.find(({ subject }) => subject.version === address.version) ?? main)]
}

/** Loads the model with as many instances beside the one that serves, and exchanges them between two requests. */
async function scale(exchange: Exchange, params: Params, { dataPlane, administration }: DialectHost): Promise<object> {
  const parameters = parametersOf(exchange, SCALE)
  exchange.administers({ wish: { model: params['name'], ...Object.fromEntries(parameters) } })
  const { name } = addressOf(params, dataPlane)
  dataPlane.endpoint(name)
  requireBoolean(parameters, 'synchronous')
  const least = wholeNumber(parameters, 'min_worker', [0, workersMax()]) ?? 1
  const most = wholeNumber(parameters, 'max_worker', [0, workersMax()]) ?? least
  if (most < least) throw new SlipwayError('SLW_BAD_REQUEST', 'max_worker cannot be less than min_worker')
  if (least === 0)
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      'min_worker=0: a model that is served has an instance at least; DELETE takes it out of service',
    )
  if ((wholeNumber(parameters, 'number_gpu', [0, LARGE]) ?? 0) > 0)
    throw new SlipwayError('SLW_NOT_IMPLEMENTED', 'number_gpu: models run on CPUs here')
  await administration.setServing(name, { instances: least })
  return { status: `Workers scaled to ${least} for model: ${name}` }
}

async function unregister(params: Params, { dataPlane, administration }: DialectHost): Promise<object> {
  const { name, version } = addressOf(params, dataPlane)
  const { variants } = dataPlane.endpoint(name)
  if (version !== undefined && variants.length > 1)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `model "${name}" has ${variants.length} versions: DELETE /models/${name} takes all of them out of service`,
    )
  await administration.remove(name)
  return { status: `Model "${name}" unregistered` }
}
