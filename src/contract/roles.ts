/** Roles and the actions that they allow: the one table that every entry point asks. */
import { Type } from 'typebox'
import type { Static } from 'typebox'

/**
 * Actions: `read`; `pull` documents and files that are served; `write`: log and register, move aliases that are not protected; `deploy`
 * endpoints; `protect`: move protected aliases and approve; `records`: read what predictions were asked and answered; `admin`: keys, roles,
 * environments, everything. `report` is for servers that report on themselves, `join` for becoming such a server; `feedback` for clients, and
 * servers that pass on what they were sent: true outcomes of predictions.
 */
export const ACTIONS = ['read', 'pull', 'write', 'deploy', 'protect', 'records', 'admin', 'report', 'join', 'feedback'] as const

/** `identify` is allowed to every caller who is recognised. */
export type Action = (typeof ACTIONS)[number] | 'identify'

export const ROLES = ['viewer', 'developer', 'operator', 'admin'] as const
export type Role = (typeof ROLES)[number]

const ALLOWED: Readonly<Record<string, readonly Action[]>> = {
  viewer: ['read', 'pull'],
  developer: ['read', 'pull', 'write', 'feedback'],
  operator: ['read', 'pull', 'write', 'deploy', 'protect', 'records', 'feedback'],
  admin: ACTIONS,
  // Roles that keys of machines may be limited to.
  follow: ['pull', 'report', 'feedback'],
  join: ['join'],
  metrics: ['report'],
  feedback: ['feedback'],
  // Older names of the four roles.
  read: ['read', 'pull'],
  write: ['read', 'pull', 'write'],
  protect: ['read', 'pull', 'write', 'deploy', 'protect'],
}

/** Roles that a key may be made for. */
export const SCOPES = [
  'viewer',
  'developer',
  'operator',
  'admin',
  'join',
  'follow',
  'metrics',
  'feedback',
  'read',
  'write',
  'protect',
] as const

/** A role in some environments, for some models. */
export const Grant = Type.Object({
  role: Type.String({ description: 'viewer, developer, operator, admin; join, follow, metrics, feedback.' }),
  environments: Type.Optional(Type.Array(Type.String(), { description: 'Missing: in every one.' })),
  models: Type.Optional(Type.Array(Type.String(), { description: 'Names, with * at the end all that begin so. Missing: for every one.' })),
})
export type Grant = Static<typeof Grant>

/** The target of an action. */
export interface Resource {
  readonly environment: string
  /** Models that the action is about. Empty: the environment as a whole. `any`: a grant for any model is enough. */
  readonly models: readonly string[] | 'any'
}

/** Whether one of the grants allows the action: the default is to deny. */
export function allows(grants: readonly Grant[], action: Action, { environment, models }: Resource): boolean {
  if (action === 'identify') return true
  const able = grantsIn(grants, action, environment)
  if (models === 'any') return able.length > 0
  if (models.length === 0) return able.some((grant) => grant.models === undefined)
  return models.every((model) =>
    able.some((grant) => grant.models === undefined || grant.models.some((pattern) => matches(pattern, model))),
  )
}

/** Patterns of the models for which the grants allow the action; undefined: every model. */
export function modelsOf(grants: readonly Grant[], action: Action, environment: string): readonly string[] | undefined {
  const able = grantsIn(grants, action, environment)
  if (able.some(({ models }) => models === undefined)) return undefined
  return [...new Set(able.flatMap(({ models = [] }) => models))]
}

function grantsIn(grants: readonly Grant[], action: Action, environment: string): readonly Grant[] {
  return grants.filter(
    ({ role, environments }) =>
      (ALLOWED[role] ?? []).includes(action) && (environments === undefined || environments.includes(environment)),
  )
}

/** Every action that the grants allow, in the order of the list. */
export function allowedActions(grants: readonly Grant[], target: Resource): (typeof ACTIONS)[number][] {
  return ACTIONS.filter((action) => allows(grants, action, target))
}

/** `churn`, or `churn*` for all names that begin so. */
function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}
