import type { EventKind } from '../ledger/events.ts'
import type { Table } from '../storage/sql/schema.ts'

/** The tables of access control, as Kysely sees them; the migrations define them. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface AccessTables {
  people: PeopleRow
  role_bindings: RoleBindingsRow
  api_keys: ApiKeysRow
  sessions: SessionsRow
  logins: LoginsRow
  refusals: RefusalsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends AccessTables {}
}

declare module '../ledger/events.ts' {
  interface EventKinds {
    key: unknown
    role: unknown
  }
}

/** Kinds of events about changes of these tables. */
export const ACCESS_EVENTS: readonly EventKind[] = ['key', 'role']

export const ACCESS_TABLES: readonly Table[] = [
  { name: 'people', key: ['id'] },
  { name: 'role_bindings', key: ['id'] },
  { name: 'api_keys', key: ['id'] },
  { name: 'sessions' },
  { name: 'logins' },
  { name: 'refusals', key: ['minute', 'caller', 'address', 'route', 'environment', 'code'] },
]

export interface PeopleRow {
  id: string
  issuer: string
  subject: string
  name: string
  email: string | null
  groups: string
  created_at: number
  last_login_at: number
}

export interface RoleBindingsRow {
  id: string
  subject_kind: string
  subject: string
  role: string
  environment: string | null
  model: string | null
  created_by: string
  created_at: number
}

export interface ApiKeysRow {
  id: string
  name: string
  prefix: string
  hash: string
  scopes: string
  environments: string | null
  created_by: string
  created_at: number
  expires_at: number | null
  last_used_at: number | null
  revoked_at: number | null
  person_id: string | null
  models: string | null
}

export interface SessionsRow {
  hash: string
  person_id: string
  csrf: string
  created_at: number
  last_seen_at: number
  expires_at: number
}

export interface LoginsRow {
  hash: string
  secret: string
  created_at: number
  expires_at: number
}

export interface RefusalsRow {
  minute: number
  caller: string
  address: string
  route: string
  environment: string
  code: string
  count: number
}
