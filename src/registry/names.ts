import { posix } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import type { Tag } from './tags.ts'

/** Limits of lengths, in characters: those that MLflow's clients know of. */
export const LIMITS = {
  keyLength: 250,
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

export function requireLength(what: string, value: string, limit: number): void {
  if (value.length > limit) refuse(`${what} has ${value.length} characters; it exceeds the maximum length of ${limit} characters`)
}

/** Keys of metrics, parameters and tags may become names of files: they must be what they resolve to. @throws SLW_INPUT_INVALID */
export function requireKey(what: string, key: string): void {
  if (key === '') refuse(`${what} is empty: a key name must be provided`)
  if (!/^[/\p{L}\p{N}_.\-: ]*$/u.test(key))
    refuse(
      `${what} ${JSON.stringify(key)}: names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)`,
    )
  requireOwnPath(what, key)
  requireLength(what, key, LIMITS.keyLength)
}

function requireOwnPath(what: string, name: string): void {
  const resolved = posix.normalize(name)
  if (resolved !== name || resolved === '.' || resolved.startsWith('..') || resolved.startsWith('/') || resolved.endsWith('/'))
    refuse(
      `${what} ${JSON.stringify(name)}: names may be treated as files in certain cases, and must not resolve to other names; this one would resolve to ${JSON.stringify(resolved)}`,
    )
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
