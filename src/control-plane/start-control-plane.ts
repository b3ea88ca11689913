import { originOf } from '../core/origin.ts'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
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
import { Keys } from '../access/keys.ts'
import { People } from '../access/people.ts'
import { Refusals } from '../access/refusals.ts'
import { SignIn } from '../access/sign-in.ts'
import { Environments } from '../ledger/environments.ts'
import { DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import { Registry } from '../registry/registry.ts'
import { Signers } from '../registry/signers.ts'
import { Webhooks } from '../ledger/webhooks.ts'
import { AliasEndpoints } from '../delivery/alias-endpoints.ts'
import { Imports } from './imports.ts'
import { backups } from './make-backup.ts'
import { databaseUrl, objectsUrl, publicUrlOf, windowsUrl } from './storage-urls.ts'
import { tryOut } from './try-out.ts'
import { beginBackground } from './background.ts'
import { Secrets } from '../security/secrets/secrets.ts'
import { Certificates } from '../security/certificates.ts'
import { isLoopback } from '../security/host-check.ts'
import { Contents } from '../storage/contents.ts'
import { PartUploads } from '../storage/part-uploads.ts'
import { openObjectStore } from '../storage/objects/open.ts'
import { Leases } from '../storage/sql/leases.ts'
import { WorkQueue } from '../storage/work/work-queue.ts'
import { openDatabase } from '../storage/sql/open.ts'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { SignInOptions } from '../access/sign-in.ts'
import type { Secret } from '../security/secrets/secrets.ts'
import type { Role } from '../contract/roles.ts'
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
  /** PEM files; `clientCa` also asks clients for a certificate. Default: without TLS. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string | undefined } | undefined
  /** A proxy before us speaks TLS. Default: false. */
  readonly behindProxy?: boolean
  /** Listens beyond this machine without TLS all the same. Default: false. */
  readonly insecure?: boolean
  /** Of one caller. Default: 60000. */
  readonly requestsPerMinute?: number | undefined
  /** Password of the PostgreSQL user, over what the URL says. */
  readonly databasePassword?: Secret | undefined
  /** Where references to secrets are looked up. Default: new ones. */
  readonly secrets?: Secrets
  /** Where people sign in. Default: nobody does. */
  readonly signIn?: SignInConfig | undefined
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

/** An OpenID Connect issuer, and what people who sign in there may do. */
export interface SignInConfig extends Pick<SignInOptions, 'issuer' | 'clientId' | 'clientSecret' | 'groupsClaim' | 'scope'> {
  /** What everybody who can sign in may do everywhere. Default: nothing. */
  readonly defaultRole?: Role | undefined
  /** Addresses or names of the first admins. */
  readonly admins?: readonly string[]
}

/** A control plane that listens. */
export interface ControlPlane extends AsyncDisposable {
  readonly url: string
  /** The same for the server that we have started: without TLS, on this machine only. Undefined where `url` is. */
  readonly localUrl: string | undefined
  readonly port: number
  readonly registry: Registry
  readonly delivery: Delivery
  readonly work: WorkQueue
  readonly keys: Keys
}

/** How often it is looked for new documents while servers wait for one. */
const DELIVERY_LOOK_MS = 50
/** Clients of MLflow log a metric with each step of a loop. */
const REQUESTS_PER_MINUTE = 60_000

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
  const password = options.databasePassword === undefined ? undefined : () => options.databasePassword!.value()
  const objects = opened.use(await openObjectStore(objectsUrl(data, options.objects)))
  const database = opened.use(await openDatabase(databaseUrl(data, options.database), password))
  const seen = opened.use(await openDatabase(windowsUrl(databaseUrl(data, options.database)), password))
  const windows = new Windows(seen, clock)
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
  const secrets = options.secrets ?? new Secrets({ log })
  const environments = new Environments(ground, (name) => registry.experiments.ensureDefault(name))
  await environments.begin()
  const people = new People(ground, { defaultRole: options.signIn?.defaultRole, admins: options.signIn?.admins ?? [] })
  const refusals = new Refusals(database, clock)
  // Numbers of processes are used again; a holder of work is not.
  const holder = `${hostname()} ${process.pid} ${newId().slice(0, 8)}`
  const queue = new WorkQueue({ database, holder, newId })
  const imports = new Imports({ ground, objects, inspect, queue, allowInside: allowPrivateAddresses })
  // On SQLite we are alone: what one that was killed had goes on at once.
  if (database.dialect === 'sqlite') await new Leases(database, holder).releaseAll()
  // What a proxy passes on comes from anywhere.
  const local = isLoopback(host) && options.behindProxy !== true
  const certificates = options.tls && opened.use(await Certificates.open({ ...options.tls, clientCa: options.tls.clientCa }, log))
  const signIn = openSignIn(options, people, { host, publicUrl })
  if (!local) requireDoors(host, { ...options, keyed: await keys.any() })
  const secure = certificates !== undefined || options.behindProxy === true || publicUrl?.startsWith('https:') === true
  const partUploads = new PartUploads(stored)
  const files = new Files(ground, contents, partUploads)
  const ownKey = options.serving?.key
  const access = new Access({ keys, people, local, secure, signIn: options.signIn !== undefined, allowedHosts, ownKey })
  const served = options.serving === undefined ? undefined : new AliasEndpoints({ ground, delivery, environment: DEFAULT_ENVIRONMENT, log })
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
    imports,
    work: queue,
    news: new News(() => registry.history.last()),
    delivery,
    windows,
    deliveryNews: new News(() => delivery.states.generation(), DELIVERY_LOOK_MS),
    access,
    log,
    environments,
    people,
    refusals,
    certificates,
    behindProxy: options.behindProxy === true,
    secure,
    requestsPerMinute: options.requestsPerMinute ?? REQUESTS_PER_MINUTE,
    signIn,
    ...(served !== undefined && options.serving !== undefined && { serving: { url: options.serving.url, models: () => served.served() } }),
  })
  opened.defer(() => app.close())
  await listen(app, { host, port })
  const { serving } = options
  const localUrl = certificates === undefined || serving === undefined ? undefined : await openLoopback(app, opened)
  const beside = serving === undefined || served === undefined ? undefined : { served, onEndpoints: serving.onEndpoints }
  const allowInside = allowPrivateAddresses
  const kinds = [imports.work]
  opened.use(await beginBackground({ ground, objects, windows: seen, queue, kinds, log, refusals, secrets, allowInside, local: beside }))
  const { port: bound } = app.server.address() as AddressInfo
  const held = opened.move()
  return {
    localUrl,
    url: originOf({ secure: certificates !== undefined, host, port: bound }),
    port: bound,
    registry,
    delivery,
    work: queue,
    keys,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Beyond this machine nothing is open without keys or sign-in, and nothing in the clear unless somebody says so. @throws SLW_HOST_REFUSED */
function requireDoors(
  host: string,
  { tls, behindProxy, insecure, signIn, keyed }: ControlPlaneOptions & { readonly keyed: boolean },
): void {
  if (tls === undefined && behindProxy !== true && insecure !== true)
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

/** @throws SLW_CONFIG_INVALID where browsers could not find back */
function openSignIn(
  { signIn, port, tls }: ControlPlaneOptions,
  people: People,
  { host, publicUrl }: { host: string; publicUrl: string | undefined },
): SignIn | undefined {
  if (signIn === undefined) return undefined
  const { issuer, clientId, clientSecret, groupsClaim, scope } = signIn
  if (publicUrl === undefined && port === 0)
    throw new SlipwayError('SLW_CONFIG_INVALID', 'people who sign in are sent back to us: give --public-url, or a port')
  const here = publicUrl ?? originOf({ secure: tls !== undefined, host, port })
  return new SignIn({ issuer, clientId, clientSecret, groupsClaim, scope, publicUrl: here, people })
}

/** A second door for the server beside us, which need not believe our certificate. Keys are asked for as everywhere. */
async function openLoopback(app: FastifyInstance, opened: AsyncDisposableStack): Promise<string> {
  const server = createServer((request, response) => app.routing(request, response))
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

async function listen(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<void> {
  await app.listen({ host, port }).catch((error: unknown) => {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw error
    throw new SlipwayError('SLW_PORT_IN_USE', `port ${port} of ${host} is in use; choose another with --port`)
  })
}
