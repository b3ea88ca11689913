import { NOTHING_YET } from '../contract/import-status.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { Importer } from '../registry/import/importer.ts'
import { TrackingServer } from '../registry/import/tracking-server.ts'
import { requireOutsideUrl } from '../security/outside-address.ts'
import { holdLease } from './under-lease.ts'
import type { ImportStatus } from '../contract/import-status.ts'
import type { Logger } from '../core/log.ts'
import type { Ground, Scope } from '../registry/ground.ts'
import type { Inspect } from '../registry/servable.ts'
import type { Contents } from '../storage/contents.ts'

export interface ImportsOptions {
  readonly ground: Ground
  readonly contents: Contents
  readonly inspect: Inspect
  readonly holder: string
  readonly log: Logger
  readonly allowInside: boolean
}

/** Where and how another server is asked. */
export interface ImportRequest {
  readonly from: string
  readonly authorization?: string | undefined
}

/** Imports that are remembered. */
const KEPT = 100

/** Imports from servers of MLflow. One at a time; what it has done stays when it ends before its time, and the next one goes on there. */
export class Imports implements AsyncDisposable {
  readonly #options: ImportsOptions
  readonly #known = new Map<string, ImportStatus>()
  readonly #running = new Set<Promise<void>>()
  #closed = false

  constructor(options: ImportsOptions) {
    this.#options = options
  }

  /** @throws SLW_CONFLICT while another goes on; SLW_FORBIDDEN for an address of this machine or its network */
  async start(scope: Scope, { from, authorization }: ImportRequest): Promise<ImportStatus> {
    const { ground, holder, allowInside } = this.#options
    requireOutsideUrl(from, allowInside)
    const lease = await holdLease({ database: ground.database, holder, name: 'import' })
    if (lease === undefined)
      throw new SlipwayError('SLW_CONFLICT', 'another import goes on; try again when it is done', { retryAfterMs: 5000 })
    const id = ground.newId()
    if (this.#known.size >= KEPT) this.#known.delete(this.#known.keys().next().value!)
    this.#set({ id, from, state: 'running', there: NOTHING_YET })
    const running = this.#runUnder(lease, scope, { id, from, authorization }).finally(() => this.#running.delete(running))
    this.#running.add(running)
    return this.get(id)
  }

  /** @throws SLW_NOT_FOUND */
  get(id: string): ImportStatus {
    const status = this.#known.get(id)
    if (status === undefined)
      throw new SlipwayError('SLW_NOT_FOUND', `no import with the id ${id} was begun since this control plane started`)
    return status
  }

  #set(status: ImportStatus): void {
    this.#known.set(status.id, status)
  }

  async #runUnder(lease: AsyncDisposable, scope: Scope, request: ImportRequest & { id: string }): Promise<void> {
    try {
      await using _held = lease
      await this.#run(scope, request)
    } catch (error) {
      this.#options.log.error({}, messageOf(error))
    }
  }

  async #run(scope: Scope, { id, from, authorization }: ImportRequest & { id: string }): Promise<void> {
    const { ground, contents, inspect, allowInside, log } = this.#options
    const server = new TrackingServer({ url: from, authorization, allowInside })
    const onProgress = (there: ImportStatus['there']): void => {
      if (this.#closed) throw new SlipwayError('SLW_CLOSED', 'the control plane ends')
      this.#set({ ...this.get(id), there })
    }
    const importer = new Importer({ ground, contents, inspect, scope, server, onProgress })
    try {
      const there = await importer.run()
      this.#set({ ...this.get(id), state: 'done', there, here: await importer.here() })
      log.info({ ...there }, 'import done')
    } catch (error) {
      this.#set({ ...this.get(id), state: 'failed', error: messageOf(error) })
      log.warn({ id }, `import failed: ${messageOf(error)}`)
    }
  }

  /** Waits until the one that goes on has noticed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    await Promise.all(this.#running)
  }
}
