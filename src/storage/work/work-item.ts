import { jsonOf } from '../sql/json-of.ts'
import type { Selectable } from 'kysely'
import type { WORK_STATES } from '../../contract/work-api.ts'
import type { WorkItemsRow } from '../tables.ts'
import type { Schedule } from './schedule.ts'

export type WorkState = (typeof WORK_STATES)[number]

/** An item of background work, run by any of the processes. Times are UTC epoch milliseconds by the clock of the database. */
export interface WorkItem {
  readonly id: string
  readonly kind: string
  /** Unique among the waiting and running items of a kind. */
  readonly key: string | undefined
  readonly payload: unknown
  readonly state: WorkState
  /** Smaller is more urgent; 0 is the default. */
  readonly priority: number
  /** Time from which the item may be begun; of a running one, taken over by another process. Undefined once it has ended. */
  readonly claimAt: number | undefined
  /** Time at which an item that has not been begun is given up. */
  readonly deadlineAt: number | undefined
  readonly attempts: number
  readonly attemptsMax: number
  /** Grows with each claim. */
  readonly token: number
  /** The process that runs the item, or ran it last. */
  readonly holder: string | undefined
  readonly progress: unknown
  readonly result: unknown
  /** The last error. */
  readonly error: string | undefined
  /** Schedule of a recurring item. */
  readonly schedule: Schedule | undefined
  readonly createdAt: number
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
}

export interface NewWork {
  readonly kind: string
  /** JSON. */
  readonly payload?: unknown
  readonly key?: string | undefined
  readonly priority?: number
  /** Default: at once; with a schedule: at its next time. */
  readonly dueInMs?: number
  readonly deadlineInMs?: number | undefined
  /** Upper limit of attempts, counting those in which the process ended. Default: 5. */
  readonly attemptsMax?: number
  readonly schedule?: Schedule | undefined
  /** For a caller that has to know the ID before the item can be claimed. Default: drawn. */
  readonly id?: string
  /** Whether other processes leave the item to this one for a minute, unless it is known to be gone. Default: false. */
  readonly ours?: boolean
}

export function toWorkItem(row: Selectable<WorkItemsRow>): WorkItem {
  return {
    id: row.id,
    kind: row.kind,
    key: row.unique_key ?? undefined,
    payload: JSON.parse(row.payload) as unknown,
    state: row.state as WorkState,
    priority: row.priority,
    claimAt: row.claim_at ?? undefined,
    deadlineAt: row.deadline_at ?? undefined,
    attempts: row.attempts,
    attemptsMax: row.attempts_max,
    token: row.token,
    holder: row.holder ?? undefined,
    progress: jsonOf(row.progress),
    result: jsonOf(row.result),
    error: row.error ?? undefined,
    schedule: jsonOf<Schedule>(row.schedule),
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
  }
}
