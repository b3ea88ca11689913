import { Type } from 'typebox'
import { modelReference, modelsOf } from '../../contract/endpoint.ts'
import { PageQuery, pageOfThings } from '../../contract/registry-api.ts'
import { contradictionsInRollout } from '../../contract/rollout.ts'
import { RolloutAnswer, RolloutBody, RolloutCommand, RolloutPlan, VerdictAnswer } from '../../contract/rollout-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { jsonOf } from '../../storage/sql/json-of.ts'
import { findEndpoint, specOf } from '../../delivery/read-endpoints.ts'
import { hasEnded } from '../../rollouts/decide.ts'
import { planOf } from '../../rollouts/plan.ts'
import { rolloutsOf } from '../../rollouts/rollout.ts'
import { weightOf } from '../../rollouts/transitions.ts'
import { PAGE_LIMIT, pageOfRead, placeOfToken } from './page-token.ts'
import { v1RoutesOf } from './route.ts'
import { seen } from './seen.ts'
import { watched } from './watch.ts'
import type { RolloutEvidence } from '../../contract/rollout-api.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { RolloutState } from '../../rollouts/rollout.ts'
import type { RolloutGround, Rollouts } from '../../rollouts/rollouts.ts'
import type { V1Call, V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'

/** Services that these routes use. */
export interface RolloutServices {
  readonly rollouts: Rollouts
  readonly rolloutGround: RolloutGround
  readonly ground: Ground
}

const v1Route = v1RoutesOf<RolloutServices>()
const tag = 'rollouts'
const ROLLOUTS = '/endpoints/:endpoint/rollouts'
const closed = { additionalProperties: false } as const

/** Models of the endpoint of a call, and that of a version which is named. */
async function modelsServed({
  services,
  params,
  environment,
  body,
}: Pick<V1Call<RolloutServices>, 'services' | 'params' | 'body'> & { readonly environment: string }): Promise<string[]> {
  const row = await findEndpoint(services.ground.database.read, { environment, actor: '' }, params['endpoint']!)
  const to = (body as RolloutBody | undefined)?.to
  const named = to === undefined || !/^[^/@:]+[@/][^/@:]+$/.test(to) ? [] : [modelReference(to).model]
  const walked = row === undefined ? [] : await walkedModels(services, row.id)
  return [...new Set([...(row === undefined ? [] : modelsOf(specOf(row))), ...named, ...walked])]
}

/** Models of the versions that the latest rollout of an endpoint walks between: these may be others than the spec names. */
async function walkedModels({ ground }: RolloutServices, endpointId: string): Promise<string[]> {
  const [latest] = await rolloutsOf(ground.database.read, endpointId, 1)
  return latest === undefined ? [] : [latest.from.model, latest.to.model]
}

/** The models of the endpoint of a rollout that is named by its id. */
async function modelsOfRollout({
  services,
  params,
  environment,
}: Pick<V1Call<RolloutServices>, 'services' | 'params'> & { readonly environment: string }): Promise<string[]> {
  const row = await services.ground.database.read
    .selectFrom('rollouts')
    .innerJoin('endpoints', 'endpoints.id', 'rollouts.endpoint_id')
    .selectAll('endpoints')
    .where('rollouts.id', '=', params['rollout']!)
    .where('environment', '=', environment)
    .executeTakeFirst()
  if (row === undefined) return []
  const { from, to } = await services.rollouts.byId({ environment, actor: '' }, params['rollout']!)
  return [...new Set([...modelsOf(specOf(row)), from.model, to.model])]
}

function rolloutAnswer(endpoint: string, rollout: RolloutState): RolloutAnswer {
  const { strategy, onPromoted, actor, reason, verdict, evidence, pausedFor, waitsFor, edgeMs, endedAt } = rollout
  const { id, number, state, step, stepBeganAt, from, to, createdAt, updatedAt } = rollout
  return {
    id,
    endpoint,
    number,
    state,
    ...(pausedFor !== undefined && { pausedFor }),
    ...(waitsFor !== undefined && { waitsFor }),
    strategy: strategy.strategy,
    stages: [...strategy.stages],
    bakeAfterMs: strategy.bakeAfterMs,
    watchAfterMs: strategy.watchAfterMs,
    step,
    stepBeganAt,
    weight: weightOf(rollout),
    from,
    to,
    ...(edgeMs !== undefined && { edgeMs }),
    ...(verdict !== undefined && { verdict: verdict as NonNullable<RolloutAnswer['verdict']> }),
    ...(evidence !== undefined && { evidence }),
    ...(onPromoted !== undefined && { onPromoted: { alias: onPromoted.alias } }),
    startedBy: actor,
    ...(reason !== undefined && { reason }),
    createdAt,
    updatedAt,
    ...(endedAt !== undefined && { endedAt }),
  }
}

/** @throws SLW_INPUT_INVALID for contradictions in a strategy */
function requireSound({ rollout }: RolloutBody): void {
  const issues = rollout === undefined ? [] : contradictionsInRollout(rollout)
  if (issues.length === 0) return
  throw new SlipwayError('SLW_INPUT_INVALID', issues.map(({ path, message }) => `${path}: ${message}`).join('; '), { issues })
}

/** @throws SLW_INPUT_INVALID */
function numberOf(text: string): number | undefined {
  if (text === 'latest') return undefined
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text)
  throw new SlipwayError('SLW_INPUT_INVALID', `"${text}" is no number of a rollout; expected such as 3, or latest`)
}

/** The verdict in the words of those who ask for it from outside: of Argo's web provider and of Flagger's webhooks. */
function verdictAnswer(rollout: RolloutState): VerdictAnswer {
  const { state, step, evidence, waitsFor, updatedAt } = rollout
  const verdict = verdictNow(rollout)
  const failures = evidence?.failures ?? []
  return {
    data: {
      verdict: verdict === 'no data' ? 'no_data' : verdict,
      at: evidence?.at ?? updatedAt,
      state,
      step,
      weight: weightOf(rollout),
      reasons: [
        ...failures,
        ...(waitsFor === undefined || hasEnded(rollout)
          ? []
          : [state === 'paused' ? `it is paused: ${waitsFor}` : `it waits for ${waitsFor}`]),
        ...(hasEnded(rollout) ? [`it was ${state}`] : []),
      ],
    },
  }
}

/** Of one that has ended, how it ended: another version that took its place says nothing. */
function verdictNow({ state, verdict = 'no data' }: RolloutState): 'pass' | 'fail' | 'inconclusive' | 'no data' {
  if (state === 'promoted' || state === 'watching') return 'pass'
  if (state === 'rolled back' || state === 'aborted') return 'fail'
  return state === 'superseded' ? 'inconclusive' : (verdict as 'pass' | 'fail' | 'inconclusive' | 'no data')
}

export const ROLLOUT_ROUTES: readonly V1Route<RolloutServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: ROLLOUTS,
    operation: 'listRollouts',
    summary: 'The rollouts of an endpoint, the latest first',
    tag,
    action: 'read',
    models: modelsServed,
    query: Type.Object(PageQuery, closed),
    answer: pageOfThings(RolloutAnswer),
    handle: async ({ services: { rollouts }, scope, params, query: { limit = PAGE_LIMIT, pageToken } }) => {
      const endpoint = params['endpoint']!
      const list = `rollouts of ${endpoint}`
      const before = placeOfToken(list, pageToken)
      const found = await rollouts.list(scope, endpoint, limit + 1, before === undefined ? undefined : Number(before))
      const { items, ...next } = pageOfRead(list, found, { limit, placeOf: ({ number }) => String(number) })
      const total = before === undefined ? (found[0]?.number ?? 0) : (await rollouts.get(scope, endpoint)).number
      return { body: { items: items.map((rollout) => rolloutAnswer(endpoint, rollout)), total, ...next } }
    },
  }),
  v1Route({
    method: 'POST',
    path: ROLLOUTS,
    operation: 'startRollout',
    summary:
      'Walk an endpoint to another version, step by step, judged by what happens to users. One that is on its way to another version is superseded',
    tag,
    action: 'deploy',
    conditional: true,
    models: modelsServed,
    body: RolloutBody,
    answer: RolloutAnswer,
    status: 201,
    handle: async (call) => {
      const { services, params, body, caller } = call
      requireSound(body)
      const { to, rollout, onPromoted, anew } = body
      const started = await services.rollouts.start(seen(call), params['endpoint']!, {
        to,
        rollout,
        onPromoted: onPromoted?.alias,
        protect: caller.may('protect'),
        ...(anew !== undefined && { anew }),
      })
      return { status: 201, body: rolloutAnswer(params['endpoint']!, started) }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/endpoints/:endpoint/rollout-plan',
    operation: 'planRollout',
    summary: 'What a rollout would do, how long it takes, and how many requests and how long each bad outcome takes to be seen',
    tag,
    action: 'read',
    models: modelsServed,
    body: RolloutBody,
    answer: RolloutPlan,
    handle: async ({ services: { rollouts, rolloutGround }, scope, params, body }) => {
      requireSound(body)
      return { body: await planOf({ ground: rolloutGround, rollouts }, scope, params['endpoint']!, body) }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: `${ROLLOUTS}/:rollout`,
      operation: 'getRollout',
      summary: 'A rollout by its number, or `latest`: where it is, what it waits for, what was seen, and how it came there',
      tag,
      action: 'read',
      models: modelsServed,
      answer: RolloutAnswer,
      handle: async ({ services: { rollouts }, scope, params }) => {
        const rollout = await rollouts.get(scope, params['endpoint']!, numberOf(params['rollout']!))
        const transitions = await rollouts.transitions(rollout)
        return {
          body: {
            ...rolloutAnswer(params['endpoint']!, rollout),
            transitions: transitions.map(({ at, actor, from_state: from, state, step, weight, reason, evidence }) => ({
              at,
              actor,
              ...(from !== null && { from: from as RolloutAnswer['state'] }),
              state: state as RolloutAnswer['state'],
              step,
              weight,
              ...(reason !== null && { reason }),
              ...(evidence !== null && { evidence: jsonOf<RolloutEvidence>(evidence)! }),
            })),
          },
        }
      },
    }),
    { polled: true },
  ),
  v1Route({
    method: 'POST',
    path: `${ROLLOUTS}/latest/commands`,
    operation: 'commandRollout',
    summary: 'Hasten, hold or end the rollout of an endpoint',
    tag,
    action: 'deploy',
    conditional: true,
    models: modelsServed,
    body: RolloutCommand,
    answer: RolloutAnswer,
    handle: async (call) => {
      const { services, params, body, caller } = call
      const wanted = { ...body, protect: caller.may('protect') }
      return { body: rolloutAnswer(params['endpoint']!, await services.rollouts.command(seen(call), params['endpoint']!, wanted)) }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/rollouts/:rollout/verdict',
    operation: 'rolloutVerdict',
    summary:
      'The verdict on a rollout, by its id, as Argo\'s web provider reads it: `result.verdict == "pass"` of `{$.data}`. No data is neither a pass nor a fail',
    tag,
    action: 'read',
    models: modelsOfRollout,
    answer: VerdictAnswer,
    handle: async ({ services: { rollouts }, scope, params }) => ({
      body: verdictAnswer(await rollouts.byId(scope, params['rollout']!)),
      volatile: true,
    }),
  }),
  v1Route({
    method: 'POST',
    path: '/rollouts/:rollout/verdict',
    operation: 'rolloutVerdictHook',
    summary:
      "The verdict on a rollout as Flagger's webhooks read it: 200 while nothing fails, with `?needs=pass` once it passes, with `?needs=fail` once it fails; 409 otherwise",
    tag,
    action: 'read',
    models: modelsOfRollout,
    query: Type.Object(
      {
        needs: Type.Optional(
          Type.Union([Type.Literal('pass'), Type.Literal('not failing'), Type.Literal('fail')], {
            description: 'For confirm-promotion: pass; for rollback, which goes back on an answer of 200: fail. Default: not failing.',
          }),
        ),
      },
      closed,
    ),
    body: Type.Object(
      {
        name: Type.Optional(Type.String()),
        namespace: Type.Optional(Type.String()),
        phase: Type.Optional(Type.String()),
        checksum: Type.Optional(Type.String()),
        metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
      },
      { description: 'As Flagger sends it; nothing of it is read.' },
    ),
    answer: VerdictAnswer,
    handle: async ({ services: { rollouts }, scope, params, query }) => {
      const answer = verdictAnswer(await rollouts.byId(scope, params['rollout']!))
      const { verdict, reasons } = answer.data
      const holds = query.needs === 'pass' || query.needs === 'fail' ? verdict === query.needs : verdict !== 'fail'
      if (!holds)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `the verdict is ${verdict.replace('_', ' ')}: ${reasons.join('; ') || 'nothing is shown yet'}`,
        )
      return { body: answer }
    },
  }),
]
