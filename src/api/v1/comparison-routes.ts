import { Type } from 'typebox'
import { ComparisonAnswer } from '../../contract/comparison.ts'
import { SlipwayError } from '../../core/errors.ts'
import { compareVersions } from '../../monitoring/comparison.ts'
import { v1RoutesOf } from './route.ts'
import type { DeclaredEndpoint } from '../../delivery/read-endpoints.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { Feedback } from '../../monitoring/feedback.ts'
import type { Windows } from '../../monitoring/windows.ts'
import type { V1Route } from './route.ts'

/** Services that these routes use. */
export interface ComparisonServices {
  readonly feedback: Feedback
  readonly windows: Windows
  readonly delivery: Delivery
  readonly ground: Ground
}

const v1Route = v1RoutesOf<ComparisonServices>()

export const COMPARISON_ROUTES: readonly V1Route<ComparisonServices>[] = [
  v1Route({
    method: 'GET',
    path: '/endpoints/:endpoint/comparison',
    operation: 'compareVariants',
    summary:
      'What is shown of one variant beside another, by what happened to requests that chance assigned. It may be asked as often as one likes',
    tag: 'endpoints',
    action: 'read',
    models: async ({ services, environment, params }) =>
      await services.delivery.endpoints.modelsEverServed({ environment, actor: 'slipway' }, params['endpoint']!),
    query: Type.Object(
      {
        candidate: Type.String({ description: 'The variant that is to be judged.' }),
        base: Type.Optional(Type.String({ description: 'The variant that it is compared with. Default: the one with the largest share.' })),
        from: Type.Optional(
          Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds. Default: since both of these versions share the requests.' }),
        ),
        falseAlarm: Type.Optional(
          Type.Number({
            exclusiveMinimum: 0,
            exclusiveMaximum: 0.5,
            description: 'Probability that a version which is no worse fails, however often one looks. Default: 0.05.',
          }),
        ),
      },
      { additionalProperties: false },
    ),
    answer: ComparisonAnswer,
    handle: async ({ services, scope, params, query }) => {
      const { delivery, windows, feedback, ground } = services
      const endpoint = await delivery.endpoints.get(scope, params['endpoint']!)
      const candidate = versionOf(endpoint, query.candidate)
      const base = versionOf(endpoint, query.base ?? largestOf(endpoint))
      if (base.variant === candidate.variant)
        throw new SlipwayError('SLW_INPUT_INVALID', `"${base.variant}" cannot be compared with itself: name another variant as base`)
      const compared = await compareVersions(
        { windows, feedback },
        {
          environment: scope.environment,
          endpoint: endpoint.name,
          base,
          candidate,
          segments: await delivery.segments(endpoint),
          from: query.from,
          falseAlarm: query.falseAlarm,
          nowMs: ground.clock.epochMs(),
        },
      )
      return { body: { endpoint: endpoint.name, base, candidate, ...compared } }
    },
  }),
]

/** @throws SLW_NOT_FOUND */
function versionOf(
  { name, revision: { variants } }: DeclaredEndpoint,
  variant: string,
): { variant: string; model: string; version: string } {
  const found = variants.find((one) => one.name === variant)
  if (found !== undefined) return { variant, model: found.model, version: String(found.version) }
  throw new SlipwayError(
    'SLW_NOT_FOUND',
    `endpoint "${name}" has no variant "${variant}" now; there are ${variants.map((one) => one.name).join(', ')}`,
  )
}

function largestOf({ routing: { weights } }: DeclaredEndpoint): string {
  const [[name] = ['']] = Object.entries(weights).toSorted(([, a], [, b]) => b - a)
  return name
}
