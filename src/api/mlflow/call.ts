import type { Caller } from '../access.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { Action } from '../../contract/roles.ts'
import type { Fields } from './fields.ts'

/** One call of the dialect. */
export interface Call {
  readonly registry: Registry
  readonly scope: Scope
  readonly caller: Caller
  /** Of the query or the body. */
  readonly fields: Fields
  /** Of the path. */
  readonly params: Readonly<Record<string, string>>
}

/** One route of the dialect: what it needs of a caller, and what it answers. */
export interface MlflowRoute {
  readonly methods: readonly ('GET' | 'POST' | 'PATCH' | 'DELETE')[]
  /** Below `/api/2.0/mlflow/`. */
  readonly path: string
  readonly action: Action
  readonly handle: (call: Call) => Promise<object>
}

/** Routes of one kind of thing. */
export function route(methods: MlflowRoute['methods'], path: string, action: Action, handle: MlflowRoute['handle']): MlflowRoute {
  return { methods, path, action, handle }
}
