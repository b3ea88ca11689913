/** Both APIs of the control plane, attacked from their own descriptions: what must never be found is a 5xx, or a control plane that is worse for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { MLFLOW_ROUTES } from '../../src/api/mlflow/mlflow.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { attack } from './schemathesis.ts'

/** For each operation, beside some seventy that follow from its schema. */
const MAX_EXAMPLES = 7
const REQUESTS_MIN = 500
const SEED = Number(process.env['SLIPWAY_SEED'] ?? 8480)
/** Requests to each route of MLflow's dialect. */
const RUNS = 25

describe('the control plane', () => {
  // Streams have no end, and a key that is revoked would be the one that is used.
  const LEFT_OUT = '/watch$|/stream$|/backup$|^/keys'
  // The document of an endpoint has so many fields that as many requests go to it as to all other routes.
  const ENDPOINT = '^/endpoints/[^/]+$'
  for (const [what, paths] of [
    ['of an endpoint', ['--include-path-regex', ENDPOINT]],
    ['of everything else', ['--exclude-path-regex', `${LEFT_OUT}|${ENDPOINT}`]],
  ] as const)
    it(`answers what its own description allows ${what}, and what it does not, without a 5xx`, { timeout: 400_000 }, async (t) => {
      await using folder = await temporaryFolder()
      await using plane = await planeInProcess()
      await plane.ask('POST', '/models', { name: 'm' })
      await plane.ask('POST', '/models/m/versions', { source: 's3://bucket/model' })
      const { key } = (await plane.ask('POST', '/keys', { name: 'fuzz', scopes: ['admin'] })).body
      const { code, output, report } = await attack({
        url: `${plane.url}/api/v1/openapi.json`,
        folder: folder.path,
        examples: MAX_EXAMPLES,
        more: [...paths, '--header', `Authorization: Bearer ${key}`],
        // What has no body, as methods that nobody knows have, is refused by the framework before its method is looked at.
        notChecked: 'unsupported_method',
      })
      t.diagnostic(`${report.test_cases?.generated} requests to ${report.operations?.tested} operations`)
      assert.deepEqual([report.complete, report.failures, report.errors], [true, [], []], output.slice(0, 6000))
      assert.equal(code, 0, output.slice(0, 6000))
      assert.ok(report.test_cases.generated >= REQUESTS_MIN, `${report.test_cases.generated} requests`)
      assert.equal((await fetch(`${plane.url}/health`)).status, 200)
    })

  it(
    `answers whatever comes in MLflow's dialect with an error that it names, or with success (seed ${SEED})`,
    { timeout: 300_000 },
    async () => {
      await using plane = await planeInProcess()
      const base = `${plane.url}/api/2.0/mlflow`
      const call = async (path: string, body: object): Promise<Record<string, any>> =>
        (await (await fetch(`${base}/${path}`, { method: 'POST', body: JSON.stringify(body) })).json()) as Record<string, any>
      const run = (await call('runs/create', { experiment_id: '0' }))['run'].info.run_id as string
      await call('registered-models/create', { name: 'm' })
      await call('model-versions/create', { name: 'm', source: 's3://b/x' })
      const logged = (await call('logged-models', { experiment_id: '0', name: 'l' }))['model'].info.model_id as string

      const known = fc.constantFrom<unknown>(
        '0',
        '1',
        'm',
        run,
        logged,
        `runs:/${run}/model`,
        'models:/m/1',
        'champion',
        'ACTIVE_ONLY',
        'Production',
        'READY',
        'FINISHED',
        "name = 'm'",
        'metrics.a > 1',
        1,
        0,
        1000,
      )
      const odd = fc.oneof(
        fc.jsonValue({ maxDepth: 3 }),
        fc.string({ unit: 'binary', maxLength: 40 }),
        fc.constantFrom<unknown>('', null, -1, 1e308, 2 ** 53, 'NaN', '../..', '\0', '%00', "' OR 1=1 --", '{}'),
      )
      const tag = fc.record({ key: fc.oneof(fc.string(), fc.constant('k')), value: fc.oneof(fc.string(), odd) }, { requiredKeys: [] })
      const point = fc.record(
        {
          key: fc.oneof(fc.string(), fc.constant('a')),
          value: fc.oneof(fc.double(), odd),
          timestamp: fc.oneof(fc.nat(), odd),
          step: fc.oneof(fc.integer(), odd),
        },
        { requiredKeys: [] },
      )
      const lists = fc.oneof(
        fc.array(tag, { maxLength: 3 }),
        fc.array(point, { maxLength: 3 }),
        fc.array(known, { maxLength: 3 }),
        fc.array(odd, { maxLength: 3 }),
      )
      const value = fc.oneof({ weight: 4, arbitrary: known }, { weight: 2, arbitrary: odd }, { weight: 2, arbitrary: lists })
      const NAMES = [
        'name',
        'new_name',
        'version',
        'alias',
        'run_id',
        'run_uuid',
        'experiment_id',
        'experiment_ids',
        'experiment_name',
        'key',
        'value',
        'timestamp',
        'step',
        'metrics',
        'params',
        'tags',
        'filter',
        'order_by',
        'max_results',
        'page_token',
        'view_type',
        'run_view_type',
        'source',
        'stage',
        'stages',
        'archive_existing_versions',
        'description',
        'status',
        'end_time',
        'run_name',
        'model_id',
        'models',
        'datasets',
        'path',
        'metric_key',
        'model_json',
        'artifact_location',
        'user_id',
        'start_time',
        'run_link',
        'model_type',
        'source_run_id',
      ]
      const fields = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 12 })
      const body = fc.oneof(
        { weight: 8, arbitrary: fields.map((object) => JSON.stringify(object)) },
        { weight: 1, arbitrary: fc.json() },
        { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
      )

      let count = 0
      for (const { path, methods } of MLFLOW_ROUTES) {
        const place = path.replaceAll(/:(\w+)/g, () => logged)
        for (const method of methods) {
          for (const text of fc.sample(body, { seed: SEED + count, numRuns: RUNS })) {
            const query = method === 'GET' ? `?${queryOf(text)}` : ''
            const response = await fetch(`${base}/${place}${query}`, { method, ...(method !== 'GET' && { body: text }) })
            const said = await response.text()
            count++
            assert.ok(response.status < 500, `${method} ${path} ${query}${text}: ${response.status} ${said}`)
            const answer = JSON.parse(said) as { error_code?: string; message?: string }
            if (response.status !== 200) assert.ok(answer.error_code !== undefined && answer.message !== undefined, said)
          }
        }
      }
      assert.ok(count > 40 * RUNS, `${count} requests`)
      for (const path of [
        '..%2f..%2fetc/passwd',
        '%2e%2e/x',
        '/etc/passwd',
        `0/${run}/artifacts/..%2f..%2fx`,
        `0/${run}/artifacts/a%00b`,
        'versions/x',
        '%ff%fe',
      ])
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const response = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/${path}`, {
            method,
            ...(method === 'PUT' && { body: 'x' }),
          })
          await response.arrayBuffer()
          assert.ok(response.status >= 400 && response.status < 500, `${method} ${path}: ${response.status}`)
        }
      assert.equal((await fetch(`${plane.url}/health`)).status, 200)
    },
  )
})

/** The members of an object as a query, or the text itself. */
function queryOf(text: string): string {
  try {
    const object = JSON.parse(text) as Record<string, unknown>
    return new URLSearchParams(
      Object.entries(object ?? {}).map(
        ([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)] as [string, string],
      ),
    ).toString()
  } catch {
    return encodeURIComponent(text.toWellFormed())
  }
}
