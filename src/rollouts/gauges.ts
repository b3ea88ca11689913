/** Where rollouts are, as monitoring reads it. */
import { toRollout } from './rollout.ts'
import { weightOf } from './transitions.ts'
import type { Kysely } from 'kysely'
import type { Gauge, GaugeInfo, GaugeSample } from '../core/gauges.ts'
import type { Schema } from '../storage/sql/schema.ts'

const ROLLOUT = ['environment', 'endpoint', 'rollout'] as const

export const ROLLOUT_METRICS = {
  slipway_rollout_state: { help: '1, by the state of a rollout.', labels: [...ROLLOUT, 'state'] },
  slipway_rollout_weight_percent: { help: 'Percent of the requests that the new version of a rollout has.', labels: ROLLOUT },
  slipway_rollout_verdict: { help: '1, by what is shown: `pass`, `fail`, `inconclusive`, or `no_data`.', labels: [...ROLLOUT, 'verdict'] },
  slipway_rollout_metric_p: {
    help: 'Always-valid p of a metric: the probability of as much evidence against a version that is no worse, at any time.',
    labels: [...ROLLOUT, 'metric'],
  },
  slipway_rollout_sample: { help: 'Requests of the new version in the present step.', labels: ROLLOUT },
} as const satisfies Record<string, GaugeInfo>

/** Of every rollout that has not ended, and of the latest of each endpoint that has. */
export async function rolloutGauges(read: Kysely<Schema>): Promise<Gauge[]> {
  const rows = await read
    .selectFrom('rollouts')
    .innerJoin('endpoints', 'endpoints.id', 'rollouts.endpoint_id')
    .selectAll('rollouts')
    .select(['environment', 'endpoints.name as endpoint'])
    .where('endpoints.deleted_at', 'is', null)
    .where((where) =>
      where.or([
        where('next_look_at', 'is not', null),
        where(
          'number',
          '=',
          where
            .selectFrom('rollouts as others')
            .select((columns) => columns.fn.max('others.number').as('newest'))
            .whereRef('others.endpoint_id', '=', 'rollouts.endpoint_id')
            .where('others.ended_at', 'is not', null),
        ),
      ]),
    )
    .orderBy('environment')
    .orderBy('endpoints.name')
    .orderBy('number')
    .execute()
  const samples: Record<keyof typeof ROLLOUT_METRICS, GaugeSample[]> = {
    slipway_rollout_state: [],
    slipway_rollout_weight_percent: [],
    slipway_rollout_verdict: [],
    slipway_rollout_metric_p: [],
    slipway_rollout_sample: [],
  }
  for (const { environment, endpoint, ...row } of rows) {
    const rollout = toRollout(row)
    const { number, state, verdict = 'no data', evidence } = rollout
    const labels = { environment, endpoint, rollout: String(number) }
    samples.slipway_rollout_state.push({ labels: { ...labels, state }, value: 1 })
    samples.slipway_rollout_weight_percent.push({ labels, value: weightOf(rollout) })
    samples.slipway_rollout_verdict.push({ labels: { ...labels, verdict: verdict.replace(' ', '_') }, value: 1 })
    for (const { metric, p } of evidence?.metrics ?? []) samples.slipway_rollout_metric_p.push({ labels: { ...labels, metric }, value: p })
    samples.slipway_rollout_sample.push({ labels, value: evidence?.sample ?? 0 })
  }
  return Object.entries(ROLLOUT_METRICS).map(([name, info]) => ({ name, ...info, samples: samples[name as keyof typeof samples] }))
}
