import { jsonOf } from '../sql/json-of.ts'
import type { Selectable } from 'kysely'
import type { WORK_STATES } from '../../contract/work-api.ts'
import type { WorkItemsRow } from '../tables.ts'
import type { Schedule } from './schedule.ts'

export type WorkState = (typeof WORK_STATES)[number]

/** Something to be done in the background, by whichever process comes to it. Times are UTC epoch milliseconds by the clock of the database. */
export interface WorkItem {
  readonly id: string
  readonly kind: string
  /** Of what waits or runs, no two of a kind have one key. */
  readonly key: string | undefined
  readonly payload: unknown
  readonly state: WorkState
  /** Smaller is more urgent; 0 is the default. */
  readonly priority: number
  /** When it may be begun; of what runs, when another may take it over. Undefined once it has ended. */
  readonly claimAt: number | undefined
  /** What has not been begun by then is given up. */
  readonly deadlineAt: number | undefined
  readonly attempts: number
  readonly attemptsMax: number
  /** Grows with each claim. */
  readonly token: number
  /** Who runs it, or ran it last. */
  readonly holder: string | undefined
  readonly progress: unknown
  readonly result: unknown
  /** What went wrong last. */
  readonly error: string | undefined
  /** When it is done again. */
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
  /** Default: at once; of what has a schedule: at its next time. */
  readonly dueInMs?: number
  readonly deadlineInMs?: number | undefined
  /** How often it may be begun, also by processes that end in it. Default: 5. */
  readonly attemptsMax?: number
  readonly schedule?: Schedule | undefined
  /** For whoever has to know it before it can be claimed. Default: drawn. */
  readonly id?: string
  /** Others leave it to us for a minute, unless they have reason to think that we are gone. Default: false. */
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
