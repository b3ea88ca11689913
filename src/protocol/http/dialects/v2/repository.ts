/** The model repository extension of Triton: what there is, and what an administrator loads and unloads. */
import { SlipwayError } from '../../../../core/errors.ts'
import { checkRepositoryName, checkRepositoryParameters, repositoryIndex } from '../../../v2/repository.ts'
import { permits } from '../../access.ts'
import { objectOf, readObject } from '../../json-object.ts'
import type { Exchange } from '../../exchange.ts'
import type { Params, Route } from '../../routes.ts'
import type { DialectHost } from '../dialect.ts'

export function repositoryRoutes({ dataPlane, administration }: DialectHost): Route[] {
  const index: Route['handle'] = async (exchange, { repository }) => {
    checkRepositoryName(repository)
    const { ready = false } = await readObject(exchange)
    if (typeof ready !== 'boolean') throw new SlipwayError('SLW_BAD_REQUEST', 'ready: expected true or false')
    const models = await repositoryIndex(dataPlane, {
      ready,
      unloaded: async () => (await administration.models()).filter((model) => model.unloaded).map((model) => model.name),
      permits: (name) => permits(exchange.caller, name),
    })
    exchange.json(200, JSON.stringify(models))
  }
  const change =
    (act: (name: string) => Promise<unknown>): Route['handle'] =>
    async (exchange: Exchange, { repository, name = '' }: Params) => {
      checkRepositoryName(repository)
      checkRepositoryParameters(objectOf((await readObject(exchange))['parameters'], 'parameters'))
      await act(name)
      // An empty answer is success.
      exchange.json(200, '')
    }
  const load = change((name) => administration.load(name))
  const unload = change((name) => administration.unload(name))
  return ['/v2/repository', '/v2/repository/:repository'].flatMap((path): Route[] => [
    { method: 'POST', path: `${path}/index`, access: 'predict', handle: index },
    { method: 'POST', path: `${path}/models/:name/load`, access: 'admin', handle: load },
    { method: 'POST', path: `${path}/models/:name/unload`, access: 'admin', handle: unload },
  ])
}
