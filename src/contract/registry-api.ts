/** Requests and answers of `/api/v1`. Times are UTC epoch milliseconds, sizes bytes. */
import { Type } from 'typebox'
import type { Static, TSchema } from 'typebox'
import { GateSummary } from './gate-report.ts'
import { ModelPolicy } from './model-policy.ts'
import { ACTIONS, SCOPES } from './roles.ts'
import { oneOf, Time } from './schema.ts'
import { SignatureDocument } from './signature-document.ts'

const Tags = Type.Record(Type.String(), Type.String(), { description: 'Tags by key.' })
const Name = (description: string) => Type.String({ minLength: 1, maxLength: 1000, description })
const Optional = Type.Optional

/** A page of a list, in an order that new objects do not disturb. */
export function pageOfThings<T extends TSchema>(item: T) {
  return Type.Object({
    items: Type.Array(item),
    total: Type.Integer({ description: 'How many there are in all.' }),
    nextPageToken: Optional(Type.String({ description: 'Give it back as `pageToken` for the next page. Missing on the last one.' })),
  })
}

export const PageQuery = {
  limit: Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'How many on a page. Default: 100.' })),
  pageToken: Optional(Type.String({ description: 'From the page before.' })),
}

export const SearchQuery = Type.Object(
  {
    filter: Optional(Type.String({ description: "In MLflow's language: `name LIKE 'churn%' AND tags.team = 'a'`." })),
    orderBy: Optional(Type.String({ description: '`name ASC`, several with commas between them.' })),
    ...PageQuery,
  },
  { additionalProperties: false },
)

export const ModelAnswer = Type.Object({
  id: Type.String(),
  environment: Type.String(),
  name: Type.String(),
  description: Optional(Type.String()),
  tags: Tags,
  aliases: Type.Record(Type.String(), Type.Integer(), { description: 'Number of the version that each alias points to.' }),
  protectedAliases: Type.Array(Type.String()),
  policy: ModelPolicy,
  latestVersion: Optional(Type.Integer({ description: 'Largest number of a version.' })),
  resourceVersion: Type.Integer({ description: 'Grows with every change; the ETag.' }),
  createdAt: Time('When it was made.'),
  updatedAt: Time('When it was last changed.'),
  actions: Optional(Type.Array(oneOf(ACTIONS), { description: 'What the caller may do to it.' })),
})
export type ModelAnswer = Static<typeof ModelAnswer>

export const NewModelBody = Type.Object(
  { name: Name('Without / and :.'), description: Optional(Type.String({ maxLength: 100_000 })), tags: Optional(Tags) },
  { additionalProperties: false },
)

export const ModelUpdateBody = Type.Object(
  {
    name: Optional(Name('A new name; numbers of versions go on.')),
    description: Optional(Type.String({ maxLength: 100_000 })),
    tags: Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]), { description: 'Tags to set; null takes one away.' }),
    ),
    protectedAliases: Optional(Type.Array(Type.String(), { description: 'Aliases that need the scope `protect`.' })),
    policy: Optional(ModelPolicy),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type ModelUpdateBody = Static<typeof ModelUpdateBody>

const provenance = {
  runId: Optional(Type.String()),
  datasetVersion: Optional(Type.String({ description: 'Such as train@3f2a.' })),
  codeCommit: Optional(Type.String()),
  parentVersion: Optional(Type.String({ description: '`churn/3`: what it was copied or made from.' })),
}

export const ProvenanceBody = Type.Object(provenance, { additionalProperties: false })

const ProvenanceAnswer = Type.Object(
  {
    ...provenance,
    promotedFrom: Optional(
      Type.Object(
        { environment: Type.String(), version: Type.Integer() },
        { description: 'The version of another environment that it was copied from.' },
      ),
    ),
  },
  { additionalProperties: false },
)

export const ScanAnswer = Type.Array(Type.Object({ check: Type.String(), passed: Type.Boolean(), detail: Type.String() }))

export const VersionAnswer = Type.Object({
  id: Type.String(),
  model: Type.String(),
  version: Type.Integer(),
  description: Optional(Type.String()),
  tags: Tags,
  aliases: Type.Array(Type.String()),
  source: Type.String({ description: 'What was registered, as whoever registered it called it.' }),
  location: Optional(Type.String({ description: 'Where the files lie, if they are not in this registry.' })),
  digest: Optional(Type.String({ description: 'Of its files; missing where they are not with us.' })),
  size: Optional(Type.Integer({ description: 'Bytes of all files.' })),
  servable: oneOf(['yes', 'no'], { description: 'Whether a server would take it.' }),
  servableReason: Optional(Type.String({ description: 'Why not.' })),
  approval: Type.Object({
    state: oneOf(['none', 'pending', 'approved', 'rejected']),
    by: Optional(Type.String()),
    reason: Optional(Type.String()),
    at: Optional(Type.Integer()),
  }),
  gates: Optional(
    Type.Array(GateSummary, {
      description: 'The newest result of each gate that was run. Missing: the control plane is of an earlier release.',
    }),
  ),
  provenance: ProvenanceAnswer,
  signature: Optional(SignatureDocument),
  metrics: Type.Record(Type.String(), Type.Number()),
  examples: Optional(Type.Object({ rows: Type.Array(Type.Unknown()), golden: Type.Array(Type.Unknown()) })),
  scan: ScanAnswer,
  stage: Type.String({ description: "Stages of MLflow's older clients." }),
  resourceVersion: Type.Integer({ description: 'Grows with every change; the ETag.' }),
  createdBy: Type.String(),
  createdAt: Time('When it was registered.'),
  updatedAt: Time('When something about it was last changed; its files never are.'),
})
export type VersionAnswer = Static<typeof VersionAnswer>

export const FileBody = Type.Object(
  {
    path: Type.String({ minLength: 1, maxLength: 4096, description: 'From the folder of the model, with /.' }),
    contentId: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 over size and chunk digests (docs/guides/registry.md).' }),
  },
  { additionalProperties: false },
)

export const NewVersionBody = Type.Object(
  {
    files: Optional(Type.Array(FileBody, { minItems: 1, maxItems: 20_000, description: 'Files that were sent with PUT /contents/ID.' })),
    source: Optional(Type.String({ minLength: 1, description: 'Instead of files: runs:/RUN/PATH, models:/NAME/NUMBER, s3://...' })),
    description: Optional(Type.String({ maxLength: 100_000 })),
    tags: Optional(Tags),
    metrics: Optional(Type.Record(Type.String(), Type.Number())),
    provenance: Optional(ProvenanceBody),
  },
  { additionalProperties: false },
)

export const VersionUpdateBody = Type.Object(
  {
    description: Optional(Type.String({ maxLength: 100_000 })),
    tags: Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]), { description: 'Tags to set; null takes one away.' }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type VersionUpdateBody = Static<typeof VersionUpdateBody>

export const FileAnswer = Type.Object({ path: Type.String(), size: Type.Integer(), contentId: Type.String() })
export type FileAnswer = Static<typeof FileAnswer>

export const ApprovalBody = Type.Object(
  { state: oneOf(['pending', 'approved', 'rejected']), reason: Optional(Type.String({ maxLength: 10_000 })) },
  { additionalProperties: false },
)

export const AliasAnswer = Type.Object({ model: Type.String(), alias: Type.String(), version: Type.Integer() })
export type AliasAnswer = Static<typeof AliasAnswer>

export const AliasBody = Type.Object(
  {
    version: Type.Integer({ minimum: 1 }),
    allowBreaking: Optional(Type.Boolean({ description: 'Also where clients would not be understood any more. Default: false.' })),
    reason: Optional(Type.String({ maxLength: 10_000, description: 'For the record.' })),
  },
  { additionalProperties: false },
)

export const DiffAnswer = Type.Object({
  from: Type.Integer(),
  to: Type.Integer(),
  compatibility: oneOf(['compatible', 'additive', 'breaking', 'unknown']),
  changes: Type.Array(Type.Object({ path: Type.String(), effect: Type.String(), message: Type.String() })),
})
export type DiffAnswer = Static<typeof DiffAnswer>

export const EventAnswer = Type.Object({
  sequence: Type.Integer({ description: 'In the order of commits.' }),
  at: Time('When.'),
  environment: Type.String(),
  actor: Type.String({ description: 'Who.' }),
  reason: Optional(Type.String()),
  action: Type.String(),
  kind: Type.String(),
  name: Type.String({ description: '`churn`, `churn/3`, `churn@champion`.' }),
  before: Optional(Type.Unknown()),
  after: Optional(Type.Unknown()),
})
export type EventAnswer = Static<typeof EventAnswer>

export const EventQuery = {
  kind: Optional(Type.String({ description: 'experiment, run, logged_model, model, version, alias, signer, webhook or key.' })),
  name: Optional(Type.String({ description: '`churn`, `churn/3`, `churn@champion`; with * at the end all that begin so.' })),
  actor: Optional(Type.String()),
}

export const AliasHistoryAnswer = Type.Object({
  model: Type.String(),
  alias: Type.String(),
  at: Time('The moment.'),
  version: Optional(Type.Integer({ description: 'Missing where it was not set.' })),
  since: Optional(EventAnswer),
})
export type AliasHistoryAnswer = Static<typeof AliasHistoryAnswer>

export const TrashAnswer = Type.Object({
  kind: oneOf(['model', 'version']),
  id: Type.String(),
  name: Type.String(),
  deletedAt: Time('When it was deleted.'),
  purgedAt: Time('When it goes for good.'),
})
export type TrashAnswer = Static<typeof TrashAnswer>

const Etag = Type.String({ description: 'For If-Match.' })

export const SignerAnswer = Type.Object({
  id: Type.String(),
  etag: Etag,
  name: Type.String(),
  kind: oneOf(['key', 'certificate']),
  pem: Type.String(),
  createdBy: Type.String(),
  createdAt: Time('When it was added.'),
})
export type SignerAnswer = Static<typeof SignerAnswer>

export const SignatureAnswer = Type.Object({
  signer: Type.String(),
  signerId: Type.String(),
  bundle: Type.String({ description: 'A Sigstore bundle, as the tools of OpenSSF model signing read it.' }),
  createdBy: Type.String(),
  createdAt: Time('When it came.'),
})
export type SignatureAnswer = Static<typeof SignatureAnswer>

const WEBHOOK_FORMATS = ['event', 'slack', 'sns', 'email'] as const
/** The form in which a receiver is told. */
export type WebhookFormat = (typeof WEBHOOK_FORMATS)[number]

export const WebhookAnswer = Type.Object({
  id: Type.String(),
  etag: Etag,
  name: Type.String(),
  url: Type.String({ description: "In Slack's format without the path, which is a secret." }),
  format: oneOf(WEBHOOK_FORMATS),
  description: Optional(Type.String()),
  events: Type.Array(Type.String()),
  active: Type.Boolean(),
  signed: Type.Boolean(),
  createdAt: Time('When it was made.'),
  updatedAt: Time('When it was last changed.'),
})
export type WebhookAnswer = Static<typeof WebhookAnswer>

const Events = Type.Array(Type.String(), { minItems: 1, maxItems: 100, description: '`version.created`, `alias.*`, `*`.' })
const Url = Type.String({
  minLength: 8,
  maxLength: 2000,
  description: 'Who is told: an address of http or https, `mailto:ADDRESS`, or `sns:ARN` of a topic (for admins of every environment).',
})
const Format = oneOf(WEBHOOK_FORMATS, {
  description:
    "In which form: `event`, the whole event in MLflow's shape; `slack`, a sentence in the shape of Slack's incoming webhooks; `sns`, the event for a topic, or in the envelope in which SNS delivers; `email`. Default: what the address takes, of http `event`.",
})
const WebhookSecret = Type.String({
  maxLength: 1000,
  description:
    'Where the secret lies that what is sent is signed with (env:NAME, file:PATH, vault:MOUNT/PATH#FIELD, aws-sm:NAME#FIELD), and never the secret itself. For admins of every environment. Default: it is not signed.',
})

export const NewWebhookBody = Type.Object(
  {
    name: Name('For people.'),
    url: Url,
    format: Optional(Format),
    description: Optional(Type.String({ maxLength: 5000 })),
    events: Events,
    secret: Optional(WebhookSecret),
  },
  { additionalProperties: false },
)

export const WebhookUpdateBody = Type.Object(
  {
    url: Optional(Url),
    format: Optional(Format),
    description: Optional(Type.String({ maxLength: 5000 })),
    events: Optional(Events),
    active: Optional(Type.Boolean()),
    secret: Optional(Type.Union([WebhookSecret, Type.Null()], { description: 'Null: what is sent is not signed any more.' })),
  },
  { additionalProperties: false, minProperties: 1 },
)

export const WebhookTestAnswer = Type.Object({
  at: Time('When the test was asked for: the time of its event, which is delivered like any other.'),
})
export type WebhookTestAnswer = Static<typeof WebhookTestAnswer>

export const WebhookDeliveryAnswer = Type.Object({
  id: Type.String({ description: 'The same through all attempts.' }),
  webhookId: Type.String(),
  sequence: Type.Integer({ description: 'Of the event.' }),
  state: oneOf(['pending', 'delivered', 'failed']),
  attempts: Type.Integer(),
  nextAttemptAt: Time('When it is tried again.'),
  lastStatus: Optional(Type.Integer()),
  lastError: Optional(Type.String()),
  body: Type.Unknown({ description: 'The event; it is sent in the format of the webhook.' }),
  createdAt: Time('When it was written.'),
  deliveredAt: Optional(Type.Integer()),
})
export type WebhookDeliveryAnswer = Static<typeof WebhookDeliveryAnswer>

export const KeyAnswer = Type.Object({
  id: Type.String(),
  etag: Etag,
  name: Type.String(),
  prefix: Type.String({ description: 'What it begins with.' }),
  scopes: Type.Array(Type.String()),
  environments: Optional(Type.Array(Type.String(), { description: 'Where it holds. Missing: everywhere.' })),
  models: Optional(Type.Array(Type.String(), { description: 'Models that it is for. Missing: all.' })),
  createdBy: Type.String(),
  createdAt: Time('When it was made.'),
  expiresAt: Optional(Type.Integer()),
  lastUsedAt: Optional(Type.Integer()),
  revokedAt: Optional(Type.Integer()),
  key: Optional(Type.String({ description: 'The key itself, only in the answer to its creation.' })),
})
export type KeyAnswer = Static<typeof KeyAnswer>

export const NewKeyBody = Type.Object(
  {
    name: Name('Whose it is; stands in the record.'),
    scopes: Type.Array(oneOf(SCOPES), { minItems: 1 }),
    environments: Optional(Type.Array(Type.String(), { minItems: 1, description: 'Where it holds. Default: everywhere.' })),
    models: Optional(
      Type.Array(Type.String(), { minItems: 1, description: 'Models that it is for; with * at the end all that begin so. Default: all.' }),
    ),
    expiresAt: Optional(Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds. Default: until it is revoked.' })),
  },
  { additionalProperties: false },
)

export const ExperimentAnswer = Type.Object({
  id: Type.String(),
  environment: Type.String(),
  name: Type.String(),
  artifactLocation: Type.String(),
  lifecycleStage: Type.String(),
  tags: Tags,
  createdAt: Time('When it was made.'),
  updatedAt: Time('When it was last changed.'),
})
export type ExperimentAnswer = Static<typeof ExperimentAnswer>

export const RunAnswer = Type.Object({
  id: Type.String(),
  experimentId: Type.String(),
  name: Type.String(),
  user: Type.String(),
  status: Type.String(),
  startTime: Optional(Type.Integer()),
  endTime: Optional(Type.Integer()),
  artifactUri: Type.String(),
  lifecycleStage: Type.String(),
  metrics: Type.Record(Type.String(), Type.Union([Type.Number(), Type.String()]), { description: 'The latest of each; "NaN" as a text.' }),
  params: Type.Record(Type.String(), Type.String()),
  tags: Tags,
})
export type RunAnswer = Static<typeof RunAnswer>

/** Error answer as of RFC 9457, with our code, a hint, and the list of issues. */
export const ProblemAnswer = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String({ description: 'For programs: docs/reference/errors.md.' }),
  hint: Type.String({ description: 'What to do.' }),
  issues: Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
})
export type ProblemAnswer = Static<typeof ProblemAnswer>

export const ServedAnswer = Type.Object({
  model: Type.String(),
  version: Type.Integer({ description: 'The version that the alias points to.' }),
  state: oneOf(['waiting', 'ready', 'refused'], { description: '`ready`: the server answers with this version.' }),
  reason: Optional(Type.String({ description: 'Why it is refused.' })),
})
export type ServedAnswer = Static<typeof ServedAnswer>
