/**
 * Checks that ask somebody else's monitoring about a new version: Prometheus, what answers like it (Thanos, VictoriaMetrics, Mimir), and
 * CloudWatch. Only a value that is there, finite and fresh decides.
 */
import { Type } from 'typebox'
import type { Static } from 'typebox'
import type { Issue } from '../core/errors.ts'
import { closest, oneOf } from './schema.ts'

const closed = { additionalProperties: false } as const

/** Places in a query that are filled in before it is asked. */
const PLACEHOLDERS = ['endpoint', 'variant', 'version', 'environment'] as const
/** Values of the places in a query. */
export type CheckSubject = Readonly<Record<(typeof PLACEHOLDERS)[number], string>>

const COMPARISONS = ['>', '>=', '<', '<='] as const
type Comparison = (typeof COMPARISONS)[number]

/** A comparison of a value with a number. */
export interface Threshold {
  readonly comparison: Comparison
  readonly limit: number
}

const CONDITION = /^\s*(>=|<=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*$/

function condition(description: string) {
  return Type.Union(
    [
      Type.String({ pattern: CONDITION.source, maxLength: 100 }),
      Type.Object({ above: Type.Number({ description: 'Greater than this.' }) }, closed),
      Type.Object({ below: Type.Number({ description: 'Less than this.' }) }, closed),
    ],
    { description },
  )
}
type Condition = Static<ReturnType<typeof condition>>

/**
 * A scheme of HTTP authentication may stand before the reference: secrets are often the token alone. Whoever declares an endpoint says where
 * they are sent: only what was set aside for that, by the name of its variable, can be named.
 */
export const HEADER_VALUE = /^(?:(Bearer|Basic|Token|ApiKey) )?(env:SLIPWAY_CHECK_[A-Z0-9_]+)$/

const timeoutMs = Type.Optional(
  Type.Integer({ minimum: 100, maximum: 60_000, description: 'Milliseconds that an answer may take in all. Default: 10000.' }),
)

const PrometheusSource = Type.Object(
  {
    url: Type.String({
      pattern: '^https?://',
      maxLength: 2000,
      description: 'What `/api/v1/query` is added to, such as `http://prometheus:9090`; with the path of a proxy or a tenant.',
    }),
    query: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4000,
        description: 'PromQL that gives one number. Filled in are {{endpoint}}, {{variant}}, {{version}} and {{environment}}.',
      }),
    ),
    alert: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Instead of a query, an alerting rule: inactive passes, firing fails, pending is neither.',
      }),
    ),
    headers: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z0-9-]{1,100}$' }), Type.String({ pattern: HEADER_VALUE.source, maxLength: 1000 }), {
        maxProperties: 20,
        description:
          'Headers of the request: the variable of the control plane that has each value, env:SLIPWAY_CHECK_NAME, beside which SLIPWAY_CHECK_NAME_URL has the address that it may be sent to, with Bearer, Basic, Token or ApiKey before it where the secret is only what follows; never the secret itself.',
      }),
    ),
    timeoutMs,
  },
  closed,
)

const CloudWatchSource = Type.Object(
  {
    region: Type.String({ pattern: '^[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}$', maxLength: 40, description: 'Such as eu-central-1.' }),
    alarm: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'An alarm: OK passes, ALARM fails, INSUFFICIENT_DATA is neither.' }),
    ),
    namespace: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: 'Of the metric, such as AWS/ApplicationELB.' })),
    metric: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    dimensions: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 255 }), Type.String({ minLength: 1, maxLength: 1024 }), {
        maxProperties: 30,
        description: 'All of those that the metric has: CloudWatch adds nothing up over dimensions. Default: none.',
      }),
    ),
    statistic: Type.Optional(
      Type.String({
        pattern: '^(Average|Sum|Minimum|Maximum|SampleCount|(p|tm|tc|ts|wm)[0-9]{1,2}(\\.[0-9]{1,10})?)$',
        description: 'Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99. Default: Average.',
      }),
    ),
    periodSeconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 86_400,
        multipleOf: 60,
        description: 'Length of what one value is of; the newest one that is over counts. Default: 60.',
      }),
    ),
    timeoutMs,
  },
  closed,
)

export const Check = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$', maxLength: 63, description: 'Unique in the endpoint.' }),
    prometheus: Type.Optional(PrometheusSource),
    cloudwatch: Type.Optional(CloudWatchSource),
    failWhen: Type.Optional(
      condition('When the value is bad: `> 0.01`, `<= 5`, `{ above: 0.01 }`, `{ below: 5 }`. Needed unless an alarm or alert is asked.'),
    ),
    passWhen: Type.Optional(condition('When the value is good; between the two nothing is decided. Default: whenever it is not bad.')),
    maxAgeSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 86_400,
        description: 'Seconds since the newest sample; what is older decides nothing. Default: 120.',
      }),
    ),
    role: Type.Optional(
      oneOf(['guardrail', 'warn', 'info'], {
        description: '`guardrail`: has to pass, and takes back where it fails; `warn`: is told of; `info`: is kept. Default: guardrail.',
      }),
    ),
  },
  { ...closed, description: 'A question to monitoring of others, of `prometheus` or of `cloudwatch`.' },
)
export type Check = Static<typeof Check>

/** What a check asks, with every default in place. */
export type CheckSource =
  | (Required<Omit<Static<typeof PrometheusSource>, 'alert'>> & { readonly kind: 'query' })
  | (Required<Omit<Static<typeof PrometheusSource>, 'query'>> & { readonly kind: 'alert' })
  | { readonly kind: 'alarm'; readonly region: string; readonly alarm: string; readonly timeoutMs: number }
  | (Required<Omit<Static<typeof CloudWatchSource>, 'alarm'>> & { readonly kind: 'metric' })

export interface ResolvedCheck {
  readonly name: string
  readonly role: NonNullable<Check['role']>
  readonly maxAgeSeconds: number
  /** Undefined: of an alarm or alert. */
  readonly failWhen: Threshold | undefined
  readonly passWhen: Threshold | undefined
  readonly source: CheckSource
}

const TIMEOUT_MS = 10_000
const MAX_AGE_SECONDS = 120

/** A check with every default in place; undefined where `checkIssues` has found something wrong with its source. */
export function resolveCheck(check: Check): ResolvedCheck | undefined {
  const source = sourceOf(check)
  if (source === undefined) return undefined
  return {
    name: check.name,
    role: check.role ?? 'guardrail',
    maxAgeSeconds: check.maxAgeSeconds ?? MAX_AGE_SECONDS,
    failWhen: check.failWhen === undefined ? undefined : thresholdOf(check.failWhen),
    passWhen: check.passWhen === undefined ? undefined : thresholdOf(check.passWhen),
    source,
  }
}

function sourceOf({ prometheus, cloudwatch }: Check): CheckSource | undefined {
  if (prometheus !== undefined) {
    const { url, query, alert, headers = {}, timeoutMs: limit = TIMEOUT_MS } = prometheus
    if (alert !== undefined) return { kind: 'alert', url, alert, headers, timeoutMs: limit }
    return query === undefined ? undefined : { kind: 'query', url, query, headers, timeoutMs: limit }
  }
  if (cloudwatch === undefined) return undefined
  const { region, alarm, namespace, metric, timeoutMs: limit = TIMEOUT_MS } = cloudwatch
  if (alarm !== undefined) return { kind: 'alarm', region, alarm, timeoutMs: limit }
  if (namespace === undefined || metric === undefined) return undefined
  const { dimensions = {}, statistic = 'Average', periodSeconds = 60 } = cloudwatch
  return { kind: 'metric', region, namespace, metric, dimensions, statistic, periodSeconds, timeoutMs: limit }
}

/** A condition whose form a schema has checked. */
function thresholdOf(given: Condition): Threshold {
  if (typeof given !== 'string') return 'above' in given ? { comparison: '>', limit: given.above } : { comparison: '<', limit: given.below }
  const [, comparison = '>', limit = 'NaN'] = CONDITION.exec(given) ?? []
  return { comparison: comparison as Comparison, limit: Number(limit) }
}

/** Whether a value fulfils a condition. */
export function fulfils(value: number, { comparison, limit }: Threshold): boolean {
  switch (comparison) {
    case '>':
      return value > limit
    case '>=':
      return value >= limit
    case '<':
      return value < limit
    default:
      return value <= limit
  }
}

/**
 * What is wrong with checks beyond what their schema says.
 * @param path where they stand in the document, such as `spec.rollout.checks`
 */
export function checkIssues(checks: readonly Check[], path: string): Issue[] {
  return checks.flatMap((check, index) => {
    const at = `${path}[${index}]`
    const twin = checks.findIndex(({ name }) => name === check.name)
    return [
      ...(twin < index
        ? [{ path: `${at}.name`, message: `"${check.name}" is also the name of check ${twin + 1}; each needs its own` }]
        : []),
      ...sourceIssues(check, at),
      ...placeholderIssues(check, at),
      ...headerIssues(check, at),
    ]
  })
}

function sourceIssues({ prometheus, cloudwatch, failWhen, passWhen }: Check, at: string): Issue[] {
  if ((prometheus === undefined) === (cloudwatch === undefined))
    return [
      { path: at, message: `${prometheus === undefined ? 'nothing' : 'two places'} to ask; expected either prometheus or cloudwatch` },
    ]
  const [place, alarm, question] =
    prometheus === undefined ? (['cloudwatch', 'alarm', 'namespace and metric'] as const) : (['prometheus', 'alert', 'query'] as const)
  const given = Object.keys(prometheus ?? cloudwatch!)
  const beside = given.filter((key) => !['url', 'headers', 'region', 'timeoutMs', alarm].includes(key))
  if (!given.includes(alarm)) {
    const missing = question.split(' and ').filter((key) => !given.includes(key))
    if (missing.length > 0)
      return [{ path: `${at}.${place}`, message: `${missing.join(' and ')} missing; expected either ${alarm}, or ${question}` }]
    return failWhen === undefined ? [{ path: `${at}.failWhen`, message: 'missing; say when the value is bad, such as "> 0.01"' }] : []
  }
  if (beside.length > 0)
    return [{ path: `${at}.${place}`, message: `${alarm} and ${beside.join(', ')}; expected either ${alarm}, or ${question}` }]
  if (failWhen === undefined && passWhen === undefined) return []
  return [{ path: at, message: `an ${alarm} decides itself; leave out failWhen and passWhen, or give ${question}` }]
}

function placeholderIssues({ prometheus, cloudwatch }: Check, at: string): Issue[] {
  const texts: [path: string, text: string | undefined][] = [
    ...(['query', 'alert'] as const).map((key): [string, string | undefined] => [`${at}.prometheus.${key}`, prometheus?.[key]]),
    ...(['alarm', 'namespace', 'metric'] as const).map((key): [string, string | undefined] => [
      `${at}.cloudwatch.${key}`,
      cloudwatch?.[key],
    ]),
    ...Object.entries(cloudwatch?.dimensions ?? {}).map(([key, text]): [string, string] => [`${at}.cloudwatch.dimensions.${key}`, text]),
  ]
  return texts.flatMap(([path, text = '']) =>
    placeholdersIn(text)
      .filter((name) => !(PLACEHOLDERS as readonly string[]).includes(name))
      .map((name) => ({ path, message: unknownPlaceholder(name) })),
  )
}

/** What HTTP itself needs of a request is not for people to set. */
const OWN_HEADERS = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'expect'])

function headerIssues({ prometheus }: Check, at: string): Issue[] {
  return Object.keys(prometheus?.headers ?? {})
    .filter((name) => OWN_HEADERS.has(name.toLowerCase()))
    .map((name) => ({ path: `${at}.prometheus.headers.${name}`, message: 'is set by the request itself; leave it out' }))
}

function unknownPlaceholder(name: string): string {
  const near = closest(name, PLACEHOLDERS)
  const known = PLACEHOLDERS.map((each) => `{{${each}}}`).join(', ')
  return `{{${name}}} is filled in by nobody${near === undefined ? '' : `; did you mean {{${near}}}?`}; there are ${known}`
}

const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g

function placeholdersIn(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].map(([, name = '']) => name)
}

/** Fills the places of a query. Those that are unknown stay as they are: `checkIssues` refuses them. */
export function filledIn(text: string, subject: CheckSubject): string {
  return text.replaceAll(PLACEHOLDER, (whole, name: string) => subject[name as keyof CheckSubject] ?? whole)
}
