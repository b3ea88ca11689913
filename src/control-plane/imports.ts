import { NOTHING_YET } from '../contract/import-status.ts'
import { SlipwayError } from '../core/errors.ts'
import { Importer } from '../import/importer.ts'
import { TrackingServer } from '../import/tracking-server.ts'
import { requireOutsideUrl } from '../security/outside-address.ts'
import type { ImportCounts, ImportStatus } from '../contract/import-status.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { Inspect } from '../models/servable.ts'
import { Contents } from '../files/contents.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Claim, WorkQueue } from '../storage/work/work-queue.ts'
import type { WorkItem } from '../storage/work/work-item.ts'
import type { WorkKind } from '../storage/work/worker.ts'

export interface ImportsOptions {
  readonly ground: Ground
  /** Store of contents. Files of an import are recorded through the fence of its claim, as all its rows are. */
  readonly objects: ObjectStore
  readonly inspect: Inspect
  readonly queue: WorkQueue
  readonly allowInside: boolean
}

/** Address and credentials of the server to import from. */
export interface ImportRequest {
  readonly from: string
  readonly authorization?: string | undefined
}

const KIND = 'import'
/** Imports at a time: a server that keeps one waiting holds up few others. */
const AT_ONCE = 8

/** Payload of a work item. Credentials are in no database. */
interface Payload {
  readonly from: string
  readonly scope: Pick<Scope, 'environment' | 'actor' | 'reason'>
  /** The import was begun with credentials, which only the process that received them knows. */
  readonly authorized: boolean
}

interface Result {
  readonly there: ImportCounts
  readonly here: ImportCounts
}

/** Least pause between two writes of an import's progress. */
const TELL_EVERY_MS = 500

/** Imports from servers of MLflow, one at a time in each environment; an interrupted import goes on by itself, from where it was. */
export class Imports {
  readonly #options: ImportsOptions
  readonly #authorizations = new Map<string, string>()
  readonly work: WorkKind

  constructor(options: ImportsOptions) {
    this.#options = options
    // Errors are final, because the caller waits for them: an import is tried again only when its process has ended.
    this.work = { kind: KIND, concurrency: AT_ONCE, run: (claim, signal) => this.#run(claim, signal), isFinal: () => true }
  }

  /**
   * Begins an import, or returns the running one from the same address into the same environment.
   * @throws SLW_CONFLICT while another import into the environment runs; SLW_FORBIDDEN for an address of this machine or its network
   */
  async start({ environment, actor, reason }: Scope, { from, authorization }: ImportRequest): Promise<ImportStatus> {
    const { queue, allowInside, ground } = this.#options
    requireOutsideUrl(from, allowInside)
    const payload: Payload = { from, scope: { environment, actor, reason }, authorized: authorization !== undefined }
    // Credentials are kept before the item can be claimed, and it is reserved for this process: no other has them.
    const own = ground.newId()
    if (authorization !== undefined) this.#authorizations.set(own, authorization)
    const begun = await queue.database.write(
      async (write) =>
        await queue.enqueue(write, { kind: KIND, key: `${KIND} ${environment}`, payload, id: own, ours: authorization !== undefined }),
    )
    if (!begun.isNew) this.#authorizations.delete(own)
    const { id, isNew } = begun
    const item = (await queue.get(id))!
    const there = item.payload as Payload
    if (!isNew && there.from !== from)
      throw new SlipwayError('SLW_CONFLICT', `an import from ${there.from} goes on; try again when it is done`, { retryAfterMs: 5000 })
    return statusOf(item)
  }

  /** @throws SLW_NOT_FOUND */
  async get({ environment }: Scope, id: string): Promise<ImportStatus> {
    const item = await this.#options.queue.get(id)
    if (item?.kind !== KIND || (item.payload as Payload).scope.environment !== environment)
      throw new SlipwayError('SLW_NOT_FOUND', `no import has the id ${id}`)
    return statusOf(item)
  }

  async #run(claim: Claim, signal: AbortSignal): Promise<Result> {
    const { ground, objects, inspect, allowInside } = this.#options
    const { from, scope, authorized } = claim.item.payload as Payload
    const authorization = this.#authorizations.get(claim.item.id)
    if (authorized && authorization === undefined)
      throw new SlipwayError(
        'SLW_CONFLICT',
        `the control plane that was given the credentials for ${from} has ended, and they are written down nowhere: import again with them, and it goes on where it was`,
      )
    const server = new TrackingServer({ url: from, authorization, allowInside, signal })
    let told = -Infinity
    let telling: Promise<void> = Promise.resolve()
    const onProgress = (there: ImportCounts): void => {
      signal.throwIfAborted()
      if (performance.now() - told < TELL_EVERY_MS) return
      told = performance.now()
      telling = claim.progress(there).catch(() => {})
    }
    const fenced = { ...ground, database: claim.database }
    const contents = new Contents({ ...fenced, objects })
    const importer = new Importer({ ground: fenced, contents, inspect, scope, server, onProgress, signal })
    try {
      const there = await importer.run()
      return { there, here: await importer.here() }
    } finally {
      await telling
      if (!signal.aborted) this.#authorizations.delete(claim.item.id)
    }
  }
}

function statusOf({ id, payload, state, progress, result, error }: WorkItem): ImportStatus {
  const { from } = payload as Payload
  if (state === 'done') return { id, from, state: 'done', ...(result as Result) }
  const there = (progress as ImportCounts | undefined) ?? NOTHING_YET
  // An import that will be tried again counts as running; the error of its last attempt is reported meanwhile.
  if (state === 'waiting' || state === 'running') return { id, from, state: 'running', there, ...(error !== undefined && { error }) }
  return { id, from, state: 'failed', there, error: error ?? 'it was cancelled' }
}
