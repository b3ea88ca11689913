/** Feedback stores the labels that came for predictions: one row for each, with the first label, by which versions are judged, and the last one, for reports. */
import { sql } from 'kysely'
import { isRight } from '../contract/feedback.ts'
import type { SelectQueryBuilder } from 'kysely'
import type { Label } from '../contract/feedback.ts'
import type { Receipt } from '../contract/receipt.ts'
import type { Clock } from '../core/clock.ts'
import type { Database } from '../storage/sql/database.ts'
import type { MonitoringTables } from './tables.ts'

/** Labels are kept for so long after their predictions. */
const LIFE_MS = 400 * 24 * 3_600_000
/** Rows of one statement: SQLite takes some 32 000 parameters. */
const ROWS_MAX = 500

/** PostgreSQL gives sums and counts as texts. */
type Numeral = number | string

/** A label of a prediction whose receipt has been checked. */
export interface Labelled {
  readonly receipt: Receipt
  readonly label: Label
  /** When it was known, UTC epoch milliseconds. */
  readonly atMs: number
  readonly weight: number
}

/** Labels of one variant under one segment, in one span of time of the predictions. */
export interface LabelCounts {
  readonly segment: number
  readonly variant: string
  readonly model: string
  readonly version: string
  /** Start of the span, UTC epoch milliseconds. */
  readonly fromMs: number
  readonly untilMs: number
  readonly labels: number
  readonly wrong: number
}

/** One label of a prediction for a unit. */
export interface UnitLabel {
  readonly segment: number
  readonly variant: string
  readonly model: string
  readonly version: string
  /** Hash of the unit. */
  readonly unit: number
  readonly predictedMs: number
  readonly wrong: boolean
}

export interface VersionLabels {
  readonly variant: string
  readonly model: string
  readonly version: string
  readonly labels: number
  readonly right: number
  readonly wrong: number
  readonly accuracy: number | undefined
  readonly meanAbsoluteError: number | undefined
  readonly delayP50Ms: number | undefined
  readonly delayP90Ms: number | undefined
}

export interface LabelQuery {
  readonly environment: string
  readonly endpoint: string
  /** Of the predictions, UTC epoch milliseconds. */
  readonly fromMs: number
  readonly untilMs: number
}

export class Feedback {
  readonly #database: Database<MonitoringTables>
  readonly #clock: Clock

  constructor(database: Database<MonitoringTables>, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /**
   * Keeps labels. In whatever order and however often they come, the same rows result: of several labels the one that was known first is
   * the first, and the one that was known last the last.
   */
  async add(environment: string, labelled: readonly Labelled[]): Promise<void> {
    // A fixed order, so that transactions with the same labels cannot deadlock. A statement may change a row once.
    const sorted = labelled.toSorted((a, b) => (a.receipt.id < b.receipt.id ? -1 : a.receipt.id > b.receipt.id ? 1 : a.atMs - b.atMs))
    const rounds: Labelled[][] = []
    const seen = new Map<string, number>()
    for (const one of sorted) {
      const round = seen.get(one.receipt.id) ?? 0
      seen.set(one.receipt.id, round + 1)
      ;(rounds[round] ??= []).push(one)
    }
    await this.#database.write(async (write) => {
      for (const round of rounds)
        for (let at = 0; at < round.length; at += ROWS_MAX)
          await write
            .insertInto('feedback')
            .values(round.slice(at, at + ROWS_MAX).map((one) => this.#rowOf(environment, one)))
            .onConflict((conflict) =>
              conflict.columns(['environment', 'prediction_id']).doUpdateSet((columns) => {
                // Of two at the same time, the smaller text is first: some order, which is the same everywhere.
                const isFirst = sql`(excluded.first_at < feedback.first_at or (excluded.first_at = feedback.first_at and excluded.first_label < feedback.first_label))`
                const isLast = sql`(excluded.last_at > feedback.last_at or (excluded.last_at = feedback.last_at and excluded.last_label > feedback.last_label))`
                const pick = (
                  which: typeof isFirst,
                  column: 'first_label' | 'first_at' | 'first_right' | 'last_label' | 'last_at' | 'last_right' | 'weight',
                ) =>
                  sql`case when ${which} then ${columns.ref(`excluded.${column}`)} else ${columns.ref(`feedback.${column}`)} end` as never
                return {
                  first_label: pick(isFirst, 'first_label'),
                  first_at: pick(isFirst, 'first_at'),
                  first_right: pick(isFirst, 'first_right'),
                  last_label: pick(isLast, 'last_label'),
                  last_at: pick(isLast, 'last_at'),
                  last_right: pick(isLast, 'last_right'),
                  weight: pick(isLast, 'weight'),
                }
              }),
            )
            .execute()
    })
  }

  #rowOf(environment: string, { receipt, label, atMs, weight }: Labelled) {
    const right = isRight(receipt, label)
    const flag = right === undefined ? null : right ? 1 : 0
    const text = JSON.stringify(label)
    return {
      environment,
      prediction_id: receipt.id,
      endpoint: receipt.endpoint,
      assigned: receipt.assigned,
      served: receipt.served,
      model: receipt.model,
      version: receipt.version,
      segment: receipt.segment,
      is_evidence: receipt.evidence ? 1 : 0,
      is_numeric: receipt.numeric ? 1 : 0,
      unit: receipt.unit ?? null,
      predicted: receipt.predicted === undefined || Number.isNaN(receipt.predicted) ? null : JSON.stringify(receipt.predicted),
      predicted_at: receipt.timeMs,
      first_label: text,
      first_at: atMs,
      first_right: flag,
      last_label: text,
      last_at: atMs,
      last_right: flag,
      weight,
      received_at: this.#clock.epochMs(),
    }
  }

  /** First labels of what chance assigned and no unit asked for, by spans of time. */
  async counts(query: LabelQuery, spanMs: number): Promise<LabelCounts[]> {
    const start = sql<Numeral>`predicted_at - predicted_at % ${sql.lit(spanMs)}`
    const rows = await this.#evidence(query)
      .where('unit', 'is', null)
      .select(['segment', 'served as variant', 'model', 'version', start.as('start'), sql<Numeral>`count(*)`.as('labels')])
      .select(sql<Numeral>`sum(1 - first_right)`.as('wrong'))
      .groupBy(['segment', 'served', 'model', 'version', start])
      .execute()
    return rows.map(({ start: fromMs, labels, wrong, ...row }) => ({
      ...row,
      fromMs: Number(fromMs),
      untilMs: Number(fromMs) + spanMs,
      labels: Number(labels),
      wrong: Number(wrong),
    }))
  }

  /** First labels of what chance assigned for units, the earliest prediction first. */
  async ofUnits(query: LabelQuery): Promise<UnitLabel[]> {
    const rows = await this.#evidence(query)
      .where('unit', 'is not', null)
      .select(['segment', 'served as variant', 'model', 'version', 'unit', 'predicted_at', 'first_right'])
      .orderBy('predicted_at')
      .orderBy('prediction_id')
      .execute()
    return rows.map(({ unit, predicted_at: predictedMs, first_right: right, ...row }) => ({
      ...row,
      unit: unit!,
      predictedMs,
      wrong: right === 0,
    }))
  }

  #evidence({ environment, endpoint, fromMs, untilMs }: LabelQuery) {
    return this.#database.read
      .selectFrom('feedback')
      .where('environment', '=', environment)
      .where('endpoint', '=', endpoint)
      .where('predicted_at', '>=', fromMs)
      .where('predicted_at', '<', untilMs)
      .where('is_evidence', '=', 1)
      .where('first_right', 'is not', null)
  }

  /** What is known of each version by its latest labels. */
  async report({ environment, endpoint, fromMs, untilMs }: LabelQuery): Promise<VersionLabels[]> {
    const { read } = this.#database
    const all = read
      .selectFrom('feedback')
      .where('environment', '=', environment)
      .where('endpoint', '=', endpoint)
      .where('predicted_at', '>=', fromMs)
      .where('predicted_at', '<', untilMs)
    const rows = await all
      .select(['served as variant', 'model', 'version', sql<Numeral>`count(*)`.as('labels')])
      .select(sql<Numeral | null>`sum(last_right)`.as('right'))
      .select(sql<Numeral | null>`sum(1 - last_right)`.as('wrong'))
      .select(sql<Numeral | null>`sum(weight * last_right)`.as('rightWeight'))
      .select(sql<Numeral | null>`sum(case when last_right is null then 0 else weight end)`.as('classWeight'))
      .groupBy(['served', 'model', 'version'])
      .orderBy('served')
      .orderBy('version')
      .execute()
    const reports: VersionLabels[] = []
    for (const { variant, model, version, labels, right, wrong, rightWeight, classWeight } of rows) {
      const ofVersion = all.where('served', '=', variant).where('model', '=', model).where('version', '=', version)
      const delays = async (q: number): Promise<number | undefined> => {
        const row = await ofVersion
          .select(sql<Numeral>`first_at - predicted_at`.as('delay'))
          .orderBy('delay')
          .offset(Math.min(Number(labels) - 1, Math.floor(q * Number(labels))))
          .limit(1)
          .executeTakeFirst()
        return row === undefined ? undefined : Math.max(0, Number(row.delay))
      }
      reports.push({
        variant,
        model,
        version,
        labels: Number(labels),
        right: Number(right ?? 0),
        wrong: Number(wrong ?? 0),
        accuracy: Number(classWeight ?? 0) === 0 ? undefined : Number(rightWeight) / Number(classWeight),
        meanAbsoluteError: await meanAbsoluteError(ofVersion.where('is_numeric', '=', 1)),
        delayP50Ms: await delays(0.5),
        delayP90Ms: await delays(0.9),
      })
    }
    return reports
  }

  /** Deletes labels of predictions for a unit, by its hash (`unitHash`). @returns how many */
  async forget(environment: string, unit: number): Promise<number> {
    return await this.#database.write(async (write) => {
      const { numDeletedRows } = await write
        .deleteFrom('feedback')
        .where('environment', '=', environment)
        .where('unit', '=', unit)
        .executeTakeFirst()
      return Number(numDeletedRows)
    })
  }

  /** Deletes labels of predictions that are past their retention. @returns how many */
  async sweep(): Promise<number> {
    const before = this.#clock.epochMs() - LIFE_MS
    return await this.#database.write(async (write) => {
      const { numDeletedRows } = await write.deleteFrom('feedback').where('predicted_at', '<', before).executeTakeFirst()
      return Number(numDeletedRows)
    })
  }
}

/** The mean of what numbers were off by; labels that are no numbers, and predictions that are not known, are left out. */
async function meanAbsoluteError(rows: SelectQueryBuilder<MonitoringTables, 'feedback', unknown>): Promise<number | undefined> {
  let [sum, weights] = [0, 0]
  for (const { predicted, last_label: label, weight } of await rows.select(['predicted', 'last_label', 'weight']).execute()) {
    const off = Math.abs(Number(JSON.parse(predicted ?? 'null')) - Number(JSON.parse(label)))
    if (predicted === null || !Number.isFinite(off)) continue
    sum += weight * off
    weights += weight
  }
  return weights === 0 ? undefined : sum / weights
}
