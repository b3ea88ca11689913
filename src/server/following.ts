import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { apiAddress, DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import { systemClock } from '../core/clock.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { shortDigest } from '../core/short-digest.ts'
import { ControlPlaneClient } from '../following/control-plane-client.ts'
import { Credentials } from '../following/credentials.ts'
import { FeedbackSender } from '../following/feedback/feedback-sender.ts'
import { FeedbackSpool } from '../following/feedback/feedback-spool.ts'
import { Follower } from '../following/follower.ts'
import { LocalStore } from '../following/local-store.ts'
import { Reporter } from '../following/reporter.ts'
import { WindowFolders } from '../following/windows/folders.ts'
import { ServerWindows } from '../following/windows/server-windows.ts'
import { WindowCutter } from '../following/windows/cutter.ts'
import { RecordPusher } from '../following/records/record-pusher.ts'
import { spoolFolder } from '../serving/records/spool-files.ts'
import { Secrets } from '../security/secrets/secrets.ts'
import type { DesiredEndpoint } from '../contract/desired-endpoint.ts'
import type { Logger } from '../core/log.ts'
import type { ControlPlaneAddress, FollowStatus, Selection } from '../following/types.ts'
import type { LiveEndpoint } from '../serving/live.ts'
import type { Observed } from '../serving/observe/observations.ts'
import type { Applied } from '../serving/reconciler.ts'
import { JOIN_TOKEN_VARIABLE } from './control-plane-options.ts'
import type { ControlPlaneConfig } from './control-plane-options.ts'
import type { Source } from './source.ts'

/** The serving side, whether in this process or in several. */
export interface Served {
  /** Loads the desired state of an endpoint and puts it in use; undefined takes the endpoint out of service. */
  readonly change: (name: string, desired: DesiredEndpoint | undefined) => Promise<Applied>
  /** Puts the routing of a desired state in force at once. */
  readonly route: (desired: readonly DesiredEndpoint[]) => void
  /** Current state of the endpoints. */
  readonly live: () => readonly LiveEndpoint[]
  /** Calls back whenever `live` may have changed. */
  readonly watch: (changed: () => void) => void
}

export interface FollowingOptions {
  readonly config: ControlPlaneConfig
  /** Port of the configuration; 0 where any free one will do. */
  readonly port: number
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: Logger
  readonly served: Served
  /** Observations of all processes of the server. */
  readonly observed: () => Promise<readonly Observed[]>
}

/** A control plane as the source of the desired state. */
export async function sourceOfControlPlane(options: FollowingOptions): Promise<Source> {
  const { config, port, log, served } = options
  const clock = systemClock
  await using opened = new AsyncDisposableStack()
  const address = await addressOf(options)
  const store = await LocalStore.open(config.store, config.storeMb * 1024 * 1024)
  const client = opened.use(new ControlPlaneClient(address))
  const selection: Selection = { endpoints: config.endpoints }
  const bootId = randomBytes(8).toString('hex')
  let reporter: Reporter | undefined
  const follower = opened.use(
    new Follower({
      selection,
      url: config.url,
      name: JSON.stringify([config.url, config.environment ?? '', config.endpoints]),
      client,
      store,
      change: served.change,
      route: served.route,
      live: served.live,
      clock,
      log,
      onChange: () => reporter?.changed(),
    }),
  )
  let windows: ServerWindows | undefined
  const feedback = opened.use(
    new FeedbackSender({ spool: await FeedbackSpool.open(feedbackFolder(store.folder, config)), client, clock, log }),
  )
  let records: RecordPusher | undefined
  const status = (): FollowStatus => {
    const now = follower.status()
    const trouble = now.trouble ?? windows?.trouble ?? feedback.trouble
    return { ...now, trouble, recordsRefused: records?.refused ?? 0 }
  }
  const held = opened.move()
  return {
    models: () =>
      follower.status().endpoints.map(({ name, versions }) => ({
        name,
        versions: versions.map(({ version }) => String(version)),
        path: undefined,
        pinned: undefined,
        unloaded: false,
      })),
    switchTo: refused(config.url),
    load: refused(config.url),
    add: refused(config.url),
    remove: refused(config.url),
    setServing: refused(config.url),
    unload: refused(config.url),
    rescan: () => follower.refresh(),
    state: () => ({ following: status(), skipped: [] }),
    takeFeedback: (items) => feedback.take(items),
    async begin({ url, port: bound }) {
      const server = config.serverName ?? `${hostname()}:${port === 0 ? bound : port}`
      client.credentials = new Credentials({ address, client, server, bootId, folder: store.folder, clock })
      const cutter = new WindowCutter({ server, bootId }, clock.epochMs())
      windows = new ServerWindows({
        folders: new WindowFolders(store.folder, config),
        server,
        cutter,
        client,
        clientOf: (other) => clientAs(other, address, store.folder),
        observed: options.observed,
        clock,
        log,
      })
      held.use(windows)
      records = held.use(new RecordPusher({ folder: spoolFolder(store.folder, config), client, server, clock, log }))
      reporter = held.use(new Reporter({ client, server, bootId, url, status, clock, log }))
      served.watch(() => reporter?.changed())
      windows.start()
      feedback.start()
      records.start()
      await follower.start()
      reporter.changed()
      return []
    },
    close: () => held.disposeAsync(),
  }
}

/** Labels for one environment of one control plane, from all servers of the machine. */
function feedbackFolder(store: string, { url, environment = DEFAULT_ENVIRONMENT }: ControlPlaneConfig): string {
  return join(store, 'feedback', shortDigest(apiAddress({ url, environment })))
}

/** A client that speaks for a server that ran here, with the key of that server where it is still valid. */
function clientAs(server: string, address: ControlPlaneAddress, folder: string): ControlPlaneClient {
  const client = new ControlPlaneClient(address)
  client.credentials = new Credentials({
    address,
    client,
    server,
    bootId: randomBytes(8).toString('hex'),
    takesPlace: false,
    folder,
    clock: systemClock,
  })
  return client
}

async function addressOf({ config, environment, log }: FollowingOptions): Promise<ControlPlaneAddress> {
  const { url, joinToken, apiKey, ca } = config
  const secrets = new Secrets({ environment, log })
  const given = environment[JOIN_TOKEN_VARIABLE]
  const reference = joinToken ?? (given === undefined || given === '' ? undefined : `env:${JOIN_TOKEN_VARIABLE}`)
  const token = reference === undefined ? undefined : secrets.secret('controlPlane.joinToken', reference)
  const key = apiKey === undefined ? undefined : secrets.secret('controlPlane.apiKey', apiKey)
  return {
    url,
    environment: config.environment,
    ...(token !== undefined && { joinToken: async () => (await token.value()).trim() }),
    ...(key !== undefined && { apiKey: async () => (await key.value()).trim() }),
    ...(ca !== undefined && {
      ca: await readFile(ca, 'utf8').catch((error: unknown) => {
        throw new SlipwayError('SLW_CONFIG_INVALID', `controlPlane.ca ${ca} cannot be read: ${messageOf(error)}`)
      }),
    }),
  }
}

function refused(url: string): () => Promise<never> {
  return () =>
    Promise.reject(
      new SlipwayError(
        'SLW_CONFLICT',
        `what this server serves is declared at ${url}: change it there, with slipway deploy, slipway alias set or slipway endpoint rollback`,
      ),
    )
}
