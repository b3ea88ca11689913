import { randomUUID } from 'node:crypto'
import { MODEL_REFERENCE, modelReference } from '../contract/endpoint.ts'
import { Cron } from 'croner'
import { systemClock } from '../core/clock.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { ControlPlaneClient } from '../following/control-plane-client.ts'
import { Credentials } from '../following/credentials.ts'
import { Follower } from '../following/follower.ts'
import { LocalStore, STORE_MB } from '../following/local-store.ts'
import { cacheFolder } from '../core/cache-folder.ts'
import type { Logger } from '../core/log.ts'
import type { FollowStatus } from '../following/types.ts'
import type { DataPlane } from '../serving/data-plane.ts'

/** Control plane of `models:/NAME@ALIAS`, and when the alias is looked up. */
export interface FollowModelOptions {
  /** URL of the control plane, alone or with environment, API key and CA. */
  readonly controlPlane: string | { readonly url: string; readonly environment?: string; readonly apiKey?: string; readonly ca?: string }
  /**
   * `notification`: as soon as the alias moves. `manual`: when `refresh` is called. Or at the times of a cron line, with an IANA time
   * zone, UTC by default. Default: notification.
   */
  readonly follow?: 'notification' | 'manual' | { readonly cron: string; readonly timeZone?: string }
  /** Folder for versions, shared with servers on this machine. Default: ~/.cache/slipway/store. */
  readonly store?: string
  /** Disk space for all versions on this machine, megabytes. Default: 20480. */
  readonly storeMb?: number
}

/** A model that comes from a control plane, and follows it. */
export interface FollowedModel extends AsyncDisposable {
  /** Name of the endpoint in the data plane. */
  readonly name: string
  status(): FollowStatus
  /** Looks up the alias now. @throws SLW_UNREACHABLE; the reason why the version that the alias points to is not served */
  refresh(): Promise<void>
}

/** Reads `models:/churn@champion` or `models:/churn/3`; undefined for a path. @throws SLW_CONFIG_INVALID for other text after `models:/` */
export function referenceOf(text: string): { readonly reference: string; readonly model: string } | undefined {
  if (!text.startsWith('models:/')) return undefined
  const reference = text.slice('models:/'.length).replace(/^\/+/, '')
  if (MODEL_REFERENCE.test(reference)) return { reference, model: modelReference(reference).model }
  throw new SlipwayError('SLW_CONFIG_INVALID', `"${text}" names no version; expected models:/NAME@ALIAS or models:/NAME/NUMBER`)
}

/** Loads the version that a reference points to, and the next ones as they come. @throws the reason why none could be loaded */
export async function followModel(
  { reference, model }: { readonly reference: string; readonly model: string },
  { controlPlane, follow = 'notification', store, storeMb = STORE_MB }: FollowModelOptions,
  { dataPlane, log }: { readonly dataPlane: DataPlane; readonly log: Logger },
): Promise<FollowedModel> {
  const given = typeof controlPlane === 'string' ? { url: controlPlane } : controlPlane
  const address = { ...given, url: given.url.replace(/\/+$/, '') }
  await using opened = new AsyncDisposableStack()
  const client = opened.use(new ControlPlaneClient(address))
  const localStore = await LocalStore.open(store ?? cacheFolder('store'), storeMb * 1024 * 1024)
  client.credentials = new Credentials({
    address,
    client,
    server: 'library',
    bootId: randomUUID(),
    folder: localStore.folder,
    clock: systemClock,
  })
  const follower = opened.use(
    new Follower({
      selection: { references: [reference] },
      url: address.url,
      name: JSON.stringify([address.url, address.environment ?? '', reference]),
      client,
      store: localStore,
      change: (name, desired) => dataPlane.change(name, desired),
      route: (desired) => dataPlane.route(desired),
      live: () => dataPlane.live(),
      clock: systemClock,
      log,
      continuous: follow === 'notification',
    }),
  )
  await follower.start()
  if (dataPlane.endpoints.get(model)?.variants.some(({ ready }) => ready) !== true)
    throw follower.failure() ?? notThere(reference, address.url)
  if (typeof follow === 'object') opened.use(atTimes(follow, () => follower.refresh(), log))
  const held = opened.move()
  return {
    name: model,
    status: () => follower.status(),
    async refresh() {
      await follower.refresh()
      const failure = follower.failure()
      if (failure !== undefined) throw failure
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

function notThere(reference: string, url: string): SlipwayError {
  return new SlipwayError('SLW_NOT_FOUND', `${url} knows no version for ${reference}`)
}

/** @throws SLW_CONFIG_INVALID for an invalid cron line or time zone */
function atTimes({ cron, timeZone = 'UTC' }: { cron: string; timeZone?: string }, act: () => Promise<void>, log: Logger): Disposable {
  try {
    const job = new Cron(cron, { timezone: timeZone, mode: '5-part', unref: true, protect: true }, () =>
      act().catch((error: unknown) => log.warn({}, `the control plane cannot be followed: ${messageOf(error)}; what is loaded goes on`)),
    )
    return { [Symbol.dispose]: () => job.stop() }
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `follow: ${JSON.stringify(cron)} in ${timeZone}: ${messageOf(error)}`)
  }
}
