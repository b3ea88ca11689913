/** What gates have found of a version, and what follows from it. */
import { Type } from 'typebox'
import { GATE_NAME } from './gates.ts'
import { oneOf, Time } from './schema.ts'
import type { Static } from 'typebox'

const Optional = Type.Optional

/** `waiting`: for a person. `insufficient`: there is not enough data, which is never a pass. */
const VERDICTS = ['pass', 'fail', 'insufficient', 'error', 'waiting'] as const
export type GateVerdict = (typeof VERDICTS)[number]

const verdict = oneOf(VERDICTS)
const text = Type.String({ maxLength: 4000 })
/** Values that are no numbers (of a metric that is not defined) are left out. */
const numbers = Type.Record(Type.String({ maxLength: 200 }), Type.Number())

const GatePart = Type.Object(
  { name: Type.String({ maxLength: 1000 }), verdict, numbers, sentence: Optional(text) },
  { additionalProperties: false },
)
export type GatePart = Static<typeof GatePart>

export const GateResult = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 1000 }),
    check: Type.String({ minLength: 1, maxLength: 50, description: 'contract, golden, approval, rows, metrics, ...' }),
    verdict,
    severity: oneOf(['error', 'warning', 'info']),
    sentence: Type.String({ maxLength: 4000, description: 'What was found, for people.' }),
    dataset: Optional(Type.String({ maxLength: 200 })),
    numbers,
    parts: Optional(Type.Array(GatePart, { maxItems: 1000, description: 'Slices, or bins.' })),
    failing: Optional(
      Type.Array(Type.String({ maxLength: 1000 }), { maxItems: 10, description: 'Rows that show it, by their id or line.' }),
    ),
  },
  { additionalProperties: false },
)
export type GateResult = Static<typeof GateResult>

const GateDataset = Type.Object(
  {
    name: Type.String({ maxLength: 200 }),
    file: Type.String({ maxLength: 4096 }),
    digest: Type.String({ maxLength: 100, description: 'SHA-256 of the file.' }),
    rows: Type.Integer({ description: 'With a label.' }),
    unlabelled: Type.Integer({ description: 'Left out, as they have no label.' }),
  },
  { additionalProperties: false },
)

export const GateReport = Type.Object(
  {
    gate: Type.String({ pattern: GATE_NAME, description: 'Name of the gates document.' }),
    subject: Type.String({ maxLength: 4096, description: 'What was looked at: churn/3, or a path.' }),
    champion: Optional(Type.String({ maxLength: 4096, description: 'What it was compared with.' })),
    datasets: Type.Array(GateDataset, { maxItems: 100 }),
    results: Type.Array(GateResult, { maxItems: 1000 }),
    notes: Type.Array(text, { maxItems: 100, description: 'What was left out, and why.' }),
    document: Optional(Type.String({ maxLength: 100, description: 'SHA-256 of the gates document.' })),
    machine: Type.String({ maxLength: 200, description: 'Where latency and memory were measured.' }),
    at: Time('When it was measured.'),
  },
  { additionalProperties: false },
)
export type GateReport = Static<typeof GateReport>

/** What lists of versions show of a gate. */
export const GateSummary = Type.Object({
  gate: Type.String(),
  verdict: oneOf(VERDICTS, { description: 'Of all its results together; `waiting`: all that is missing is an approval.' }),
  createdBy: Type.String({ description: 'Who has sent it.' }),
  createdAt: Time('When it came.'),
})
export type GateSummary = Static<typeof GateSummary>

/** The newest result of one gate of a version. */
export const GateAnswer = Type.Object({
  model: Type.String(),
  version: Type.Integer(),
  ...GateSummary.properties,
  report: GateReport,
})
export type GateAnswer = Static<typeof GateAnswer>

/** What is kept of a result beside its report. */
export interface GateConclusion {
  /** Of what was measured, whoever approves. */
  readonly measured: Exclude<GateVerdict, 'waiting'>
  /** Whether a person has to approve the version: as the gates ask for it, or because of warnings. */
  readonly asksApproval: boolean
}

/**
 * What results mean together. A failure decides whatever else is not known; after it an error; and what nobody has shown is not passed: neither
 * where data is missing, nor where nothing was checked.
 */
export function concludeGates(results: readonly GateResult[]): GateConclusion {
  const measured = results.filter(({ check }) => check !== 'approval')
  const counted = measured.filter(({ severity }) => severity === 'error')
  const has = (wanted: GateVerdict): boolean => counted.some(({ verdict: found }) => found === wanted)
  const warned = measured.some(({ severity, verdict: found }) => severity === 'warning' && found !== 'pass')
  return {
    measured: has('fail')
      ? 'fail'
      : has('error')
        ? 'error'
        : has('insufficient') || has('waiting') || counted.length === 0
          ? 'insufficient'
          : 'pass',
    asksApproval: warned || results.some(({ check, severity }) => check === 'approval' && severity === 'error'),
  }
}

/** @param approval state of the version; `none` for what is not registered */
export function verdictWith({ measured, asksApproval }: GateConclusion, approval: string): GateVerdict {
  if (measured !== 'pass' || !asksApproval || approval === 'approved') return measured
  return approval === 'rejected' ? 'fail' : 'waiting'
}
