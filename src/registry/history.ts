import { SlipwayError } from '../core/errors.ts'
import type { Kysely, Selectable } from 'kysely'
import type { EventsRow, Schema } from '../storage/sql/schema.ts'
import type { EventKind } from './events.ts'
import type { Ground, Scope } from './ground.ts'

/** Something that was changed. */
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
  /** `churn`, `churn/3`, `churn@champion`; with `*` at the end all that begin so. */
  readonly name?: string | undefined
  readonly actor?: string | undefined
  readonly from?: number | undefined
  readonly until?: number | undefined
}

/** What an alias pointed to at a moment. */
export interface AliasThen {
  readonly model: string
  readonly alias: string
  /** Undefined where it was not set. */
  readonly version: number | undefined
  /** The change that made it so; undefined where there never was one. */
  readonly since: RegistryEvent | undefined
}

/** How far a feed goes back: who was away for longer reads the present state anew. */
export const FEED_LENGTH = 100_000

/** What happened, in the order in which it was committed. */
export class History {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** The newest first. @param before only those with a smaller number */
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
    const { count } = await select(this.#ground.database.read, scope, filter)
      .clearSelect()
      .select((columns) => columns.fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** Number of the newest event of any environment. */
  async last(): Promise<number> {
    const { value } = await this.#ground.database.read
      .selectFrom('counters')
      .select('value')
      .where('name', '=', 'event')
      .executeTakeFirstOrThrow()
    return value
  }

  /**
   * What came after an event, the oldest first. None is ever missing: numbers are in the order of commits.
   * @param upTo an event that is known to be there
   * @throws SLW_FEED_EXPIRED where that is too long ago, or in the future of a database that was restored
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

  /** Which version an alias pointed to at a moment, and who had seen to that. Also of models that were renamed since, or deleted. */
  async aliasAt(scope: Scope, model: string, alias: string, at: number): Promise<AliasThen> {
    const { read } = this.#ground.database
    for (let name = model, until = at; ;) {
      const row = await select(read, scope, { kind: 'alias', name: `${name}@${alias}`, until })
        .orderBy('sequence', 'desc')
        .executeTakeFirst()
      const renamed = await this.#renamedTo(scope, name, until)
      // Before it was given this name, the alias stood under another one.
      if (renamed !== undefined && (row === undefined || row.sequence < renamed.sequence)) {
        const before = renamed.before === null ? undefined : (JSON.parse(renamed.before) as { name?: string }).name
        if (before !== undefined) {
          ;[name, until] = [before, renamed.at]
          continue
        }
      }
      const since = row === undefined ? undefined : toEvent(row)
      const version = (since?.after as { version?: number } | undefined)?.version
      return { model, alias, version, since }
    }
  }

  async #renamedTo(scope: Scope, name: string, until: number): Promise<Selectable<EventsRow> | undefined> {
    const rows = await select(this.#ground.database.read, scope, { kind: 'model', until })
      .where('action', '=', 'renamed')
      .where('after', '=', JSON.stringify({ name }))
      .orderBy('sequence', 'desc')
      .limit(1)
      .execute()
    return rows[0]
  }
}

function select(read: Kysely<Schema>, scope: Scope, { kind, name, actor, from, until }: EventFilter) {
  return read
    .selectFrom('events')
    .selectAll()
    .where('environment', '=', scope.environment)
    .$if(kind !== undefined, (all) => all.where('kind', '=', kind!))
    .$if(name !== undefined && !name.endsWith('*'), (all) => all.where('name', '=', name!))
    .$if(name?.endsWith('*') === true, (all) => {
      const prefix = name!.slice(0, -1)
      return all.where((columns) =>
        columns(columns.fn<string>('substr', ['name', columns.lit(1), columns.lit(prefix.length)]), '=', prefix),
      )
    })
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
