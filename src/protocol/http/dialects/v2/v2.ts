import { slipwayVersion } from '../../../../core/version.ts'
import { variantAt } from '../../../v2/addresses.ts'
import { EXTENSIONS } from '../../../v2/extensions.ts'
import { generateRoutes } from './generate.ts'
import { inferRoutes } from './infer.ts'
import { modelRoutes } from './models.ts'
import { repositoryRoutes } from './repository.ts'
import { settingRoutes } from './settings.ts'
import { sharedMemoryRoutes } from './shared-memory.ts'
import type { Route } from '../../routes.ts'
import type { Dialect, DialectHost, DialectRoute } from '../dialect.ts'

/** The Open Inference Protocol, version 2, over HTTP, with the extensions of Triton. */
export const v2: Dialect = {
  name: 'v2',
  of: 'the Open Inference Protocol',
  byDefault: true,
  description:
    'Open Inference Protocol (KServe V2) with the extensions of Triton: tensors as JSON or binary, generate, metadata, statistics, repository',
  differences: [
    'A request that names no version goes to the one that routing chooses, which need not be the highest.',
    'Loading and unloading want the admin token.',
    'Of the log settings the level can be changed; what is traced is shown, and not changed.',
    'Shared memory and sequences are refused by name.',
  ],
  prefix: '/v2',
  error: (error) => ({ status: error.kind.http, type: 'application/json', body: JSON.stringify({ error: error.message }) }),
  routes,
}

function routes(host: DialectHost): DialectRoute[] {
  const server: Route = {
    method: 'GET',
    path: '/v2',
    access: 'predict',
    handle: (exchange) =>
      exchange.json(200, JSON.stringify({ name: 'slipway', version: slipwayVersion(), extensions: [...EXTENSIONS, 'generate'] })),
  }
  const ready: Route['handle'] = (exchange, { name = '', version }) => {
    const variant = variantAt(host.dataPlane, { name, version })
    exchange.json(
      variant.ready ? 200 : 503,
      JSON.stringify({
        name,
        version: variant.subject.version,
        ready: variant.ready,
        ...(!variant.ready && { error: variant.reason }),
      }),
    )
  }
  return [
    server,
    { method: 'GET', path: '/v2/models/:name/ready', access: 'predict', handle: ready },
    { method: 'GET', path: '/v2/models/:name/versions/:version/ready', access: 'predict', handle: ready },
    ...modelRoutes(host),
    ...inferRoutes(host),
    ...generateRoutes(host),
    ...repositoryRoutes(host),
    ...settingRoutes(host),
    ...sharedMemoryRoutes(),
  ]
}
