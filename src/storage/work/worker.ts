import { setImmediate as nextTurn } from 'node:timers/promises'
import { backoffMs } from '../../core/backoff.ts'
import { orLate } from '../../core/clock.ts'
import { isSlipwayError, messageOf, SlipwayError } from '../../core/errors.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Claim, Outcome, WorkQueue } from './work-queue.ts'
import type { NewWork, WorkItem } from './work-item.ts'

/** A kind of work, with the function that does it. */
export interface WorkKind {
  readonly kind: string
  /** Upper limit of items that this process runs at a time. Default: 1. */
  readonly concurrency?: number
  /** A recurring item that exists from the start, one under its key. */
  readonly standing?: Omit<NewWork, 'kind'> & { readonly key: string }
  /** Whether there is anything to do: asked before a due item is claimed, for kinds that mostly have nothing to do. Default: true. */
  isWanted?(): Promise<boolean>
  /**
   * Runs an item.
   * @param signal ends the run: the claim is lost, the item was cancelled, or the process ends
   * @returns the result, JSON. @throws to have the item run again after a pause, up to its limit of attempts
   */
  run(claim: Claim, signal: AbortSignal): Promise<unknown>
  /** Whether an error would be thrown again. Default: whether it is of a kind that is not to be retried. */
  isFinal?(error: unknown): boolean
}

export interface WorkerOptions {
  readonly queue: WorkQueue
  readonly kinds: readonly WorkKind[]
  readonly clock: Clock
  readonly log: Logger
  /** Time that others wait for a process that has died or hangs. Claims are renewed three times in this time. Default: 30000. */
  readonly leaseMs?: number
  /** Pause between two looks for due items. Default: 500. */
  readonly lookMs?: number
}

/** The outcome of an item that is still to be written down. */
interface Ending {
  readonly item: WorkItem
  readonly outcome: Outcome
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Running {
  readonly claim: Claim
  readonly kind: WorkKind
  readonly abort: AbortController
}

const LEASE_MS = 30_000
const LOOK_MS = 500

/** Runs due items of some kinds, in one process of any number. Closing it signals running items to end, and waits for them. */
export class Worker implements AsyncDisposable {
  readonly #options: WorkerOptions
  readonly #leaseMs: number
  readonly #running = new Map<string, Running>()
  readonly #work = new Set<Promise<void>>()
  readonly #ended = new AbortController()
  /** Outcomes that are still to be written down: many at once are one transaction. */
  #ending: Ending[] = []
  #flushing = false
  #looking: Promise<void> | undefined
  #again = false
  /** Time of the last look that counted all free places, monotonic milliseconds. */
  #thoroughMs = -Infinity
  #cancelLook: (() => void) | undefined
  #cancelBeat: (() => void) | undefined
  /** End of the present claims without another heartbeat, monotonic milliseconds. */
  #heldUntilMs = 0

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#leaseMs = options.leaseMs ?? LEASE_MS
  }

  /** Enqueues the standing items, and begins. */
  async start(): Promise<void> {
    const { queue, kinds } = this.#options
    for (const { kind, standing } of kinds) {
      if (standing === undefined) continue
      await queue.database.write(async (write) => {
        const { id, isNew } = await queue.enqueue(write, { kind, ...standing })
        if (!isNew && standing.schedule !== undefined) await queue.reschedule(write, id, standing.schedule)
      })
    }
    this.#beat()
    this.wake()
  }

  /** Looks now instead of at the next time. */
  wake(): void {
    if (this.#ended.signal.aborted) return
    if (this.#looking !== undefined) {
      this.#again = true
      return
    }
    this.#cancelLook?.()
    this.#looking = this.#look()
      .catch((error: unknown) => this.#options.log.warn({}, `work in the background cannot be looked for: ${messageOf(error)}`))
      .finally(() => {
        this.#looking = undefined
        if (this.#ended.signal.aborted) return
        if (this.#again) {
          this.#again = false
          this.wake()
        } else this.#cancelLook = this.#options.clock.after(this.#options.lookMs ?? LOOK_MS, () => this.wake())
      })
  }

  async #look(): Promise<void> {
    const { queue, kinds, clock } = this.#options
    const now = clock.monotonicMs()
    const thorough = now - this.#thoroughMs >= (this.#options.lookMs ?? LOOK_MS)
    if (thorough) this.#thoroughMs = now
    const looks = await Promise.allSettled(
      kinds.map(async (kind) => {
        const { concurrency = 1 } = kind
        const room = concurrency - this.#count(kind)
        // Between two regular looks, a few places that have become free are not worth a transaction while most are taken.
        if (room <= 0 || (!thorough && room * 2 < concurrency) || !(await queue.isDue(kind.kind))) return
        if (kind.isWanted !== undefined && !(await kind.isWanted())) return
        if (this.#ended.signal.aborted) return
        const asked = clock.monotonicMs()
        const claims = await queue.claim(kind.kind, room, this.#leaseMs)
        if (this.#ended.signal.aborted) {
          await queue.letGo(claims.map(({ item }) => item))
          return
        }
        // The claims began before the answer came.
        this.#heldUntilMs = this.#running.size === 0 ? asked + this.#leaseMs : Math.min(this.#heldUntilMs, asked + this.#leaseMs)
        for (const claim of claims) this.#begin(kind, claim)
      }),
    )
    // A failed look for one kind does not hold up the others.
    for (const look of looks) if (look.status === 'rejected') throw look.reason
  }

  #count(kind: WorkKind): number {
    let count = 0
    for (const running of this.#running.values()) if (running.kind === kind) count++
    return count
  }

  #begin(kind: WorkKind, claim: Claim): void {
    const running: Running = { claim, kind, abort: new AbortController() }
    // A process that hung for longer than the lease may have taken over from itself.
    this.#running.get(claim.item.id)?.abort.abort(lostError(claim.item))
    this.#running.set(claim.item.id, running)
    const work = this.#run(running).finally(() => {
      if (this.#running.get(claim.item.id) === running) this.#running.delete(claim.item.id)
      this.#work.delete(work)
      // Its place is free.
      this.wake()
    })
    this.#work.add(work)
  }

  /** Never rejects. */
  async #run({ claim, kind, abort }: Running): Promise<void> {
    const { log } = this.#options
    const { item } = claim
    const where = { work: item.id, kind: item.kind, attempt: item.attempts }
    try {
      const outcome = await this.#outcome(kind, claim, AbortSignal.any([abort.signal, this.#ended.signal]))
      if (outcome === undefined) return
      if (outcome.state === 'failed') log.warn({ ...where, error: outcome.error }, 'work in the background failed')
      await this.#end(item, outcome)
    } catch (error) {
      if (isLost(error)) log.info(where, 'work in the background was taken over by another process, or ended')
      else log.warn(where, `how work in the background ended cannot be written down: ${messageOf(error)}`)
    }
  }

  /** @returns undefined for an item that has been ended, or let go */
  async #outcome(kind: WorkKind, claim: Claim, signal: AbortSignal): Promise<Outcome | undefined> {
    try {
      const result = await kind.run(claim, signal)
      return claim.ended ? undefined : { state: 'done', result }
    } catch (error) {
      if (isLost(error)) throw error
      if (this.#ended.signal.aborted) {
        await this.#options.queue.letGo([claim.item])
        return undefined
      }
      const final = kind.isFinal?.(error) ?? (isSlipwayError(error) && !error.kind.retry)
      return { state: 'failed', error: messageOf(error), againInMs: final ? undefined : backoffMs(claim.item.attempts - 1) }
    }
  }

  #end(item: WorkItem, outcome: Outcome): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#ending.push({ item, outcome, resolve, reject })
    if (!this.#flushing) void this.#flush()
    return promise
  }

  /** Never rejects. Outcomes that come while others are written down are written down with the next. */
  async #flush(): Promise<void> {
    this.#flushing = true
    // Items that end in one turn of the event loop are one transaction.
    await nextTurn()
    while (this.#ending.length > 0) {
      const ending = this.#ending
      this.#ending = []
      try {
        const ours = await this.#options.queue.end(ending)
        for (const { item, resolve, reject } of ending)
          if (ours.has(item.id)) resolve()
          else reject(lostError(item))
      } catch {
        // An outcome that cannot be written down must not affect the others.
        for (const one of ending) await this.#endAlone(one)
      }
    }
    this.#flushing = false
  }

  /** Never rejects. A result that the database refuses is written down as a failure. */
  async #endAlone({ item, outcome, resolve, reject }: Ending): Promise<void> {
    const { queue } = this.#options
    try {
      const ours = await queue.end([{ item, outcome }]).catch(async (error: unknown) => {
        const failure = {
          state: 'failed',
          error: `how it ended cannot be written down: ${messageOf(error)}`,
          againInMs: undefined,
        } as const
        return await queue.end([{ item, outcome: failure }])
      })
      if (ours.has(item.id)) resolve()
      else reject(lostError(item))
    } catch (error) {
      reject(error)
    }
  }

  #beat(): void {
    this.#cancelBeat = this.#options.clock.after(this.#leaseMs / 3, () => {
      void this.#renew().finally(() => {
        if (!this.#ended.signal.aborted || this.#running.size > 0) this.#beat()
      })
    })
  }

  /** Renews the claims. Items whose claim is lost, or could not be renewed for as long as it lasts, are ended by their signal. */
  async #renew(): Promise<void> {
    const { queue, clock, log } = this.#options
    const held = [...this.#running.values()]
    if (held.length === 0) return
    const asked = clock.monotonicMs()
    try {
      const ids = held.map(({ claim }) => claim.item.id)
      const ours = await orLate(clock, Math.max(0, this.#heldUntilMs - asked), queue.renew(ids, this.#leaseMs))
      if (ours === 'late') throw new Error('it was not renewed for as long as it lasts')
      this.#heldUntilMs = asked + this.#leaseMs
      for (const { claim, abort } of held) if (!ours.has(claim.item.id)) abort.abort(lostError(claim.item))
    } catch (error) {
      log.warn({}, `work in the background could not be kept: ${messageOf(error)}`)
      if (clock.monotonicMs() < this.#heldUntilMs) return
      for (const { claim, abort } of held) abort.abort(lostError(claim.item))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error('the process ends'))
    this.#cancelLook?.()
    await this.#looking
    await Promise.all(this.#work)
    this.#cancelBeat?.()
  }
}

function lostError({ kind, id }: WorkItem): SlipwayError {
  return new SlipwayError('SLW_LEASE_LOST', `${kind} ${id} is ours no more: another has taken over, or it was ended`)
}

function isLost(error: unknown): boolean {
  return isSlipwayError(error) && error.code === 'SLW_LEASE_LOST'
}
