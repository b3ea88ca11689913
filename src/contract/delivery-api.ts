/** Requests and answers of `/api/v1` on endpoints and the servers that follow them. Times are UTC epoch milliseconds, sizes bytes. */
import { Type } from 'typebox'
import type { Static } from 'typebox'
import { EndpointSpec, ManagedBy } from './endpoint.ts'
import { VersionCondition } from './followed-state.ts'
import { ACTIONS } from './roles.ts'
import { Routing } from './routing.ts'
import { API_VERSION, oneOf, Time } from './schema.ts'
import { ServingOptions } from './serving-options.ts'

const Optional = Type.Optional

const ResolvedVariant = Type.Object({
  name: Type.String(),
  reference: Type.String({ description: 'As it was written.' }),
  model: Type.String(),
  version: Type.Integer(),
  versionId: Type.String(),
  digest: Type.String({ description: 'Of the files.' }),
  size: Type.Integer(),
  weight: Type.Number({ description: 'Percent of the traffic.' }),
  serving: ServingOptions,
})

export const RevisionAnswer = Type.Object({
  number: Type.Integer(),
  generation: Type.Integer({ description: 'Of the spec that was in force.' }),
  cause: oneOf(['apply', 'alias', 'sync', 'cron', 'rollback', 'resume', 'rollout']),
  spec: EndpointSpec,
  variants: Type.Array(ResolvedVariant),
  rolledBackTo: Optional(Type.Integer({ description: 'The revision that was returned to.' })),
  createdBy: Type.String(),
  reason: Optional(Type.String()),
  createdAt: Time('When it was made.'),
})
export type RevisionAnswer = Static<typeof RevisionAnswer>

export const ConditionAnswer = Type.Object({
  type: Type.String({ description: '`Ready`: every server that follows serves the revision in force. `Following`: aliases are followed.' }),
  status: oneOf(['True', 'False', 'Unknown']),
  reason: Type.String({ description: 'One word.' }),
  message: Type.String(),
})
export type ConditionAnswer = Static<typeof ConditionAnswer>

export const ServerReportAnswer = Type.Object({
  server: Type.String(),
  live: Type.Boolean({ description: 'Whether it has been heard of in time.' }),
  revision: Type.Integer({ description: 'The revision that it knows of.' }),
  segment: Optional(Type.Integer({ description: 'Of the routing by which it shares requests now.' })),
  versions: Type.Array(VersionCondition),
  reportedAt: Time('When it said so.'),
})
export type ServerReportAnswer = Static<typeof ServerReportAnswer>

export const EndpointAnswer = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  kind: Type.Literal('Endpoint'),
  metadata: Type.Object({
    name: Type.String(),
    environment: Type.String(),
    labels: Type.Record(Type.String(), Type.String()),
    generation: Type.Integer({ description: 'Grows with every change of the spec.' }),
    resourceVersion: Type.String({ description: 'Grows with every change; the ETag.' }),
    managedBy: Optional(ManagedBy),
    createdAt: Time('When it was made.'),
    updatedAt: Time('When it was last changed.'),
  }),
  spec: EndpointSpec,
  actions: Optional(Type.Array(oneOf(ACTIONS), { description: 'What the caller may do to it.' })),
  status: Type.Object({
    observedGeneration: Type.Integer({ description: 'Of the spec that the revision in force was made of.' }),
    conditions: Type.Array(ConditionAnswer),
    revision: RevisionAnswer,
    routing: Routing,
    suspended: Optional(
      Type.Object({ at: Time('Since when.'), by: Type.String(), reason: Optional(Type.String()), revision: Type.Integer() }),
    ),
    nextFollowAt: Optional(Time('When the aliases are looked at next.')),
    servers: Type.Array(ServerReportAnswer),
  }),
})
export type EndpointAnswer = Static<typeof EndpointAnswer>

const Difference = Type.Object({
  path: Type.String({ description: '`spec.variants[0].model`.' }),
  before: Optional(Type.Unknown()),
  after: Optional(Type.Unknown()),
})

export const AppliedAnswer = Type.Object({
  change: oneOf(['created', 'configured', 'unchanged']),
  dryRun: Type.Boolean(),
  differences: Type.Array(Difference, { description: 'Of labels, spec, and the versions that it resolves to.' }),
  plan: Optional(Type.Array(Type.String(), { description: 'What changes at the target, one line for people each.' })),
  endpoint: EndpointAnswer,
})
export type AppliedAnswer = Static<typeof AppliedAnswer>

export const DryRunQuery = {
  dryRun: Optional(Type.Boolean({ description: 'Everything is checked, and nothing is changed. Default: false.' })),
}
export const BreakingQuery = {
  allowBreaking: Optional(
    Type.Boolean({ description: 'Also where clients of the versions before would not be understood any more. Default: false.' }),
  ),
}

export const RollbackBody = Type.Object(
  {
    to: Optional(
      Type.Integer({ minimum: 1, description: 'The revision to return to. Default: the newest one that served something else.' }),
    ),
    moveAlias: Optional(Type.Boolean({ description: 'Also point the aliases that are followed to those versions. Default: false.' })),
  },
  { additionalProperties: false },
)

export const RoutingBody = Type.Object(
  {
    weights: Optional(
      Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 1_000_000 }), {
        minProperties: 1,
        maxProperties: 100,
        description:
          'Shares of the traffic by variant; they need not add up to 100. A variant without one gets none. Default: the present ones.',
      }),
    ),
    shadows: Optional(
      Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 100 }), {
        maxProperties: 100,
        description: 'Percent of the answered requests that a variant gets a copy of, by variant. Default: the present ones.',
      }),
    ),
    edges: Optional(
      Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 3_600_000 }), {
        maxItems: 10,
        description: 'Milliseconds: requests that took longer are counted for each of them. Default: the present ones.',
      }),
    ),
    beside: Optional(
      Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
        description:
          'A revision to serve beside the one in force, whose variants are called NAME-rNUMBER. Default: the present one; null: none.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type RoutingBody = Static<typeof RoutingBody>

export const EndpointHistoryAnswer = Type.Object({
  name: Type.String(),
  at: Time('The moment.'),
  revision: Optional(RevisionAnswer),
  servers: Type.Array(ServerReportAnswer),
})
export type EndpointHistoryAnswer = Static<typeof EndpointHistoryAnswer>

export const ServerAnswer = Type.Object({
  name: Type.String(),
  bootId: Type.String({ description: 'Another one after each start.' }),
  release: Type.String(),
  url: Optional(Type.String()),
  live: Type.Boolean({ description: 'Whether it has been heard of in time.' }),
  staleSeconds: Type.Number({ description: 'How long it had not heard of the control plane when it reported.' }),
  clockSkewMs: Type.Integer({ description: 'How far its clock is ahead of the one of the control plane.' }),
  message: Optional(Type.String({ description: 'What troubles it.' })),
  firstSeenAt: Time('Since when it is known.'),
  lastSeenAt: Time('When it was last heard of.'),
})
export type ServerAnswer = Static<typeof ServerAnswer>

export const AdoptAnswer = Type.Object({
  id: Type.String({ description: 'Identity of the database from now on.' }),
  succeeds: Type.Array(Type.String(), { description: 'Identities of the databases whose servers follow this one now.' }),
})
export type AdoptAnswer = Static<typeof AdoptAnswer>

export const JoinBody = Type.Object(
  {
    server: Type.String({ minLength: 1, maxLength: 250, description: 'The name of the server.' }),
    bootId: Optional(Type.String({ maxLength: 100, description: 'Of this process, as in its reports.' })),
    again: Optional(Type.Boolean({ description: 'The process had joined before, and its key was refused since. Default: no.' })),
  },
  { additionalProperties: false },
)
export const JoinAnswer = Type.Object({
  key: Type.String({ description: 'Opens what a server that follows needs, and nothing else.' }),
  expiresAt: Time('When it ends; rotate it before.'),
  environment: Type.String(),
})
export type JoinAnswer = Static<typeof JoinAnswer>

/** Traffic of one version in a span of time, over all servers. */
export const TrafficAnswer = Type.Object({
  endpoint: Type.String(),
  variant: Type.String(),
  model: Type.String(),
  version: Type.String(),
  requests: Type.Integer(),
  ratePerSecond: Type.Number(),
  errors: Type.Integer({ description: 'Answers with a status of 500 or more.' }),
  refused: Type.Integer({ description: 'Answers with a status of 400 to 499.' }),
  inFlight: Optional(Type.Number({ description: 'Requests at a time, on average over the span.' })),
  queued: Optional(Type.Number({ description: 'Those of them that waited in a queue, on average over the span.' })),
  p50Ms: Optional(Type.Number()),
  p99Ms: Optional(Type.Number()),
})
export type TrafficAnswer = Static<typeof TrafficAnswer>
