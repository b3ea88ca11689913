/** Monitoring stores the observations of servers by windows of time, and adds them up. */
import { createHash } from 'node:crypto'
import { upgradedStatistics, WINDOW_MS } from '../contract/observation-window.ts'
import { mergeSeries, readSeriesAtRest, writeSeries } from '../contract/statistics/series.ts'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import type { Transaction } from 'kysely'
import type { ObservationWindow, Source } from '../contract/observation-window.ts'
import type { Series, WireSeries } from '../contract/statistics/series.ts'
import type { Clock } from '../core/clock.ts'
import type { Database } from '../storage/sql/database.ts'
import type { MonitoringTables } from './tables.ts'

/** Spans of time that windows are added up in, with the retention of each. */
export const SPANS = {
  '10s': { spanMs: WINDOW_MS, lifeMs: 6 * 3_600_000 },
  '1m': { spanMs: 60_000, lifeMs: 14 * 24 * 3_600_000 },
  '1h': { spanMs: 3_600_000, lifeMs: 400 * 24 * 3_600_000 },
} as const
export type Span = keyof typeof SPANS

/** Retention of the keys of windows that have arrived. Windows past WINDOW_LIFE_MS are refused, as they may have been counted. */
const KEYS_LIFE_MS = 9 * 24 * 3_600_000
const WINDOW_LIFE_MS = 8 * 24 * 3_600_000
/** Smaller errors of a server's clock are ignored. */
const SKEW_MS = 5000

/** Observations of one version in one span of time, by all servers together. */
export interface Rollup {
  readonly startMs: number
  readonly endMs: number
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
  readonly segment: number
  readonly source: Source
  readonly series: readonly Series[]
}

export interface RollupQuery {
  readonly span: Span
  /** Start of the first span, UTC epoch milliseconds. */
  readonly fromMs: number
  readonly untilMs: number
  readonly endpoint?: string | undefined
  /** Default: all sources. */
  readonly source?: Source | undefined
  /** Names of series. Default: all of them, which takes longer to read. */
  readonly names?: ReadonlySet<string> | undefined
}

/** Stored windows. Each counts once, however often and in whatever order it arrives. */
export class Windows {
  readonly #database: Database<MonitoringTables>
  readonly #clock: Clock

  constructor(database: Database<MonitoringTables>, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /**
   * Adds windows that have not arrived before, all or nothing.
   * @param sentAt by the clock of the server: if that is wrong, its windows are shifted to the time of our clock
   * @throws SLW_INPUT_INVALID for windows that do not fit together with others; SLW_CONFLICT for one so old that it may have been counted
   */
  async add(environment: string, windows: readonly ObservationWindow[], sentAt: number): Promise<void> {
    const now = this.#clock.epochMs()
    const skew = Math.abs(sentAt - now) < SKEW_MS ? 0 : Math.round((sentAt - now) / WINDOW_MS) * WINDOW_MS
    for (const { key } of windows)
      if (key.endMs - skew < now - WINDOW_LIFE_MS)
        throw new SlipwayError('SLW_CONFLICT', `a window of ${new Date(key.startMs).toISOString()} is too old: it may have been counted`)
    await this.#database.write(async (write) => {
      const sums = new Map<string, Sum>()
      for (const window of windows.toSorted((a, b) => (keyText(a) < keyText(b) ? -1 : 1))) {
        if (!(await isNew(write, environment, window, now))) continue
        addTo(sums, environment, window, skew)
      }
      await faultPoint('window.keyed')
      // A fixed order, so that transactions that add to the same spans cannot deadlock.
      for (const [, { row, series }] of [...sums].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
        await mergeInto(write, row, series)
        await faultPoint('window.merged')
      }
    })
  }

  /** Rollups in the order of time. */
  async list(environment: string, { span, fromMs, untilMs, endpoint, source, names }: RollupQuery): Promise<Rollup[]> {
    const { spanMs } = SPANS[span]
    const rows = await this.#database.read
      .selectFrom('window_rollups')
      .selectAll()
      .where('environment', '=', environment)
      .where('span_ms', '=', spanMs)
      .where('start_ms', '>=', Math.floor(fromMs / spanMs) * spanMs)
      .where('start_ms', '<', untilMs)
      .$if(endpoint !== undefined, (all) => all.where('endpoint', '=', endpoint!))
      .$if(source !== undefined, (all) => all.where('source', '=', source!))
      .orderBy('start_ms')
      .execute()
    return rows.map((row) => ({
      startMs: row.start_ms,
      endMs: row.start_ms + spanMs,
      endpoint: row.endpoint,
      variant: row.variant,
      model: row.model,
      version: row.version,
      segment: row.segment,
      source: row.source as Source,
      series: seriesOf(row.statistics, names),
    }))
  }

  /** Takes a unit, by its hash (`unitHash`), out of the sets of units of an environment. */
  async forget(environment: string, unit: number, signal: AbortSignal): Promise<void> {
    const withUnits = this.#database.read
      .selectFrom('window_rollups')
      .select(KEY_COLUMNS)
      .where('environment', '=', environment)
      .where('statistics', 'like', '%"kind":"units"%')
    for (const key of await withUnits.execute()) {
      signal.throwIfAborted()
      await this.#database.write(async (write) => {
        const row = await rowAt(write, key).select('statistics').executeTakeFirst()
        if (row === undefined) return
        const series = seriesOf(row.statistics)
        if (!series.some(({ statistic }) => statistic.kind === 'units' && statistic.first.has(unit))) return
        const without = series.map((one) => {
          if (one.statistic.kind !== 'units') return one
          return { ...one, statistic: { ...one.statistic, first: new Map([...one.statistic.first].filter(([hash]) => hash !== unit)) } }
        })
        await updateRow(write, key, without)
      })
    }
  }

  /** Deletes keys and rollups that are past their retention. */
  async sweep(): Promise<void> {
    const now = this.#clock.epochMs()
    await this.#database.write(async (write) => {
      await write
        .deleteFrom('window_keys')
        .where('received_at', '<', now - KEYS_LIFE_MS)
        .execute()
      await faultPoint('window.swept')
      for (const { spanMs, lifeMs } of Object.values(SPANS))
        await write
          .deleteFrom('window_rollups')
          .where('span_ms', '=', spanMs)
          .where('start_ms', '<', now - lifeMs)
          .execute()
    })
  }
}

interface Sum {
  readonly row: RollupKey
  series: readonly Series[]
}

interface RollupKey {
  readonly environment: string
  readonly span_ms: number
  readonly start_ms: number
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
  readonly segment: number
  readonly source: string
}

const KEY_COLUMNS = ['environment', 'span_ms', 'start_ms', 'endpoint', 'variant', 'model', 'version', 'segment', 'source'] as const

function keyText({ key }: ObservationWindow): string {
  return JSON.stringify([key.server, key.bootId, key.sequence, subjectOf(key)])
}

/** The subject of a window, which is part of its key. Names may be long, so it is their digest. */
function subjectOf({ endpoint, variant, model, version, segment }: ObservationWindow['key']): string {
  return createHash('sha256')
    .update(JSON.stringify([endpoint, variant, model, version, segment]))
    .digest('base64url')
}

async function isNew(write: Transaction<MonitoringTables>, environment: string, { key }: ObservationWindow, now: number): Promise<boolean> {
  const { source, server, bootId, sequence } = key
  const { numInsertedOrUpdatedRows } = await write
    .insertInto('window_keys')
    .values({ environment, source, server, boot_id: bootId, sequence, subject: subjectOf(key), received_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return numInsertedOrUpdatedRows === 1n
}

/** Adds a window to every span that it fits into. @throws SLW_INPUT_INVALID */
function addTo(sums: Map<string, Sum>, environment: string, { key, series }: ObservationWindow, skew: number): void {
  const { endpoint, variant, model, version, segment, source, startMs, endMs } = key
  for (const { spanMs } of Object.values(SPANS)) {
    // Windows that were merged on their way are too long for the finer spans.
    if (endMs - startMs > spanMs) continue
    const start = Math.floor((startMs - skew) / spanMs) * spanMs
    const row: RollupKey = { environment, span_ms: spanMs, start_ms: start, endpoint, variant, model, version, segment, source }
    const name = JSON.stringify(Object.values(row))
    const sum = sums.get(name)
    if (sum === undefined) sums.set(name, { row, series })
    else sum.series = merged(sum.series, series, endpoint)
  }
}

async function mergeInto(write: Transaction<MonitoringTables>, row: RollupKey, series: readonly Series[]): Promise<void> {
  // A row that exists is not changed, but locked until the transaction ends.
  const present = await write
    .insertInto('window_rollups')
    .values({ ...row, statistics: '' })
    .onConflict((conflict) =>
      conflict.columns(KEY_COLUMNS).doUpdateSet((columns) => ({ statistics: columns.ref('window_rollups.statistics') })),
    )
    .returning('statistics')
    .executeTakeFirstOrThrow()
  const sum = present.statistics === '' ? series : merged(seriesOf(present.statistics), series, row.endpoint)
  await updateRow(write, row, sum)
}

function rowAt(write: Transaction<MonitoringTables>, key: RollupKey) {
  let query = write.selectFrom('window_rollups')
  for (const column of KEY_COLUMNS) query = query.where(column, '=', key[column] as never)
  return query
}

async function updateRow(write: Transaction<MonitoringTables>, key: RollupKey, series: readonly Series[]): Promise<void> {
  let update = write.updateTable('window_rollups').set({ statistics: JSON.stringify(writeSeries(series)) })
  for (const column of KEY_COLUMNS) update = update.where(column, '=', key[column] as never)
  await update.execute()
}

/** Series of a row; rows of the first releases have labels in the names. */
function seriesOf(text: string, names?: ReadonlySet<string>): Series[] {
  const kept = JSON.parse(text) as WireSeries[] | Record<string, unknown>
  const all = Array.isArray(kept) ? kept : (upgradedStatistics(kept) as WireSeries[])
  return readSeriesAtRest(names === undefined ? all : all.filter(({ name }) => names.has(name)))
}

function merged(a: readonly Series[], b: readonly Series[], endpoint: string): Series[] {
  try {
    return mergeSeries(a, b)
  } catch (error) {
    throw new SlipwayError('SLW_INPUT_INVALID', `windows of endpoint "${endpoint}" do not fit together: ${(error as Error).message}`)
  }
}
