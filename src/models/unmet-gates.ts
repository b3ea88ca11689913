import { APPROVAL_GATE } from '../contract/gates.ts'
import { gateSummary } from './read-versions.ts'
import type { Kysely, Selectable } from 'kysely'
import type { GateReport, GateResult, GateSummary } from '../contract/gate-report.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { GateResultsRow, VersionsRow } from './tables.ts'

/** A gate that a version has not passed. */
export interface UnmetGate {
  /** Its name; `approval` for that of a person. */
  readonly gate: string
  /** What is missing, in words, with the command that would help. */
  readonly waitsFor: string
}

export interface GatesOfVersion {
  /** Name of the model. */
  readonly model: string
  readonly version: Pick<Selectable<VersionsRow>, 'id' | 'number' | 'approval'>
  /** Names of gates, with `approval` for that of a person; true: every gate that was run, and at least one. */
  readonly gates: true | readonly string[]
}

/** Which of the gates a version has not passed, by their newest results. */
export async function unmetGates(read: Kysely<Schema>, { model, version, gates }: GatesOfVersion): Promise<UnmetGate[]> {
  const name = `${model}/${version.number}`
  const rows = await read.selectFrom('gate_results').selectAll().where('version_id', '=', version.id).orderBy('gate').execute()
  const byName = new Map(rows.map((row) => [row.gate, row]))
  const asked = gates === true ? [...byName.keys()] : gates
  if (asked.length === 0) return [{ gate: 'any', waitsFor: `no gate of ${name} was run: slipway gate ${name} --gates FILE` }]
  return asked.flatMap((gate): UnmetGate[] => {
    const waitsFor =
      gate === APPROVAL_GATE ? missingApproval(name, version.approval) : missing(name, gate, byName.get(gate), version.approval)
    return waitsFor === undefined ? [] : [{ gate, waitsFor }]
  })
}

/** That a version has no approval, and how it gets one. @param name `churn/3` */
export function approvalWait(name: string, approval: string): string {
  return `${name} is ${approval === 'none' ? 'not approved' : approval}: slipway model approve ${name}`
}

function missingApproval(name: string, approval: string): string | undefined {
  return approval === 'approved' ? undefined : approvalWait(name, approval)
}

function missing(name: string, gate: string, row: Selectable<GateResultsRow> | undefined, approval: string): string | undefined {
  const again = `slipway gate ${name} --gates FILE`
  if (row === undefined) return `the gate "${gate}" of ${name} was not run: ${again}`
  const { verdict, createdBy } = gateSummary(row, approval)
  if (verdict === 'pass') return undefined
  if (row.measured === 'pass') return approvalWait(name, approval)
  return `the gate "${gate}" of ${name}, run by ${createdBy}, ${verdictText(verdict)}${reasons(row)}: ${again}`
}

function verdictText(verdict: GateSummary['verdict']): string {
  const words = {
    pass: 'has passed',
    fail: 'has failed',
    insufficient: 'had not enough data',
    error: 'could not be run',
    waiting: 'waits for a person',
  }
  return words[verdict]
}

const TOLD_MAX = 3

/** The results that were decisive. */
function reasons({ report, measured }: Pick<GateResultsRow, 'report' | 'measured'>): string {
  const decisive = ({ verdict, severity }: GateResult): boolean => severity === 'error' && verdict === measured
  const told = (JSON.parse(report) as GateReport).results.filter(decisive).slice(0, TOLD_MAX)
  return told.length === 0 ? '' : ` (${told.map(({ name, sentence }) => `${name}: ${sentence}`).join('; ')})`
}
