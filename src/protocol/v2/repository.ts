/** The model repository extension of Triton (its docs/protocol/extension_model_repository.md). */
import { SlipwayError } from '../../core/errors.ts'
import type { DataPlane } from '../../serving/data-plane.ts'

/** States as Triton names them. */
const STATES = { waiting: 'UNAVAILABLE', loading: 'LOADING', ready: 'READY', unloaded: 'UNAVAILABLE', failed: 'UNAVAILABLE' } as const

export interface ModelIndex {
  readonly name: string
  /** Empty for a model that an administrator has unloaded. */
  readonly version: string
  readonly state: (typeof STATES)[keyof typeof STATES]
  /** Why it is in that state; empty where there is nothing to say. */
  readonly reason: string
}

export interface IndexQuery {
  /** Only what can answer. */
  readonly ready: boolean
  /** Names of the models that an administrator has taken out of service. */
  readonly unloaded: () => Promise<readonly string[]>
  /** Whether the caller may know of a model. */
  readonly permits: (name: string) => boolean
}

/** The versions of all models and their states, those that replace others and are still loading too. */
export async function repositoryIndex(dataPlane: DataPlane, { ready, unloaded, permits }: IndexQuery): Promise<ModelIndex[]> {
  const models = [...dataPlane.variants()]
    .filter((variant) => (!ready || variant.ready) && permits(variant.subject.endpoint))
    .map((variant) => ({
      name: variant.subject.endpoint,
      version: variant.subject.version,
      state: STATES[variant.phase],
      reason: variant.reason ?? '',
    }))
  if (ready) return models
  const gone = (await unloaded()).filter(permits)
  return [...models, ...gone.map((name) => ({ name, version: '', state: 'UNAVAILABLE' as const, reason: 'unloaded' }))]
}

/**
 * Checks the parameters of a load or an unload. `unload_dependents` is taken, and changes nothing: no model here depends on another.
 * Triton accepts a configuration or files of a model with a load; both are refused, and never ignored in silence.
 * @throws SLW_NOT_IMPLEMENTED, SLW_BAD_REQUEST
 */
export function checkRepositoryParameters(parameters: Readonly<Record<string, unknown>>): void {
  const refused = Object.keys(parameters).filter((name) => name !== 'unload_dependents')
  if (refused.length > 0)
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      `parameters ${refused.map((name) => JSON.stringify(name)).join(', ')}: not offered; models are loaded from their folder as it is`,
    )
  if (typeof (parameters['unload_dependents'] ?? false) !== 'boolean')
    throw new SlipwayError('SLW_BAD_REQUEST', 'parameter "unload_dependents": expected true or false')
}

/**
 * Checks the name of a repository, which calls may have. A server has one, without a name.
 * @throws SLW_NOT_IMPLEMENTED
 */
export function checkRepositoryName(name: string | undefined): void {
  if (name === undefined || name === '') return
  throw new SlipwayError('SLW_NOT_IMPLEMENTED', `repository "${name}": this server has one repository without a name; leave the name out`)
}
