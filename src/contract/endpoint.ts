import { Type } from 'typebox'
import type { Static } from 'typebox'
import type { Issue } from '../core/errors.ts'
import { Audience, Place } from './audience.ts'
import { KubernetesOptions } from './kubernetes.ts'
import { contradictionsInRollout, Rollout } from './rollout.ts'
import { API_VERSION, oneOf } from './schema.ts'
import { mergeServing, ServingOptions } from './serving-options.ts'

const closed = { additionalProperties: false } as const

/** Platforms that an endpoint can run on. */
export const TARGETS = ['local', 'kubernetes', 'sagemaker', 'vertex', 'azureml', 'lambda', 'edge'] as const
export type Target = (typeof TARGETS)[number]

/** Reference to a version: MODEL@ALIAS or MODEL/NUMBER. */
const REFERENCE = '^[^/@:]+(@[^/@:]+|/[0-9]+)$'
export const MODEL_REFERENCE = new RegExp(REFERENCE)
/** Names of endpoints are parts of addresses. */
export const ENDPOINT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

/** The name of a variant where a document gives none. */
export const MAIN_VARIANT = 'main'

const Autoscaling = Type.Object(
  {
    minReplicas: Type.Integer({ minimum: 0 }),
    maxReplicas: Type.Integer({ minimum: 1 }),
    metric: Type.Optional(oneOf(['cpu', 'concurrency', 'rps', 'queue'], { description: 'What is kept at `targetValue`. Default: cpu.' })),
    targetValue: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  },
  closed,
)

/** Settings that may differ from target to target. */
const Scale = {
  replicas: Type.Optional(Type.Integer({ minimum: 0, description: 'Servers of a target that starts them. Default: 1.' })),
  autoscaling: Type.Optional(Autoscaling),
}

const EndpointVariant = Type.Object(
  {
    name: Type.Optional(
      Type.String({ pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$', maxLength: 63, description: 'Unique in the endpoint. Default: main.' }),
    ),
    model: Type.String({
      pattern: REFERENCE,
      description: 'MODEL@ALIAS, which is followed, or MODEL/NUMBER, which stays.',
    }),
    weight: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 100,
        description: 'Share of the traffic, in percent; those of several variants add up to 100. Default: 100; 0 with `shadow` or `match`.',
      }),
    ),
    shadow: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 100,
        description: 'Percent of the answered requests that it gets a copy of, whose answers nobody sees. Default: 0.',
      }),
    ),
    match: Type.Optional(
      Type.Array(Audience, {
        maxItems: 50,
        description: 'Audiences that get it whatever the weights are; any of them is enough. They are no evidence. Default: none.',
      }),
    ),
    fallback: Type.Optional(
      Type.Boolean({
        description: 'Whether the variant with the largest share answers where this one fails or is late. Default: false.',
      }),
    ),
    serving: Type.Optional(ServingOptions),
  },
  closed,
)
export type EndpointVariant = Static<typeof EndpointVariant>

/** Rule for following an alias that has moved. */
export const Follow = Type.Union(
  [
    Type.Literal('notification'),
    Type.Literal('manual'),
    Type.Object(
      {
        cron: Type.String({ minLength: 1, description: 'Five fields, such as `0 3 * * *`.' }),
        timeZone: Type.Optional(Type.String({ description: 'IANA name, such as Europe/Berlin. Default: UTC.' })),
      },
      closed,
    ),
  ],
  {
    description:
      'When an alias that has moved is followed: `notification`, at once; `manual`, when somebody asks (`slipway endpoint sync`); or at the times of a cron line. Default: notification.',
  },
)
export type Follow = Static<typeof Follow>

export const EndpointSpec = Type.Object(
  {
    variants: Type.Array(EndpointVariant, { minItems: 1, maxItems: 20, description: 'The versions inside the endpoint.' }),
    units: Type.Optional(
      Type.Array(Place, {
        maxItems: 10,
        description:
          'Where requests say who they are for: whoever has a variant keeps it. The header slipway-unit comes first, the id that a client gives its request last. Default: none.',
      }),
    ),
    follow: Type.Optional(Follow),
    rollout: Type.Optional(Rollout),
    target: Type.Optional(oneOf(TARGETS, { description: 'Where it runs. Default: local, servers that people start and that follow.' })),
    ...Scale,
    kubernetes: Type.Optional(KubernetesOptions),
    overlays: Type.Optional(
      Type.Partial(
        Type.Object(
          Object.fromEntries(
            TARGETS.map((target) => [target, Type.Object({ ...Scale, serving: Type.Optional(ServingOptions) }, closed)]),
          ) as Record<Target, ReturnType<typeof overlayType>>,
          closed,
        ),
        { description: 'What is different on a target. Only that of `target` counts.' },
      ),
    ),
  },
  { ...closed, description: 'What an endpoint is to be.' },
)
export type EndpointSpec = Static<typeof EndpointSpec>

/** Schema of one overlay, for its type alone. */
function overlayType() {
  return Type.Object({ ...Scale, serving: Type.Optional(ServingOptions) }, closed)
}

const EndpointName = Type.String({
  pattern: ENDPOINT_NAME.source,
  maxLength: 253,
  description: 'What clients call: letters, digits, `.`, `_` and `-`.',
})

const Labels = Type.Record(Type.String({ maxLength: 316 }), Type.String({ maxLength: 1000 }), {
  description: 'For selecting and grouping.',
})

/** Manager of an endpoint: a file that is applied, a pipeline, a person, or slipway itself. */
export const ManagedBy = Type.Object(
  {
    kind: oneOf(['file', 'ci', 'person', 'slipway']),
    name: Type.String({
      maxLength: 1000,
      description: 'Path of the file, address of the pipeline, name of the person, or why slipway itself does.',
    }),
  },
  closed,
)
export type ManagedBy = Static<typeof ManagedBy>

/**
 * An endpoint: the stable address that clients call, as people declare it, in the Kubernetes shape. Fields that only the control plane sets
 * (`generation`, `status`, ...) may stand in a document, so that a document that was read can be applied, and are not read.
 */
export const EndpointDocument = Type.Object(
  {
    apiVersion: Type.Literal(API_VERSION),
    kind: Type.Literal('Endpoint'),
    metadata: Type.Object(
      {
        name: EndpointName,
        environment: Type.Optional(Type.String({ description: 'Default: the one that is asked.' })),
        labels: Type.Optional(Labels),
        generation: Type.Optional(Type.Integer({ description: 'Grows with every change of the spec.' })),
        revision: Type.Optional(Type.Integer()),
        resourceVersion: Type.Optional(
          Type.String({
            pattern: '^[0-9]{1,15}$',
            description: 'As it was read: if the endpoint has changed since, the document is refused. Default: not compared.',
          }),
        ),
        createdAt: Type.Optional(Type.Integer()),
        updatedAt: Type.Optional(Type.Integer()),
        managedBy: Type.Optional(ManagedBy),
      },
      closed,
    ),
    spec: EndpointSpec,
    status: Type.Optional(Type.Unknown()),
    actions: Type.Optional(Type.Unknown()),
  },
  { ...closed, description: 'An endpoint, as people declare it.' },
)
export type EndpointDocument = Static<typeof EndpointDocument>

/** The parsed `model` of a variant. */
export type ModelReference = { readonly model: string; readonly alias: string } | { readonly model: string; readonly version: number }

/** Reads `churn@champion` or `churn/3`, whose form a schema has checked. */
export function modelReference(text: string): ModelReference {
  const [, model = text, alias, version] = /^([^/@:]+)(?:@(.+)|\/([0-9]+))$/.exec(text) ?? []
  return alias === undefined ? { model, version: Number(version) } : { model, alias }
}

/** The models that a spec names, each once. */
export function modelsOf({ variants }: { readonly variants: readonly { readonly model: string }[] }): string[] {
  return [...new Set(variants.map(({ model }) => modelReference(model).model))]
}

/** What a variant gets beside its share, where it declares anything. */
export type VariantTraffic = Pick<EndpointVariant, 'shadow' | 'match' | 'fallback'>

/** A spec with every default in place, and the overlay of its target laid over it. */
export interface ResolvedSpec {
  readonly variants: readonly (Required<Pick<EndpointVariant, 'name' | 'model' | 'weight' | 'serving'>> & VariantTraffic)[]
  readonly units: readonly Place[]
  readonly follow: Follow
  readonly target: Target
  readonly replicas: number
  readonly autoscaling: Static<typeof Autoscaling> | undefined
}

export function resolveSpec(spec: EndpointSpec): ResolvedSpec {
  const target = spec.target ?? 'local'
  const overlay = spec.overlays?.[target] ?? {}
  return {
    variants: spec.variants.map(({ name = MAIN_VARIANT, model, weight, serving = {}, ...traffic }) => ({
      name,
      model,
      weight: weight ?? defaultWeight(traffic),
      ...traffic,
      serving: mergeServing(serving, overlay.serving),
    })),
    units: spec.units ?? [],
    follow: spec.follow ?? 'notification',
    target,
    replicas: overlay.replicas ?? spec.replicas ?? 1,
    autoscaling: overlay.autoscaling ?? spec.autoscaling,
  }
}

function defaultWeight({ shadow, match }: VariantTraffic): number {
  return shadow === undefined && match === undefined ? 100 : 0
}

/** Contradictions in a spec, whatever its target, its overlays included. */
export function contradictionsIn(spec: EndpointSpec): Issue[] {
  return [...variantContradictions(spec.variants), ...rolloutContradictions(spec), ...scaleContradictions(spec)]
}

function rolloutContradictions({ rollout, variants }: EndpointSpec): Issue[] {
  if (rollout === undefined) return []
  const several =
    variants.length === 1
      ? []
      : [
          {
            path: 'spec.rollout',
            message: `it walks from one version to the next, and there are ${variants.length} variants: leave it out, or declare one variant`,
          },
        ]
  return [...several, ...contradictionsInRollout(rollout)]
}

/** Names that come twice, and shares that are not all of the traffic. */
function variantContradictions(variants: EndpointSpec['variants']): Issue[] {
  const names = variants.map(({ name = MAIN_VARIANT }) => name)
  const issues = names.flatMap((name, index) =>
    names.indexOf(name) < index ? [{ path: `spec.variants[${index}].name`, message: `"${name}" is the name of another variant` }] : [],
  )
  const weights = variants.map(({ weight, ...traffic }) => weight ?? defaultWeight(traffic))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  if (Math.abs(sum - 100) > 1e-6)
    issues.push({
      path: 'spec.variants',
      message:
        variants.length === 1
          ? `weight ${sum}: the only variant has all the traffic, 100`
          : `the weights add up to ${Number(sum.toFixed(4))}, not to 100; a variant without one has 100, or 0 with \`shadow\` or \`match\``,
    })
  const base = weights.indexOf(Math.max(...weights))
  for (const [index, { shadow, fallback }] of variants.entries())
    if (index === base && (shadow !== undefined || fallback === true))
      issues.push({
        path: `spec.variants[${index}].${shadow === undefined ? 'fallback' : 'shadow'}`,
        message: 'this variant has the largest share: the others are shadows of it, and fall back to it',
      })
  return issues
}

function scaleContradictions({ autoscaling, replicas, overlays = {} }: EndpointSpec): Issue[] {
  const places = [
    { path: 'spec', autoscaling, replicas },
    ...Object.entries(overlays).map(([name, overlay]) => ({ path: `spec.overlays.${name}`, ...overlay })),
  ]
  return places.flatMap(({ path, autoscaling: scale, replicas: count }) => {
    if (scale === undefined) return []
    const { minReplicas, maxReplicas } = scale
    const found: Issue[] = []
    if (minReplicas > maxReplicas)
      found.push({ path: `${path}.autoscaling`, message: `minReplicas ${minReplicas} is more than maxReplicas ${maxReplicas}` })
    if (count !== undefined && (count < minReplicas || count > maxReplicas))
      found.push({ path: `${path}.replicas`, message: `${count} is outside of minReplicas ${minReplicas} to maxReplicas ${maxReplicas}` })
    return found
  })
}
