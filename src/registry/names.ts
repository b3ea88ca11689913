import { SlipwayError } from '../core/errors.ts'
import { KEY_LENGTH_MAX, requireKey, requireLength, requireOwnPath } from '../ledger/keys.ts'
import type { Tag } from '../ledger/tags.ts'

/** Limits of lengths, in characters: those that MLflow's clients know of. */
export const LIMITS = {
  keyLength: KEY_LENGTH_MAX,
  paramLength: 6000,
  runTagLength: 8000,
  experimentNameLength: 500,
  experimentTagLength: 20_000,
  modelTagLength: 100_000,
  aliasLength: 255,
  modelNameLength: 1000,
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

export function requireTag(what: string, { key, value }: Tag, valueLimit: number): void {
  requireKey(`the key of ${what}`, key)
  requireLength(`the value of ${what} "${key}"`, value, valueLimit)
}

export function requireExperimentName(name: string): void {
  if (name === '') refuse("Invalid experiment name: ''")
  requireLength('the name of an experiment', name, LIMITS.experimentNameLength)
}

export function requireModelName(name: string): void {
  if (name.trim() === '') refuse("Missing value for required parameter 'name'.")
  if (/[/:]/.test(name)) refuse(`Invalid model name '${name}'. Names cannot contain '/' or ':'.`)
  requireOwnPath('the name of a model', name)
  requireLength('the name of a model', name, LIMITS.modelNameLength)
}

/** Names of models that runs log: they become names of folders. */
export function requireLoggedModelName(name: string): void {
  if (name === '' || /[/:.%"']/.test(name))
    refuse(
      `Invalid model name (${name}) provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%', '"', "'")`,
    )
}

/** Words that stand for versions already cannot name others. @throws SLW_INPUT_INVALID */
export function requireAlias(alias: string): void {
  requireAliasShape(alias)
  if (alias.toLowerCase() === 'latest') refuse("'latest' alias name (case insensitive) is reserved.")
  if (/^[vV]\d+$/.test(alias)) refuse(`Version alias name '${alias}' is reserved.`)
}

export function requireAliasShape(alias: string): void {
  if (alias === '') refuse('Registered model alias name cannot be empty.')
  if (!/^[\p{L}\p{N}_-]*$/u.test(alias))
    refuse(`Invalid alias name: '${alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-).`)
  requireLength('Registered model alias name', alias, LIMITS.aliasLength)
}
