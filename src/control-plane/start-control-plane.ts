import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Access } from '../api/access.ts'
import { createApiServer } from '../api/api-server.ts'
import { News } from '../api/news.ts'
import { SlipwayError } from '../core/errors.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/log.ts'
import { Files } from '../registry/files.ts'
import { Inspector } from '../registry/inspector.ts'
import { Delivery, endpointDependents } from '../delivery/delivery.ts'
import { Windows } from '../monitoring/windows.ts'
import { Keys } from '../registry/keys.ts'
import { Registry } from '../registry/registry.ts'
import { Signers } from '../registry/signers.ts'
import { Webhooks } from '../registry/webhooks.ts'
import { AliasEndpoints } from '../delivery/alias-endpoints.ts'
import { Imports } from './imports.ts'
import { backups } from './make-backup.ts'
import { databaseUrl, objectsUrl, publicUrlOf, windowsUrl } from './places.ts'
import { repeat } from './repeat.ts'
import { SEND_EVERY_MS, sendWebhooks } from './send-webhooks.ts'
import { followDue } from './follow-due.ts'
import { tryOut } from './try-out.ts'
import { keepUp, UPKEEP_EVERY_MS } from './upkeep.ts'
import { isLoopback } from '../security/host-check.ts'
import { Contents } from '../storage/contents.ts'
import { PartUploads } from '../storage/part-uploads.ts'
import { openObjectStore } from '../storage/objects/open.ts'
import { Leases } from '../storage/sql/leases.ts'
import { openDatabase } from '../storage/sql/open.ts'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../core/log.ts'

export interface ControlPlaneOptions {
  /** Where everything lies that has no place of its own. */
  readonly data: string
  /** `sqlite:PATH` or `postgres://...`. Default: a file in `data`. */
  readonly database?: string | undefined
  /** `file:PATH` or `s3://bucket/prefix`. Default: a folder in `data`. */
  readonly objects?: string | undefined
  /** Default: 127.0.0.1. */
  readonly host?: string | undefined
  /** 0: any that is free. */
  readonly port: number
  /** Names that a loopback address may be reached by, beside those of this machine. */
  readonly allowedHosts?: readonly string[]
  /** Whether webhooks may tell addresses of this machine and its network. Default: no. */
  readonly allowPrivateAddresses?: boolean
  /** Whether clients of MLflow send and get large files from the bucket itself, by signed addresses. Default: no. */
  readonly directTransfers?: boolean
  /** By which clients reach the control plane, also through proxies. Clients of MLflow 3 send large files in parts where it is given. */
  readonly publicUrl?: string | undefined
  readonly logger?: Logger
  /** A server beside the control plane, which is started once there is something to serve. */
  readonly serving?: LocalServing
}

/** A server on this machine that follows: an alias `champion` is then enough of a declaration. */
export interface LocalServing {
  readonly url: string
  /** What it shows to be let in. */
  readonly key: string
  readonly onEndpoints: () => Promise<void>
}

/** A control plane that listens. */
export interface ControlPlane extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly registry: Registry
  readonly keys: Keys
}

/** How often it is looked for new documents while servers wait for one. */
const DELIVERY_LOOK_MS = 50
/** How often it is looked what a clock has made due. */
const CLOCK_EVERY_MS = 1000

/** How often aliases are looked at. */
const FOLLOW_EVERY_MS = 500

/** Until there are several, everything is in one. */
const ENVIRONMENTS: readonly [string, ...string[]] = ['default']

/**
 * Starts a control plane in this process.
 * @throws SLW_DATABASE_IN_USE, SLW_DATABASE_VERSION, SLW_CONFIG_INVALID, SLW_PORT_IN_USE; SLW_HOST_REFUSED for an address that others
 *   reach while there is no key
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { data, host = '127.0.0.1', port, logger: log = silentLogger, allowedHosts = [], allowPrivateAddresses = false } = options
  const { directTransfers = false } = options
  const publicUrl = publicUrlOf(options.publicUrl)
  const clock = systemClock
  const newId = (): string => randomUUID().replaceAll('-', '')
  await using opened = new AsyncDisposableStack()
  const objects = opened.use(await openObjectStore(objectsUrl(data, options.objects)))
  const database = opened.use(await openDatabase(databaseUrl(data, options.database)))
  const windows = new Windows(opened.use(await openDatabase(windowsUrl(databaseUrl(data, options.database)))), clock)
  const ground = { database, clock, newId, dependents: endpointDependents({ database, clock, newId }) }
  // What one that was killed left half-way; a data folder belongs to one control plane.
  const [inspecting, backingUp] = [join(data, 'inspecting'), join(data, 'backups')]
  for (const folder of [inspecting, backingUp]) await rm(folder, { recursive: true, force: true })
  const stored = { database, objects, clock, newId }
  const contents = new Contents(stored)
  const { inspect } = new Inspector({ contents, folder: inspecting, tryOut })
  const registry = new Registry(ground, inspect)
  const delivery = new Delivery(ground)
  const keys = new Keys(ground)
  for (const environment of ENVIRONMENTS) await registry.experiments.ensureDefault(environment)
  const holder = `${hostname()} ${process.pid}`
  // On SQLite we are alone: what one that was killed had goes on at once.
  if (database.dialect === 'sqlite') await new Leases(database, holder).releaseAll()
  const local = isLoopback(host)
  if (!local && !(await keys.any()))
    throw new SlipwayError(
      'SLW_HOST_REFUSED',
      `${host} can be reached by others, and there is no API key yet: make one with slipway keys create NAME --scope admin, or listen on 127.0.0.1`,
    )
  const partUploads = new PartUploads(stored)
  const files = new Files(ground, contents, partUploads)
  const access = new Access({ keys, local, allowedHosts, ownKey: options.serving?.key })
  const served = options.serving === undefined ? undefined : new AliasEndpoints({ ground, delivery, environment: ENVIRONMENTS[0], log })
  const app = await createApiServer({
    registry,
    files,
    contents,
    partUploads,
    directTransfers: directTransfers && objects.presignPart !== undefined,
    publicUrl,
    signers: new Signers(ground, contents),
    webhooks: new Webhooks(ground, { allowInside: allowPrivateAddresses }),
    keys,
    backup: backups({ database, objects, holder, folder: backingUp }),
    imports: opened.use(new Imports({ ground, contents, inspect, holder, log, allowInside: allowPrivateAddresses })),
    news: new News(() => registry.history.last()),
    delivery,
    windows,
    deliveryNews: new News(() => delivery.states.generation(), DELIVERY_LOOK_MS),
    access,
    log,
    environments: ENVIRONMENTS,
    ...(served !== undefined && options.serving !== undefined && { serving: { url: options.serving.url, models: () => served.served() } }),
  })
  opened.defer(() => app.close())
  await app.listen({ host, port }).catch((error: unknown) => {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw error
    throw new SlipwayError('SLW_PORT_IN_USE', `port ${port} of ${host} is in use; choose another with --port`)
  })
  const { serving } = options
  if (serving !== undefined && served !== undefined)
    opened.defer(repeat(async () => ((await served.follow()) ? serving.onEndpoints() : undefined), FOLLOW_EVERY_MS, log))
  opened.defer(repeat(() => sendWebhooks({ ground, holder, log, allowInside: allowPrivateAddresses }), SEND_EVERY_MS, log))
  opened.defer(repeat(() => followDue(delivery, { ground, holder, log }), CLOCK_EVERY_MS, log))
  opened.defer(repeat(() => keepUp({ ground, objects, log, holder, delivery, windows }), UPKEEP_EVERY_MS, log))
  const { port: bound } = app.server.address() as AddressInfo
  const held = opened.move()
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    registry,
    keys,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
