import { lastNumber } from './counters.ts'
import { startsWith } from '../storage/sql/starts-with.ts'
import { SlipwayError } from '../core/errors.ts'
import { countOf } from '../storage/sql/count-of.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { EventsRow } from './tables.ts'
import type { EventKind } from './events.ts'
import type { Ground, Scope } from './scope.ts'

/** A recorded change. */
export interface RegistryEvent {
  readonly sequence: number
  readonly at: number
  readonly environment: string
  readonly actor: string
  readonly reason: string | undefined
  readonly action: string
  readonly kind: EventKind
  readonly name: string
  readonly before: unknown
  readonly after: unknown
}

export interface EventFilter {
  readonly kind?: string | undefined
  /** `churn`, `churn/3`, `churn@champion`; with `*` at the end all names with this prefix. */
  readonly name?: string | undefined
  readonly actor?: string | undefined
  readonly from?: number | undefined
  readonly until?: number | undefined
}

/** The version that an alias pointed to at a moment. */
export interface AliasThen {
  readonly model: string
  readonly alias: string
  /** Undefined where the alias was not set. */
  readonly version: number | undefined
  /** The change that set or removed the alias; undefined where there never was one. */
  readonly since: RegistryEvent | undefined
}

/** Number of events that a feed goes back: a client that has missed more reads the present state anew. */
export const FEED_LENGTH = 100_000

/** Recorded events, in the order in which they were committed. */
export class History {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** Events, the newest first. @param before only events with a smaller number */
  async list(
    scope: Scope,
    filter: EventFilter,
    { limit, before }: { limit: number; before?: number | undefined },
  ): Promise<RegistryEvent[]> {
    const rows = await select(this.#ground.database.read, scope, filter)
      .$if(before !== undefined, (all) => all.where('sequence', '<', before!))
      .orderBy('sequence', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toEvent)
  }

  async count(scope: Scope, filter: EventFilter): Promise<number> {
    return await countOf(select(this.#ground.database.read, scope, filter))
  }

  /** Number of the newest event of any environment. */
  async last(): Promise<number> {
    return await lastNumber(this.#ground.database.read, 'event')
  }

  /**
   * Events after an event, the oldest first. None is ever missing: numbers are in the order of commits.
   * @param upTo an event that is known to exist
   * @throws SLW_FEED_EXPIRED where `sequence` is too long ago, or in the future of a database that was restored
   */
  async after(
    scope: Scope,
    sequence: number,
    filter: EventFilter,
    { limit, upTo }: { limit: number; upTo: number },
  ): Promise<RegistryEvent[]> {
    if (sequence > upTo || sequence < upTo - FEED_LENGTH)
      throw new SlipwayError(
        'SLW_FEED_EXPIRED',
        `the feed has the events ${Math.max(0, upTo - FEED_LENGTH)} to ${upTo}, asked for what comes after ${sequence}`,
      )
    const rows = await select(this.#ground.database.read, scope, filter)
      .where('sequence', '>', sequence)
      .where('sequence', '<=', upTo)
      .orderBy('sequence')
      .limit(limit)
      .execute()
    return rows.map(toEvent)
  }

  /**
   * The version that an alias pointed to at a moment, and the change that set it. The model is the one that had the name then; if none had
   * the name, the one that was given it later.
   */
  async aliasAt(scope: Scope, model: string, alias: string, at: number): Promise<AliasThen> {
    const { read } = this.#ground.database
    const asked = new Set<string>()
    for (let name = model, until = at; ;) {
      asked.add(name)
      const row = await select(read, scope, { kind: 'alias', name: `${name}@${alias}`, until })
        .orderBy('sequence', 'desc')
        .executeTakeFirst()
      const renamed = await this.#renamed(scope, name, { until })
      // Before the model had this name, its aliases were recorded under another one.
      const earlier = renamed !== undefined && (row === undefined || row.sequence < renamed.sequence) ? renamed : undefined
      const origin = earlier ?? (row === undefined ? await this.#renamed(scope, name, { from: until + 1 }) : undefined)
      if (origin?.name !== undefined && !asked.has(origin.name)) {
        name = origin.name
        until = Math.min(until, origin.at)
        continue
      }
      const since = row === undefined ? undefined : toEvent(row)
      const version = (since?.after as { version?: number } | undefined)?.version
      return { model, alias, version, since }
    }
  }

  /** The renaming that gave a model this name: the last one until a moment, or the first one from a moment on. */
  async #renamed(
    scope: Scope,
    name: string,
    range: Pick<EventFilter, 'from' | 'until'>,
  ): Promise<{ sequence: number; at: number; name: string | undefined } | undefined> {
    const row = await select(this.#ground.database.read, scope, { kind: 'model', ...range })
      .where('action', '=', 'renamed')
      .where('after', '=', JSON.stringify({ name }))
      .orderBy('sequence', range.until === undefined ? 'asc' : 'desc')
      .executeTakeFirst()
    if (row === undefined) return undefined
    const before = row.before === null ? {} : (JSON.parse(row.before) as { name?: string })
    return { sequence: row.sequence, at: row.at, name: before.name }
  }
}

function select(read: Kysely<Schema>, scope: Scope, { kind, name, actor, from, until }: EventFilter) {
  return read
    .selectFrom('events')
    .selectAll()
    .where('environment', '=', scope.environment)
    .$if(kind !== undefined, (all) => all.where('kind', '=', kind!))
    .$if(name !== undefined && !name.endsWith('*'), (all) => all.where('name', '=', name!))
    .$if(name?.endsWith('*') === true, (all) => all.where(startsWith('name', name!.slice(0, -1))))
    .$if(actor !== undefined, (all) => all.where('actor', '=', actor!))
    .$if(from !== undefined, (all) => all.where('at', '>=', from!))
    .$if(until !== undefined, (all) => all.where('at', '<=', until!))
}

export function toEvent(row: Selectable<EventsRow>): RegistryEvent {
  return {
    sequence: row.sequence,
    at: row.at,
    environment: row.environment,
    actor: row.actor,
    reason: row.reason ?? undefined,
    action: row.action,
    kind: row.kind as EventKind,
    name: row.name,
    before: row.before === null ? undefined : JSON.parse(row.before),
    after: row.after === null ? undefined : JSON.parse(row.after),
  }
}
