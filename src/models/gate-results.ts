import { concludeGates } from '../contract/gate-report.ts'
import { record } from '../ledger/events.ts'
import { requireModel } from './models.ts'
import { gateSummary, requireVersion } from './read-versions.ts'
import { touch } from './touch.ts'
import type { Selectable } from 'kysely'
import type { GateAnswer, GateReport } from '../contract/gate-report.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { GateResultsRow, VersionsRow } from './tables.ts'

/** What gates have found of versions: the newest result of each. */
export class GateResults {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /**
   * Keeps a result in the place of the one before it. What it means is concluded here, from the single results.
   * @throws SLW_NOT_FOUND, SLW_PRECONDITION_FAILED
   */
  async put(scope: Scope, model: string, number: string, report: GateReport): Promise<GateAnswer> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const { measured, asksApproval } = concludeGates(report.results)
    const set = {
      measured,
      asks_approval: asksApproval ? 1 : 0,
      report: JSON.stringify(report),
      created_by: scope.actor,
      created_at: now,
    }
    return await database.write(async (write) => {
      const version = await requireVersion(write, await requireModel(write, scope, model), number)
      await touch(write, 'versions', version.id, scope)
      const row = { version_id: version.id, gate: report.gate, ...set }
      await write
        .insertInto('gate_results')
        .values(row)
        .onConflict((conflict) => conflict.columns(['version_id', 'gate']).doUpdateSet(set))
        .execute()
      const answer = answerOf(row, model, version)
      const { gate, verdict } = answer
      const { document, datasets } = report
      const after = { gate, verdict, document, datasets: datasets.map(({ name, digest }) => ({ name, digest })) }
      await record(write, scope, now, { kind: 'version', name: `${model}/${version.number}`, action: 'set', after })
      return answer
    })
  }

  /** The newest result of each gate, by name. @throws SLW_NOT_FOUND */
  async list(scope: Scope, model: string, number: string): Promise<GateAnswer[]> {
    const { read } = this.#ground.database
    const version = await requireVersion(read, await requireModel(read, scope, model), number)
    const rows = await read.selectFrom('gate_results').selectAll().where('version_id', '=', version.id).orderBy('gate').execute()
    return rows.map((row) => answerOf(row, model, version))
  }
}

function answerOf(row: Selectable<GateResultsRow>, model: string, { number, approval }: Selectable<VersionsRow>): GateAnswer {
  return { model, version: number, ...gateSummary(row, approval), report: JSON.parse(row.report) as GateReport }
}
