import { join } from 'node:path'
import { debianBinary } from '../../scripts/debian-package.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { freePort } from '../fixtures.ts'
import { answers, startChild } from './child.ts'

/** A value of an instant query: a number, or the parts of a native histogram. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value?: readonly [time: number, value: string]
  readonly histogram?: readonly [
    time: number,
    histogram: { count: string; sum: string; buckets: (readonly [number, string, string, string])[] },
  ]
}

export interface Prometheus extends AsyncDisposable {
  readonly url: string
  query(expression: string): Promise<readonly Sample[]>
}

/**
 * A Prometheus that scrapes one server every second and keeps what it sees in a folder of its own.
 * @param scrapes its `scrape_configs`, as YAML, and whatever else its configuration is to have. Default: those of one job for the target
 */
export async function startPrometheus(target: string, features: readonly string[], scrapes?: string): Promise<Prometheus> {
  await using opened = new AsyncDisposableStack()
  const binary = await debianBinary('prometheus')
  const folder = opened.use(await temporaryFolder())
  const port = await freePort()
  const config = await folder.write(
    'prometheus.yml',
    `global: { scrape_interval: 1s, scrape_timeout: 1s }\n${scrapes ?? `scrape_configs: [{ job_name: slipway, static_configs: [{ targets: ['${target}'] }] }]`}\n`,
  )
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder.path, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    ...features.map((feature) => `--enable-feature=${feature}`),
  ]
  opened.use(await startChild(binary, args, () => answers(`http://127.0.0.1:${port}/-/ready`)))
  const held = opened.move()
  return {
    url: `http://127.0.0.1:${port}`,
    async query(expression) {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`)
      const answer = (await response.json()) as { status: string; error?: string; data: { result: Sample[] } }
      if (answer.status !== 'success') throw new Error(`${expression}: ${answer.error}`)
      return answer.data.result
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
