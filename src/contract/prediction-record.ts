import { Type } from 'typebox'
import type { Static } from 'typebox'
import { check } from './schema.ts'
import { unitPoint } from './routing.ts'
import type { Issue } from '../core/errors.ts'

const Name = (description: string) => Type.String({ maxLength: 1000, description })
const Values = (description: string) => Type.Record(Type.String(), Type.Unknown(), { description })

/** What one prediction was asked and answered, as it is sent, kept and exported: one line of JSON. */
export const PredictionRecord = Type.Object(
  {
    id: Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Of the prediction, as its answer had it; of a copy, that of what was copied.',
    }),
    time: Type.Integer({ minimum: 0, description: 'When the request arrived, UTC epoch milliseconds.' }),
    endpoint: Name('Name of the endpoint.'),
    model: Name('Name of the model.'),
    version: Name('Version that answered.'),
    variant: Name('Variant that answered.'),
    assigned: Name('Variant that the request was assigned to.'),
    segment: Type.Integer({ minimum: 0, description: 'Of the routing under which that was decided.' }),
    assignment: Name(
      'Manner of the assignment: randomised, matched, forced, version, only, incomplete; or shadow, of a copy whose answer nobody saw: it has the id of the prediction that was copied.',
    ),
    unit: Type.Optional(Type.String({ maxLength: 4000, description: 'Requests of one unit get the same variant.' })),
    rows: Type.Integer({ minimum: 0, description: 'Rows of the request.' }),
    inputs: Values('By feature, or by input tensor where the model has no features: a list with a value for each row.'),
    outputs: Values('By output tensor, in the same way.'),
    durationMs: Type.Number({ minimum: 0, description: 'From the arrival of the request to its answer.' }),
    weight: Type.Number({ minimum: 1, description: 'How many predictions the record stands for: 1 / `records`.' }),
  },
  { additionalProperties: false, description: 'What one prediction was asked and answered.' },
)
export type PredictionRecord = Static<typeof PredictionRecord>

/** Upper limit of the line of a record, bytes. */
export const RECORD_LINE_BYTES_MAX = 256 * 1024

/** Reads one line. */
export function readRecord(line: string): { readonly value: PredictionRecord } | { readonly issues: readonly Issue[] } {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return { issues: [{ path: '', message: 'is no JSON' }] }
  }
  return check(PredictionRecord, parsed)
}

/** Whether a prediction is in the sample: the same for its id on every server. @param fraction 0 to 1 */
export function isSampled(predictionId: string, fraction: number): boolean {
  return fraction >= 1 || (fraction > 0 && unitPoint('records', predictionId) < fraction)
}
