import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { stringify, parse } from 'yaml'
import { argoConditions } from '../../../scripts/argo-conditions.ts'
import { debianBinary } from '../../../scripts/debian-package.ts'
import { packageEndpoint } from '../../../src/kubernetes/packaging/packaging.ts'
import { METRICS } from '../../../src/serving/observe/catalog.ts'
import { temporaryFolder } from '../../temporary-folder.ts'
import { IMAGE } from '../specs.ts'
import type { EndpointDocument } from '../../../src/contract/endpoint.ts'
import type { KubernetesObject } from '../../../src/kubernetes/object.ts'

const DOCUMENT: EndpointDocument = {
  apiVersion: 'slipway/v1',
  kind: 'Endpoint',
  metadata: { name: 'churn' },
  spec: {
    variants: [{ model: 'churn/1' }],
    target: 'kubernetes',
    rollout: { minimumSample: 200 },
    kubernetes: { image: IMAGE, namespace: 'prod', traffic: 'istio' },
  },
}
const PROMETHEUS = { prometheus: 'http://prometheus:9090' }

function objectsOf(form: 'argo-rollouts' | 'flagger'): KubernetesObject[] {
  const made = packageEndpoint(DOCUMENT, form, PROMETHEUS)
  assert.ok('objects' in made)
  return [...made.objects]
}

interface Series {
  readonly series: string
  readonly values: string
}

/** Requests per second of a pod over twenty minutes, answered and failed, and the seconds that all of them take. */
function pod(name: string, { answered, failed, seconds = 0.01 }: { answered: number; failed?: number; seconds?: number }): Series[] {
  const labels = `namespace="prod",pod="${name}"`
  const series = (metric: string, rate: number, more: string): Series => ({
    series: `slipway_request_duration_seconds_${metric}{${labels},${more}}`,
    values: `0+${rate * 30}x40`,
  })
  return [
    series('count', answered, 'code="200"'),
    ...(failed === undefined ? [] : [series('count', failed, 'code="503"')]),
    ...[0.01, 0.1, 1].map((edge) => series('bucket', seconds <= edge ? answered : 0, `code="200",le="${edge}"`)),
    series('bucket', answered, 'code="200",le="+Inf"'),
  ]
}

const CASES = {
  nobody: [],
  'no failure at all': [...pod('STABLE', { answered: 10 }), ...pod('CANARY', { answered: 2 })],
  'twice as many failures': [...pod('STABLE', { answered: 98, failed: 2 }), ...pod('CANARY', { answered: 9, failed: 1 })],
  'too few requests': [...pod('STABLE', { answered: 10 }), ...pod('CANARY', { answered: 0.1, failed: 0.1 })],
  'slower requests': [...pod('STABLE', { answered: 10, seconds: 0.01 }), ...pod('CANARY', { answered: 2, seconds: 0.1 })],
  'another endpoint': [...pod('STABLE', { answered: 10 }), ...pod('churn-main-canary-extra-1-2', { answered: 5, failed: 5 })],
} as const satisfies Record<string, readonly Series[]>
type Case = keyof typeof CASES

describe('queries about new pods', () => {
  /** What Prometheus itself answers in each case: a number, or nothing. */
  async function answers(
    query: string,
    [stable, canary]: readonly [string, string],
    wanted: Readonly<Record<Case, string | undefined>>,
  ): Promise<void> {
    await using folder = await temporaryFolder()
    await folder.write('rules.yaml', stringify({ groups: [{ name: 'one', rules: [{ record: 'answer', expr: query }] }] }))
    const tests = (Object.keys(CASES) as Case[]).map((name) => ({
      interval: '30s',
      input_series: CASES[name].map(({ series, values }) => ({
        series: series.replace('pod="STABLE"', `pod="${stable}"`).replace('pod="CANARY"', `pod="${canary}"`),
        values,
      })),
      promql_expr_test: [
        {
          expr: 'answer',
          eval_time: '15m',
          exp_samples: wanted[name] === undefined ? [] : [{ labels: 'answer', value: wanted[name] }],
        },
      ],
    }))
    // In quotes, numbers would be no numbers.
    const text = stringify({ rule_files: ['rules.yaml'], evaluation_interval: '30s', tests }).replaceAll(
      /value: "?([\d.]+)"?$/gm,
      'value: $1',
    )
    const path = await folder.write('tests.yaml', text)
    assert.ok(parse(text))
    const { stdout } = await promisify(execFile)(await debianBinary('promtool', 'prometheus'), ['test', 'rules', path]).catch(
      (error: Error & { stdout?: string }) => {
        throw new Error(`${error.message}\n${error.stdout ?? ''}`)
      },
    )
    assert.match(stdout, /SUCCESS/)
  }

  it('of a Rollout answer nothing where nothing was shown, whatever series are missing', async () => {
    const template = objectsOf('argo-rollouts').find(({ metadata }) => metadata.name === 'churn-main-prometheus')
    const { metrics } = template!['spec'] as { metrics: { name: string; provider: { prometheus: { query: string } } }[] }
    const query = (name: string): string =>
      metrics
        .find((metric) => metric.name === name)!
        .provider.prometheus.query.replaceAll('{{args.canary}}', '7d9f')
        .replaceAll('{{args.stable}}', '5c6b')
    const pods = ['churn-main-5c6b-x1', 'churn-main-7d9f-x2'] as const
    await answers(query('errors'), pods, {
      nobody: undefined,
      'no failure at all': '0',
      'twice as many failures': '0.08',
      'too few requests': undefined,
      'slower requests': '0',
      'another endpoint': undefined,
    })
    await answers(query('latency'), pods, {
      nobody: undefined,
      'no failure at all': '1',
      'twice as many failures': '1',
      'too few requests': undefined,
      'slower requests': '10.01010101010101',
      'another endpoint': undefined,
    })
  })

  it('of a Canary answer that nothing failed where nothing was shown', async () => {
    const template = objectsOf('flagger').find(({ metadata }) => metadata.name === 'churn-errors')
    const { query } = template!['spec'] as { query: string }
    const named = query.replaceAll('{{ namespace }}', 'prod').replaceAll('{{ target }}', 'churn-main')
    await answers(named, ['churn-main-primary-5c6b-x1', 'churn-main-7d9f-x2'], {
      nobody: '0',
      'no failure at all': '0',
      'twice as many failures': '8',
      'too few requests': '0',
      'slower requests': '0',
      'another endpoint': '0',
    })
  })

  it("decide nothing by Argo's own reading of conditions where there is no answer, no number, or no verdict yet", async () => {
    const made = packageEndpoint(DOCUMENT, 'argo-rollouts', { ...PROMETHEUS, controlPlane: 'http://slipway', rollout: 'ro-1' })
    assert.ok('objects' in made)
    const metrics = made.objects.flatMap(({ kind, spec }) =>
      kind === 'AnalysisTemplate'
        ? (spec as { metrics: { name: string; successCondition: string; failureCondition: string }[] }).metrics
        : [],
    )
    const cases = {
      verdict: [
        [{ verdict: 'pass' }, 'Successful'],
        [{ verdict: 'fail' }, 'Failed'],
        [{ verdict: 'no_data' }, 'Inconclusive'],
        [{ verdict: 'inconclusive' }, 'Inconclusive'],
      ],
      errors: [
        [[], 'Inconclusive'],
        [['NaN'], 'Inconclusive'],
        [[0], 'Successful'],
        [[0.01], 'Successful'],
        [[0.02], 'Failed'],
      ],
      latency: [
        [[], 'Inconclusive'],
        [['NaN'], 'Inconclusive'],
        [[1.5], 'Successful'],
        [[1.6], 'Failed'],
      ],
    } as const
    const asked = metrics.flatMap(({ name, successCondition: success, failureCondition: failure }) =>
      cases[name as keyof typeof cases].map(([result, phase]) => ({ success, failure, result, phase })),
    )
    assert.equal(asked.length, 2 * 4 + 5 + 4)
    const child = promisify(execFile)(await argoConditions())
    child.child.stdin!.end(JSON.stringify(asked))
    assert.deepEqual(
      JSON.parse((await child).stdout),
      asked.map(({ phase }) => phase),
    )
  })

  it('of the adapter ask for metrics that servers have', () => {
    const made = packageEndpoint(DOCUMENT, 'prometheus-adapter')
    assert.ok('files' in made)
    const { rules } = parse(made.files.get('prometheus-adapter.yaml')!) as {
      rules: { custom: { seriesQuery: string; name: { as: string } }[] }
    }
    for (const { seriesQuery } of rules.custom) {
      const [series] = /^[a-z_]+/.exec(seriesQuery)!
      assert.ok(series.replace(/_count$/, '') in METRICS, series)
    }
    assert.deepEqual(
      rules.custom.map(({ name }) => name.as),
      ['slipway_requests_per_second', 'slipway_requests_in_flight', 'slipway_requests_queued'],
    )
  })
})
