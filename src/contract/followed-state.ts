/**
 * Documents that a control plane and the servers that follow it exchange. Either side may be of another release: a reader ignores fields
 * that it does not know, and fields that it needs keep their meaning.
 */
import { Type } from 'typebox'
import type { Static } from 'typebox'
import { ENDPOINT_NAME } from './endpoint.ts'
import { ReceiptKey } from './receipt.ts'
import { Routing } from './routing.ts'
import { API_VERSION, oneOf } from './schema.ts'
import type { ServingOptions } from './serving-options.ts'

const DIGEST = '^[0-9a-f]{64}$'
const Digest = Type.String({ pattern: DIGEST })

const FollowedVariant = Type.Object({
  name: Type.String({ minLength: 1 }),
  model: Type.String({ minLength: 1 }),
  version: Type.Integer({ minimum: 1 }),
  versionId: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  digest: Digest,
  size: Type.Integer({ minimum: 0, description: 'Bytes of all files.' }),
  serving: Type.Unsafe<ServingOptions>(Type.Object({}, { description: 'As `serving` of an endpoint.' })),
})
export type FollowedVariant = Static<typeof FollowedVariant>

export const FollowedEndpoint = Type.Object({
  name: Type.String({ pattern: ENDPOINT_NAME.source }),
  labels: Type.Record(Type.String(), Type.String()),
  generation: Type.Integer({ minimum: 1 }),
  revision: Type.Integer({ minimum: 1 }),
  variants: Type.Array(FollowedVariant, { minItems: 1 }),
  routing: Routing,
  receiptKeys: Type.Optional(
    Type.Array(ReceiptKey, {
      minItems: 1,
      description: 'For receipts of predictions: the first signs, all are believed. Missing: the control plane is of an earlier release.',
    }),
  ),
})
export type FollowedEndpoint = Static<typeof FollowedEndpoint>

/** Desired state of all servers of an environment: versions by digest, and how requests are shared. */
export const FollowedState = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  kind: Type.Literal('FollowedState'),
  environment: Type.String(),
  source: Type.Optional(
    Type.Object(
      {
        id: Type.String({ description: 'Of the database.' }),
        succeeds: Type.Array(Type.String(), { description: 'Identities of databases whose servers may follow this one.' }),
      },
      { description: 'Tells the database from another one at the same address. Missing: the control plane is of an earlier release.' },
    ),
  ),
  era: Type.Integer({ description: 'Larger where the database of the control plane was restored; documents of a larger era are newer.' }),
  generation: Type.Integer({ minimum: 0, description: 'Grows with every change; of two documents of one era the larger one is newer.' }),
  endpoints: Type.Array(FollowedEndpoint),
  list: Type.Optional(
    Type.Object(
      {
        count: Type.Integer({ minimum: 0 }),
        digest: Type.String({ pattern: DIGEST, description: 'SHA-256 of a line `NAME REVISION` for each endpoint.' }),
        content: Type.Optional(
          Type.String({
            pattern: DIGEST,
            description:
              'SHA-256 of `[endpoints, references]` as JSON without spaces. Missing: the control plane is of an earlier release.',
          }),
        ),
      },
      {
        description:
          'Of `endpoints`, so that a list that lost some is told from a shorter one. Missing: the control plane is of an earlier release.',
      },
    ),
  ),
  references: Type.Optional(
    Type.Array(
      Type.Object({
        reference: Type.String({ description: '`churn@champion`, as it was asked for.' }),
        variant: Type.Optional(FollowedVariant),
        refused: Type.Optional(Type.String({ description: 'Why there is no version.' })),
      }),
      { description: 'What single references mean, for those who asked.' },
    ),
  ),
})
export type FollowedState = Static<typeof FollowedState>

/** The files of a version, with the digests to check every chunk. */
export const VersionManifest = Type.Object({
  versionId: Type.String(),
  digest: Digest,
  files: Type.Array(
    Type.Object({
      path: Type.String({ minLength: 1 }),
      contentId: Digest,
      size: Type.Integer({ minimum: 0 }),
      chunks: Type.Array(Digest, { description: 'SHA-256 of each chunk of 8 MiB.' }),
    }),
  ),
})
export type VersionManifest = Static<typeof VersionManifest>

/** Report of a server on one version that it is to serve. */
export const VersionCondition = Type.Object({
  variant: Type.String(),
  model: Type.String(),
  version: Type.Integer(),
  digest: Type.String(),
  state: oneOf(['waiting', 'downloading', 'loading', 'ready', 'failed']),
  progress: Type.Optional(Type.Number({ minimum: 0, maximum: 100, description: 'Percent of the bytes, while it downloads.' })),
  reason: Type.Optional(Type.String({ maxLength: 4000 })),
  serves: Type.Boolean({ description: 'Whether requests go to it.' }),
  tripped: Type.Optional(
    Type.String({
      maxLength: 1000,
      description: 'Why the server has taken it out by itself: it did nothing but fail, and the others did not.',
    }),
  ),
})
export type VersionCondition = Static<typeof VersionCondition>

const EndpointReport = Type.Object({
  name: Type.String(),
  revision: Type.Integer({ description: 'The last one that was heard of.' }),
  segment: Type.Optional(Type.Integer({ minimum: 1, description: 'Of the routing by which requests are shared now.' })),
  versions: Type.Array(VersionCondition, { maxItems: 100 }),
})
export type EndpointReport = Static<typeof EndpointReport>

/** Report of a server on itself and on every endpoint that it follows. */
export const ServerReport = Type.Object({
  apiVersion: Type.Literal(API_VERSION),
  bootId: Type.String({ minLength: 1, maxLength: 100 }),
  release: Type.String({ maxLength: 100, description: 'Of its software.' }),
  url: Type.Optional(Type.String({ maxLength: 2000 })),
  sentAt: Type.Integer({ description: 'By the clock of the server, UTC epoch milliseconds.' }),
  staleSeconds: Type.Number({ minimum: 0, description: 'How long it has not heard of the control plane.' }),
  message: Type.Optional(Type.String({ maxLength: 4000, description: 'What troubles it, such as a full disk.' })),
  follows: Type.Optional(Type.String({ maxLength: 100, description: 'Identity of the database that it follows.' })),
  expiresInMs: Type.Integer({ minimum: 1000, maximum: 3_600_000, description: 'How long the report holds.' }),
  endpoints: Type.Array(EndpointReport, { maxItems: 10_000 }),
})
export type ServerReport = Static<typeof ServerReport>
