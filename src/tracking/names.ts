import { SlipwayError } from '../core/errors.ts'
import { KEY_LENGTH_MAX, requireLength } from '../ledger/keys.ts'

/** Limits of lengths, in characters: those that MLflow's clients know of. */
export const LIMITS = {
  keyLength: KEY_LENGTH_MAX,
  paramLength: 6000,
  runTagLength: 8000,
  experimentNameLength: 500,
  experimentTagLength: 20_000,
  batchMetrics: 1000,
  batchParams: 100,
  batchTags: 100,
  batchEntities: 1000,
  batchBytes: 1_000_000,
  datasetNameLength: 500,
  datasetDigestLength: 36,
  datasetSchemaLength: 1_048_575,
  datasetSourceLength: 65_535,
  datasetProfileLength: 16_777_215,
  datasetTagKeyLength: 255,
  datasetTagValueLength: 500,
} as const

function refuse(message: string): never {
  throw new SlipwayError('SLW_INPUT_INVALID', message)
}

export function requireExperimentName(name: string): void {
  if (name === '') refuse("Invalid experiment name: ''")
  requireLength('the name of an experiment', name, LIMITS.experimentNameLength)
}

/** Names of logged models become names of folders. */
export function requireLoggedModelName(name: string): void {
  if (name === '' || /[/:.%"']/.test(name))
    refuse(
      `Invalid model name (${name}) provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%', '"', "'")`,
    )
}
