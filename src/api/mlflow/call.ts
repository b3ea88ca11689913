import type { Principal } from '../access.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { Aliases } from '../../models/aliases.ts'
import type { Models } from '../../models/models.ts'
import type { Versions } from '../../models/versions.ts'
import type { Experiments } from '../../tracking/experiments.ts'
import type { LoggedModels } from '../../tracking/logged-models.ts'
import type { RunData } from '../../tracking/run-data.ts'
import type { Runs } from '../../tracking/runs.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { Action } from '../../contract/roles.ts'
import type { Fields } from './fields.ts'

/** Services that the MLflow API uses. */
export interface MlflowServices {
  readonly ground: Ground
  readonly experiments: Experiments
  readonly runs: Runs
  readonly runData: RunData
  readonly loggedModels: LoggedModels
  readonly models: Models
  readonly versions: Versions
  readonly aliases: Aliases
}

/** One call of the MLflow API. */
export interface Call {
  readonly services: MlflowServices
  readonly scope: Scope
  readonly caller: Principal
  /** Fields of the query or the body. */
  readonly fields: Fields
  /** Parameters of the path. */
  readonly params: Readonly<Record<string, string>>
}

/** One route of the MLflow API: the action that a caller needs, and the handler. */
export interface MlflowRoute {
  readonly methods: readonly ('GET' | 'POST' | 'PATCH' | 'DELETE')[]
  /** Below `/api/2.0/mlflow/`. */
  readonly path: string
  readonly action: Action
  readonly handle: (call: Call) => Promise<object>
}

/** Makes a route. */
export function route(methods: MlflowRoute['methods'], path: string, action: Action, handle: MlflowRoute['handle']): MlflowRoute {
  return { methods, path, action, handle }
}
