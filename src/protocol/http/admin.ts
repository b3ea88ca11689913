import { Type } from 'typebox'
import { check } from '../../contract/schema.ts'
import { inputInvalid, SlipwayError } from '../../core/errors.ts'
import { roundMs } from '../../core/units.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import { toJson } from '../../tensor/json-writer.ts'
import type { Static, TSchema } from 'typebox'
import type { ServingOptions } from '../../contract/serving-options.ts'
import type { AddModel, KnownModel, SwitchTo } from '../../serving/repository/repository.ts'
import type { Switched } from '../../serving/repository/repository-model.ts'
import type { Exchange } from './exchange.ts'
import type { Route } from './routes.ts'

/** Operations of an administrator on a server. */
export interface Administration {
  models(): Promise<readonly KnownModel[]>
  switchTo(model: string, target: SwitchTo): Promise<Switched>
  load(model: string): Promise<Switched>
  /** See `Repository.add`. */
  add(model: AddModel): Promise<Switched>
  /** See `Repository.remove`. */
  remove(model: string): Promise<void>
  /** See `Repository.setServing`. */
  setServing(model: string, serving: ServingOptions): Promise<Switched>
  unload(model: string): Promise<void>
  logLevel(): Promise<string>
  setLogLevel(level: string): Promise<void>
}

const SwitchModel = Type.Object(
  { model: Type.Optional(Type.String()), model_path: Type.String({ minLength: 1 }) },
  { additionalProperties: false },
)
const SwitchNamed = Type.Object(
  { model_path: Type.Optional(Type.String({ minLength: 1 })), version: Type.Optional(Type.String({ minLength: 1 })) },
  { additionalProperties: false },
)
const LogLevel = Type.Object(
  { level: Type.Unsafe<string>({ type: 'string', enum: ['debug', 'info', 'warn', 'error', 'silent'] }) },
  { additionalProperties: false },
)

/** Routes that change what a running server serves. They exist only where an admin token is set. */
export function adminRoutes(administration: Administration): Route[] {
  const post = (path: string, handle: Route['handle']): Route => ({ method: 'POST', path, access: 'admin', handle })
  return [
    {
      method: 'GET',
      path: '/admin/models',
      access: 'admin',
      handle: async (exchange) => exchange.json(200, toJson({ models: await administration.models() })),
    },
    post('/admin/switch_model', async (exchange) => {
      const { model, model_path: path } = await readBody(exchange, SwitchModel)
      const switched = await administration.switchTo(model ?? (await onlyModel(administration)), { path })
      exchange.json(200, toJson(report(switched)))
    }),
    post('/admin/models/:name/switch', async (exchange, params) => {
      const target = switchTarget(await readBody(exchange, SwitchNamed))
      exchange.json(200, toJson(report(await administration.switchTo(params['name'] ?? '', target))))
    }),
    {
      method: 'GET',
      path: '/admin/log',
      access: 'admin',
      handle: async (exchange) => exchange.json(200, toJson({ level: await administration.logLevel() })),
    },
    post('/admin/log', async (exchange) => {
      const { level } = await readBody(exchange, LogLevel)
      await administration.setLogLevel(level)
      exchange.json(200, toJson({ level }))
    }),
  ]
}

async function readBody<T extends TSchema>(exchange: Exchange, schema: T): Promise<Static<T>> {
  const checked = check(schema, parseJson(await exchange.readBody(), { nesting: 8 }))
  if ('value' in checked) exchange.administers({ wish: checked.value })
  if ('issues' in checked) throw inputInvalid(checked.issues, 'SLW_BAD_REQUEST')
  return checked.value
}

function switchTarget({ model_path: path, version }: Static<typeof SwitchNamed>): SwitchTo {
  if (path !== undefined && version === undefined) return { path }
  if (version !== undefined && path === undefined) return { version }
  throw new SlipwayError('SLW_BAD_REQUEST', 'expected {"model_path": PATH}, {"version": VERSION} or {"version": "policy"}')
}

async function onlyModel(administration: Administration): Promise<string> {
  const names = (await administration.models()).map((model) => model.name)
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  throw new SlipwayError('SLW_BAD_REQUEST', `"model" is missing: ${names.length} models are served (${names.slice(0, 10).join(', ')})`)
}

/** The answer to a switch, in the names that guides use. */
function report({ model, old, new: now, pinned, times }: Switched): object {
  const named = (specs: Switched['old']): object | null => {
    const [first] = specs
    return first === undefined ? null : { version: first.version, path: first.path }
  }
  return {
    status: 'switched',
    model,
    old: named(old),
    new: named(now),
    pinned,
    times: {
      load_ms: roundMs(times.loadMs),
      warm_up_ms: roundMs(times.warmUpMs),
      switch_ms: roundMs(times.switchMs),
      drain_ms: roundMs(times.drainMs),
    },
  }
}
