import { SlipwayError } from '../core/errors.ts'
import { requireLength, requireOwnPath } from '../ledger/keys.ts'

/** Limits of lengths, in characters: those that MLflow's clients know of. */
export const LIMITS = {
  modelTagLength: 100_000,
  aliasLength: 255,
  modelNameLength: 1000,
} as const

function refuse(message: string): never {
  throw new SlipwayError('SLW_INPUT_INVALID', message)
}

export function requireModelName(name: string): void {
  if (name.trim() === '') refuse("Missing value for required parameter 'name'.")
  if (/[/:]/.test(name)) refuse(`Invalid model name '${name}'. Names cannot contain '/' or ':'.`)
  requireOwnPath('the name of a model', name)
  requireLength('the name of a model', name, LIMITS.modelNameLength)
}

/** Aliases cannot be words that stand for versions already. @throws SLW_INPUT_INVALID */
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
