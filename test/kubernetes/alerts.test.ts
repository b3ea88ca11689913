import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { debianBinary } from '../../scripts/debian-package.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { KUBERNETES_ENDPOINTS } from './specs.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

const run = promisify(execFile)

test('rules of alerts are ones that Prometheus takes, for one variant and for several', async () => {
  await using folder = await temporaryFolder()
  const promtool = await debianBinary('promtool', 'prometheus')
  const checked = async (name: string, { spec }: KubernetesObject): Promise<string> =>
    (await run(promtool, ['check', 'rules', await folder.write(name, stringify(spec))])).stdout
  for (const what of ['monitors and alarms', 'monitors of the Services of variants']) {
    const rule = renderEndpoint(KUBERNETES_ENDPOINTS.get(what)!).find(({ kind }) => kind === 'PrometheusRule')!
    assert.match(await checked('rules.yaml', rule), /SUCCESS: 6 rules found/)
    const broken = JSON.parse(JSON.stringify(rule).replace('sum(rate(', 'sum(rate((')) as KubernetesObject
    await assert.rejects(checked('broken.yaml', broken), /could not parse expression/)
  }
})
