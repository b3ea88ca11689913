import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { hostname } from 'node:os'
import { createApiServer } from '../api/api-server.ts'
import { Connections } from '../api/connections.ts'
import { v1Door } from '../api/v1/v1-door.ts'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { originOf } from '../core/origin.ts'
import { Certificates } from '../security/certificates.ts'
import { openObjectStore } from '../storage/objects/open.ts'
import { Leases } from '../storage/sql/leases.ts'
import { openDatabase } from '../storage/sql/open.ts'
import { Worker } from '../storage/work/worker.ts'
import { identitiesOf } from '../delivery/identity.ts'
import { claimDataFolder } from './data-folder.ts'
import { keptFolders } from './databases.ts'
import { ROOMS } from './rooms.ts'
import { resolveSettings } from './settings.ts'
import { upkeepWork } from './upkeep.ts'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Foundation } from './room.ts'
import type { Services } from './rooms.ts'
import type { ControlPlaneOptions, Settings } from './settings.ts'

/** A running control plane. */
export interface ControlPlane extends AsyncDisposable {
  readonly url: string
  /** URL for the local server: without TLS, on this machine only. Undefined without a local server, and where `url` has no TLS. */
  readonly localUrl: string | undefined
  readonly port: number
  /** Services of all rooms. */
  readonly services: Services
}

/**
 * Starts a control plane in this process: opens the foundation, the rooms and their doors, and starts the work in the background.
 * @throws SLW_DATABASE_IN_USE, SLW_DATABASE_VERSION, SLW_CONFIG_INVALID, SLW_PORT_IN_USE; SLW_HOST_REFUSED for an address that others
 *   reach while there is no key
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const settings = resolveSettings(options)
  const { log, tls, host, serving } = settings
  await using opened = new AsyncDisposableStack()
  const ending = new AbortController()
  const foundation = await openFoundation(settings, opened, ending.signal)
  const services = await ROOMS.open(foundation)
  await services.environments.begin()
  if (!settings.local) requireGuarded(settings, await services.keys.any())
  const certificates = tls && opened.use(await Certificates.open({ ...tls, clientCa: tls.clientCa }, log))
  const v1 = { prefix: '/api/v1', plugin: v1Door({ routes: ROOMS.routes, retold: ROOMS.retold }, services) }
  const { refusals } = services
  const connections = opened.use(new Connections(settings.connections))
  const app = await createApiServer({ ...settings, certificates, refusals, ending, connections }, [v1, ...ROOMS.doors(services)])
  opened.defer(() => app.close())
  await listen(app, settings)
  const localUrl = certificates === undefined || serving === undefined ? undefined : await openLoopback(app, connections, opened)
  await beginWork(services)
  const { port } = app.server.address() as AddressInfo
  const held = opened.move()
  return {
    localUrl,
    url: originOf({ secure: certificates !== undefined, host, port }),
    port,
    services,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

async function openFoundation(settings: Settings, opened: AsyncDisposableStack, ending: AbortSignal): Promise<Foundation> {
  const { log, databasePassword: password } = settings
  const newId = (): string => randomUUID().replaceAll('-', '')
  const objects = opened.use(await openObjectStore(settings.objects))
  const database = opened.use(await openDatabase(settings.database, { migrations: ROOMS.migrations, password }))
  await claimDataFolder(settings.data, settings.database, await identitiesOf(database.read))
  // Process ids are reused; the name of a holder of work must not be.
  const holder = `${hostname()} ${process.pid} ${newId().slice(0, 8)}`
  // On SQLite no other process has the database: the leases of one that was killed are released at once.
  if (database.dialect === 'sqlite') await new Leases(database, holder).releaseAll()
  const folders = keptFolders(settings.database, settings.objects)
  return {
    ground: { database, clock: systemClock, newId },
    objects,
    keptFolders: folders,
    log,
    settings,
    holder,
    house: ROOMS,
    ending,
    opened,
  }
}

/** Starts the work in the background. */
async function beginWork(services: Services): Promise<void> {
  const { ground, work: queue, log, opened } = services
  if (ground.database.dialect === 'sqlite') await queue.letGoAll()
  const kinds = [...ROOMS.work(services), upkeepWork(services)]
  await opened.use(new Worker({ queue, kinds, clock: ground.clock, log })).start()
}

/** Requires keys or sign-in beyond this machine, and TLS, also of a proxy, unless `insecure` is set. @throws SLW_HOST_REFUSED */
function requireGuarded({ host, tls, behindProxy, insecure, signIn }: Settings, keyed: boolean): void {
  if (tls === undefined && !behindProxy && !insecure)
    throw new SlipwayError(
      'SLW_HOST_REFUSED',
      `${host} can be reached by others, and keys would go there in the clear: give --tls-cert and --tls-key, or --behind-proxy where a proxy speaks TLS, or --insecure`,
    )
  if (signIn === undefined && !keyed)
    throw new SlipwayError(
      'SLW_HOST_REFUSED',
      `${host} can be reached by others, and there is no API key yet: make one with slipway keys create NAME --scope admin, or listen on 127.0.0.1`,
    )
}

/** Opens a loopback port for the local server, which need not trust the certificate. Keys are required as everywhere. */
async function openLoopback(app: FastifyInstance, connections: Connections, opened: AsyncDisposableStack): Promise<string> {
  const server = createServer((request, response) => app.routing(request, response))
  connections.guard(server, false)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  opened.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function listen(app: FastifyInstance, { host, port }: Settings): Promise<void> {
  await app.listen({ host, port }).catch((error: unknown) => {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw error
    throw new SlipwayError('SLW_PORT_IN_USE', `port ${port} of ${host} is in use; choose another with --port`)
  })
}
