/** The objects of another MLflow server, as its answers have them (as researched, in snake_case, with empty fields left out). */
import { Type } from 'typebox'
import { check, oneOf } from '../contract/schema.ts'
import { SlipwayError } from '../core/errors.ts'
import type { Static, TSchema } from 'typebox'

/** MLflow sends a 64-bit number as a number or a string. */
const Integer = Type.Union([Type.Number(), Type.String({ maxLength: 32 })])
const Text = Type.String({ maxLength: 100_000 })
/** Schemas of datasets may be as long as MLflow lets them be. */
const LongText = Type.String({ maxLength: 16_777_215 })
const Key = Type.String({ minLength: 1, maxLength: 1000 })
const Few = { maxItems: 10_000 }

const TheirTag = Type.Object({ key: Key, value: Type.Optional(Text) })
const Tags = Type.Optional(Type.Array(TheirTag, Few))
const Lifecycle = Type.Optional(Type.String({ maxLength: 32 }))

const ExperimentId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$' })
const RunId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$' })
const LoggedModelId = Type.String({ pattern: '^m-[0-9a-f]{32}$' })

const Point = Type.Object({
  key: Key,
  value: Type.Optional(Type.Union([Type.Number(), Type.String({ maxLength: 32 })])),
  timestamp: Type.Optional(Integer),
  step: Type.Optional(Integer),
  run_id: Type.Optional(Text),
  dataset_name: Type.Optional(Text),
  dataset_digest: Type.Optional(Text),
})

const Experiment = Type.Object({
  experiment_id: ExperimentId,
  name: Type.String({ minLength: 1, maxLength: 500 }),
  lifecycle_stage: Lifecycle,
  creation_time: Type.Optional(Integer),
  last_update_time: Type.Optional(Integer),
  tags: Tags,
})

const Dataset = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  digest: Type.String({ minLength: 1, maxLength: 500 }),
  source_type: Type.Optional(Text),
  source: Type.Optional(LongText),
  schema: Type.Optional(LongText),
  profile: Type.Optional(LongText),
})

const Run = Type.Object({
  info: Type.Object({
    run_id: RunId,
    experiment_id: ExperimentId,
    run_name: Type.Optional(Text),
    user_id: Type.Optional(Text),
    status: Type.Optional(oneOf(['', 'RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'])),
    start_time: Type.Optional(Integer),
    end_time: Type.Optional(Integer),
    lifecycle_stage: Lifecycle,
  }),
  data: Type.Optional(
    Type.Object({ metrics: Type.Optional(Type.Array(Point, Few)), params: Type.Optional(Type.Array(TheirTag, Few)), tags: Tags }),
  ),
  inputs: Type.Optional(
    Type.Object({
      dataset_inputs: Type.Optional(Type.Array(Type.Object({ tags: Tags, dataset: Dataset }), Few)),
      model_inputs: Type.Optional(Type.Array(Type.Object({ model_id: LoggedModelId }), Few)),
    }),
  ),
  outputs: Type.Optional(
    Type.Object({
      model_outputs: Type.Optional(Type.Array(Type.Object({ model_id: LoggedModelId, step: Type.Optional(Integer) }), Few)),
    }),
  ),
})

const LoggedModel = Type.Object({
  info: Type.Object({
    model_id: LoggedModelId,
    experiment_id: ExperimentId,
    name: Type.String({ minLength: 1, maxLength: 1000 }),
    creation_timestamp_ms: Type.Optional(Integer),
    last_updated_timestamp_ms: Type.Optional(Integer),
    status: Type.Optional(
      oneOf(['', 'LOGGED_MODEL_STATUS_UNSPECIFIED', 'LOGGED_MODEL_PENDING', 'LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED']),
    ),
    model_type: Type.Optional(Text),
    source_run_id: Type.Optional(Text),
    tags: Tags,
  }),
  data: Type.Optional(Type.Object({ params: Type.Optional(Type.Array(TheirTag, Few)), metrics: Type.Optional(Type.Array(Point, Few)) })),
})

const Model = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 1000 }),
  creation_timestamp: Type.Optional(Integer),
  last_updated_timestamp: Type.Optional(Integer),
  description: Type.Optional(Text),
  tags: Tags,
  aliases: Type.Optional(Type.Array(Type.Object({ alias: Type.String({ maxLength: 1000 }), version: Integer }), Few)),
})

const Version = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 1000 }),
  version: Integer,
  creation_timestamp: Type.Optional(Integer),
  last_updated_timestamp: Type.Optional(Integer),
  current_stage: Type.Optional(oneOf(['', 'None', 'Staging', 'Production', 'Archived'])),
  description: Type.Optional(Text),
  source: Type.Optional(Text),
  run_id: Type.Optional(Type.String({ pattern: '^([A-Za-z0-9][A-Za-z0-9_-]{0,255})?$' })),
  run_link: Type.Optional(Text),
  model_id: Type.Optional(Type.String({ pattern: '^(m-[0-9a-f]{32})?$' })),
  tags: Tags,
})

const File = Type.Object({
  path: Type.String({ minLength: 1, maxLength: 10_000 }),
  is_dir: Type.Optional(Type.Boolean()),
  file_size: Type.Optional(Integer),
})

/** The answer that says where the files of a version are. */
export const PLACE = Type.Object({ artifact_uri: Type.Optional(Type.String({ maxLength: 10_000 })) })

/** Schemas of the objects, by what they are. */
export const THEIRS = {
  experiment: Experiment,
  run: Run,
  point: Point,
  'logged model': LoggedModel,
  model: Model,
  version: Version,
  file: File,
} as const
export type Theirs = typeof THEIRS
export type TheirTag = Static<typeof TheirTag>
export type TheirPoint = Static<typeof Point>
export type TheirExperiment = Static<typeof Experiment>
export type TheirRun = Static<typeof Run>
export type TheirLoggedModel = Static<typeof LoggedModel>
export type TheirModel = Static<typeof Model>
export type TheirVersion = Static<typeof Version>

/** @throws SLW_INPUT_INVALID for an object that no MLflow server has, by its path */
export function requireTheirs<T extends TSchema>(schema: T, what: string, object: unknown): Static<T> {
  dropNulls(object)
  const checked = check(schema, object)
  if ('issues' in checked) {
    const [{ path, message }] = checked.issues as [{ path: string; message: string }]
    throw refused(what, path === '' ? message : `${path.slice(0, 200)} ${message}`)
  }
  requireText(what, object)
  return checked.value
}

/** A field that is null is left out, as most servers leave it out. Not by recursion, as below. */
function dropNulls(object: unknown): void {
  const left = [object]
  while (left.length > 0) {
    const value = left.pop()
    if (typeof value !== 'object' || value === null) continue
    if (Array.isArray(value)) left.push(...(value as unknown[]).slice(0, NESTED_MAX))
    else
      for (const [key, inner] of Object.entries(value))
        if (inner === null) Reflect.deleteProperty(value, key)
        else left.push(inner)
  }
}

/** Longer lists are refused all the same. */
const NESTED_MAX = 20_000

/** Refuses texts that no database keeps. Not by recursion, as an answer may nest deeper than a stack. */
function requireText(what: string, object: unknown): void {
  const left = [object]
  while (left.length > 0) {
    const value = left.pop()
    if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed()))
      throw refused(what, `${JSON.stringify(value.slice(0, 100))} is no text`)
    if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) left.push(inner)
  }
}

function refused(what: string, why: string): SlipwayError {
  return new SlipwayError('SLW_INPUT_INVALID', `the server has sent something that is no ${what} of MLflow: ${why}`)
}

/** Reads a 64-bit number. Undefined for what is none, or not exact here. */
export function numberOf(value: number | string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

/** The latest time that a date can have (ECMA-262, time values). */
const LATEST_MS = 8.64e15

/** Reads a time in UTC epoch milliseconds. Undefined for what is no date. */
export function timeOf(value: number | string | undefined): number | undefined {
  const time = numberOf(value)
  return time === undefined || time < 0 || time > LATEST_MS ? undefined : time
}

/** Reads a number; MLflow sends NaN and infinities as words, and leaves 0 out. */
export function valueOf(value: number | string = 0): number {
  if (typeof value === 'number') return value
  return value === 'Infinity' ? Number.POSITIVE_INFINITY : value === '-Infinity' ? Number.NEGATIVE_INFINITY : Number(value)
}
