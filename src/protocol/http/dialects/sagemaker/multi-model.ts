import { Type } from 'typebox'
import { check } from '../../../../contract/schema.ts'
import { inputInvalid, SlipwayError } from '../../../../core/errors.ts'
import { parseJson } from '../../../../tensor/json-reader.ts'
import { permits, requireModel } from '../../access.ts'
import { ownError } from '../../error-form.ts'
import { invocation } from './invocation.ts'
import type { KnownModel } from '../../../../serving/repository/repository.ts'
import type { Exchange } from '../../exchange.ts'
import type { Params, Route } from '../../routes.ts'
import type { Dialect, DialectHost, DialectRoute } from '../dialect.ts'

/**
 * A SageMaker container for many models, which the platform loads and unloads (developer guide, "Contract for Custom Containers").
 * The platform decides what has to go: a model that does not fit is refused with 507 until there is room.
 */
export const multiModel: Dialect = {
  name: 'sagemaker-multi-model',
  of: 'SageMaker with many models',
  description: 'a SageMaker container for many models, loaded and unloaded by calls: /models, /models/NAME/invoke, /ping',
  differences: [
    'A `url` is a folder inside the served folders and `--model-root`; nothing is downloaded.',
    'Names of models have letters, digits, ".", "_" and "-".',
    'A model that does not fit is refused with 507, and none is unloaded for it.',
    'API keys and the admin token are asked for where they are set, though the platform sends none.',
  ],
  managedByPlatform: true,
  error: ownError,
  routes,
}

const LoadModel = Type.Object({ model_name: Type.String({ minLength: 1 }), url: Type.String({ minLength: 1 }) })

/** Models of one page, where the caller does not say. */
const PAGE = 100
const PAGE_MAX = 1000

function routes(host: DialectHost): DialectRoute[] {
  const { administration } = host
  const route = (method: Route['method'], path: string, handle: Route['handle']): Route => ({ method, path, access: 'platform', handle })
  return [
    // The platform asks whether the container lives; models come later.
    { method: 'GET', path: '/ping', access: 'open', handle: (exchange) => exchange.json(200, '') },
    route('POST', '/models', (exchange) => load(exchange, host)),
    route('GET', '/models', async (exchange) => {
      const models = (await administration.models()).filter(({ name }) => permits(exchange.caller, name))
      exchange.json(200, JSON.stringify(pageOf(models, exchange)))
    }),
    route('GET', '/models/:name', async (exchange, params) => exchange.json(200, JSON.stringify(described(await known(host, params))))),
    route('DELETE', '/models/:name', async (exchange, params) => {
      const model = await known(host, params)
      await administration.remove(model.name)
      exchange.json(200, JSON.stringify(described(model)))
    }),
    {
      method: 'POST',
      path: '/models/:name/invoke',
      target: ({ name }) => ({ name: name ?? '', version: undefined }),
      converse: (request) => invocation(request, host),
    },
  ]
}

async function load(exchange: Exchange, { administration, limits }: DialectHost): Promise<void> {
  const checked = check(LoadModel, parseJson(await exchange.readBody(), { nesting: limits.jsonNesting }))
  if ('issues' in checked) throw inputInvalid(checked.issues, 'SLW_BAD_REQUEST')
  const { model_name: name, url } = checked.value
  exchange.administers({ wish: { load: name, url } })
  requireModel(exchange.caller, name)
  const path = url.replace(/^file:\/\//, '')
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path))
    throw inputInvalid(
      [{ path: 'url', message: `"${url}" is no folder of this machine, and nothing is downloaded here` }],
      'SLW_BAD_REQUEST',
    )
  await administration.add({ name, path, mustFit: true })
  exchange.json(200, JSON.stringify({ modelName: name, modelUrl: url }))
}

/** @throws SLW_MODEL_NOT_FOUND */
async function known({ administration }: DialectHost, { name = '' }: Params): Promise<KnownModel> {
  const model = (await administration.models()).find((one) => one.name === name && !one.unloaded)
  if (model === undefined) throw new SlipwayError('SLW_MODEL_NOT_FOUND', `no model "${name}" is loaded`)
  return model
}

function described({ name, path }: KnownModel): object {
  return { modelName: name, modelUrl: path }
}

/** Models in the order of their names, from behind the one that the token names. */
function pageOf(models: readonly KnownModel[], exchange: Exchange): object {
  const limit = limitOf(exchange.query('limit'))
  const token = exchange.query('next_page_token') ?? exchange.query('nextPageToken')
  const after = token === undefined ? '' : Buffer.from(token, 'base64url').toString()
  const rest = models.filter(({ name, unloaded }) => !unloaded && name > after).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const page = rest.slice(0, limit)
  const last = rest.length > limit ? page.at(-1) : undefined
  return { models: page.map(described), ...(last !== undefined && { nextPageToken: Buffer.from(last.name).toString('base64url') }) }
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return PAGE
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1) return Math.min(limit, PAGE_MAX)
  throw new SlipwayError('SLW_BAD_REQUEST', `limit: expected a whole number above 0, found "${text}"`)
}
