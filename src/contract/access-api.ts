/** Requests and answers of `/api/v1` on environments, roles and access. Times are UTC epoch milliseconds. */
import { Type } from 'typebox'
import type { Static } from 'typebox'
import { ACTIONS, Grant, ROLES } from './roles.ts'
import { oneOf } from './schema.ts'

const closed = { additionalProperties: false } as const
const Optional = Type.Optional

const Etag = Type.String({ description: 'For If-Match.' })

export const EnvironmentAnswer = Type.Object({
  name: Type.String(),
  etag: Etag,
  description: Optional(Type.String()),
  createdBy: Type.String(),
  createdAt: Type.Integer(),
})
export type EnvironmentAnswer = Static<typeof EnvironmentAnswer>

export const NewEnvironmentBody = Type.Object(
  {
    name: Type.String({ description: 'Small letters, digits and - within.' }),
    description: Optional(Type.String({ maxLength: 10_000 })),
  },
  closed,
)

export const RoleAnswer = Type.Object({
  id: Type.String(),
  etag: Etag,
  kind: oneOf(['user', 'group']),
  name: Type.String(),
  role: oneOf(ROLES),
  environment: Optional(Type.String({ description: 'Missing: everywhere.' })),
  model: Optional(Type.String({ description: 'Missing: every one.' })),
  createdBy: Type.String(),
  createdAt: Type.Integer(),
})
export type RoleAnswer = Static<typeof RoleAnswer>

export const NewRoleBody = Type.Object(
  {
    kind: oneOf(['user', 'group']),
    name: Type.String({ minLength: 1, maxLength: 500, description: 'Address or name of a person, or a group of the issuer.' }),
    role: oneOf(ROLES),
    everywhere: Optional(Type.Boolean({ description: 'In every environment. Default: in the one that is asked.' })),
    model: Optional(
      Type.String({
        minLength: 1,
        maxLength: 1000,
        description: 'Name of a model; with * at the end all that begin so. Default: every one.',
      }),
    ),
  },
  closed,
)

export const WhoamiAnswer = Type.Object({
  name: Type.String(),
  kind: oneOf(['key', 'person', 'local', 'server']),
  grants: Type.Array(Grant),
  environments: Type.Array(Type.Object({ environment: Type.String(), actions: Type.Array(oneOf(ACTIONS)) })),
})
export type WhoamiAnswer = Static<typeof WhoamiAnswer>

export const RefusalAnswer = Type.Object({
  minute: Type.Integer({ description: 'Its start.' }),
  caller: Type.String({ description: 'Empty where nobody was recognised.' }),
  address: Type.String(),
  route: Type.String(),
  environment: Type.String(),
  code: Type.String(),
  count: Type.Integer(),
})
export type RefusalAnswer = Static<typeof RefusalAnswer>

export const PromoteBody = Type.Object(
  {
    to: Type.String({ minLength: 1, description: 'The environment.' }),
    alias: Optional(Type.String({ minLength: 1, description: 'Alias that is set there. Default: none.' })),
    allowBreaking: Optional(
      Type.Boolean({ description: 'Also where clients of the version that it points to there would not be understood. Default: false.' }),
    ),
  },
  closed,
)

export const PromotedAnswer = Type.Object({
  environment: Type.String(),
  model: Type.String(),
  version: Type.Integer({ description: 'Its number there.' }),
  created: Type.Boolean({ description: 'Whether it was copied now; the same files are the same version.' }),
  alias: Optional(Type.String({ description: 'That points to it now.' })),
})
export type PromotedAnswer = Static<typeof PromotedAnswer>

export const OwnTokenBody = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 250 }),
    expiresAt: Optional(Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds, at most in 90 days, which is the default.' })),
  },
  closed,
)
