import assert from 'node:assert/strict'
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'

const SERVICE =
  'apiVersion: v1\nkind: Service\nmetadata:\n  name: churn\nspec:\n  selector: { app: churn }\n  ports: [{ port: 80, targetPort: http }]\n'
const pod = (port: string, annotations = ''): string =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: churn\n  labels: { app: churn }\n${annotations}spec:\n  automountServiceAccountToken: false\n  containers:\n    - name: server\n      image: churn:latest\n      ports: [{ name: ${port}, containerPort: 8470 }]\n`

interface Report {
  readonly findings: readonly {
    readonly file: string
    readonly line: number
    readonly rule: string
    readonly field: string
    readonly object: string
  }[]
  readonly ignored: readonly { readonly rule: string; readonly reason: string }[]
  readonly unreadable: readonly { readonly file: string; readonly line: number; readonly message: string }[]
  readonly counts: Readonly<Record<string, number>>
}

describe('slipway lint k8s', () => {
  it('checks the files of a folder together, and says file, line and column of what is wrong', async () => {
    await using folder = await temporaryFolder()
    await folder.write('deploy/service.yaml', SERVICE)
    await folder.write('deploy/more/pod.json.yaml', pod('web'))
    await folder.write('deploy/values.yaml', 'image: churn\n')
    // A circle, and what nobody meant.
    await symlink(join(folder.path, 'deploy'), join(folder.path, 'deploy/more/circle'))
    await folder.write('deploy/node_modules/a.yaml', pod('http'))
    const { code, stdout, stderr } = await slipway(['lint', 'k8s', join(folder.path, 'deploy')])
    assert.equal(code, 1, stderr)
    assert.match(
      stdout,
      /deploy\/service\.yaml:7:23: error: Service\/churn: no pod behind it has a port http; they have web \(8470\) \(target-port-name\)/,
    )
    assert.match(stderr, /^2 objects in 3 files: 1 error, \d+ warnings, \d+ advice; 1 document that is no manifest skipped/m)
  })

  it('prints JSON, takes standard input, and fails on warnings when told to', async () => {
    const { code, stdout } = await slipway(['lint', 'k8s', '-', '--json'], `${SERVICE}---\n${pod('http')}`)
    const report = JSON.parse(stdout) as Report
    assert.equal(code, 0)
    assert.equal(report.counts['error'], 0)
    const image = report.findings.find(({ rule }) => rule === 'image-latest')
    assert.deepEqual(
      { ...image, message: '', column: 0 },
      {
        file: 'standard input',
        line: 18,
        column: 0,
        severity: 'warning',
        rule: 'image-latest',
        object: 'Pod/churn',
        field: 'spec.containers[0].image',
        message: '',
      },
    )
    assert.equal((await slipway(['lint', 'k8s', '-', '--strict'], pod('http'))).code, 1)
  })

  it('leaves out rules by option, and by an annotation with its reason', async () => {
    const annotations = '  annotations:\n    slipway.dev/lint-ignore: "image-latest: built anew each night"\n'
    const { stdout } = await slipway(['lint', 'k8s', '-', '--json', '--ignore', 'cpu-request', 'memory-limit'], pod('http', annotations))
    const { findings, ignored } = JSON.parse(stdout) as Report
    assert.ok(findings.every(({ rule }) => !['cpu-request', 'memory-limit', 'image-latest'].includes(rule)))
    assert.deepEqual(
      ignored.map(({ rule, reason }) => ({ rule, reason })),
      [{ rule: 'image-latest', reason: 'built anew each night' }],
    )
    const { code, stderr } = await slipway(['lint', 'k8s', '-', '--ignore', 'image-newest'], pod('http'))
    assert.equal(code, 2)
    assert.match(stderr, /there is no rule image-newest: did you mean image-latest\?/)
  })

  it('goes on where a file cannot be read, and exits with 2', async () => {
    await using folder = await temporaryFolder()
    await folder.write('a.yaml', 'kind: [\n')
    await folder.write('b.yaml', SERVICE)
    await folder.write('c.yaml', SERVICE.replace('churn', '{{ .Values.name }}'))
    await writeFile(join(folder.path, 'd.yaml'), '')
    await truncate(join(folder.path, 'd.yaml'), 50_000_000)
    await mkdir(join(folder.path, 'chart/templates'), { recursive: true })
    await folder.write('chart/Chart.yaml', 'apiVersion: v2\nname: churn\nversion: 1.0.0\n')
    await folder.write('chart/templates/a.yaml', '{{ broken')
    const { code, stdout } = await slipway(['lint', 'k8s', folder.path, '--json'])
    const { unreadable, counts } = JSON.parse(stdout) as Report
    assert.equal(code, 2)
    assert.equal(counts['error'], 0)
    assert.deepEqual(
      unreadable.map(({ file, message }) => [file.replace(`${folder.path}/`, ''), message.split(/[:(]/)[0]]),
      [
        ['a.yaml', 'this is no YAML'],
        ['c.yaml', 'this is a template of Helm, and no manifest yet'],
        ['chart/Chart.yaml', 'this is a chart of Helm'],
        ['d.yaml', 'it has more than 8 MB'],
      ],
    )
    assert.equal((await slipway(['lint', 'k8s', join(folder.path, 'none.yaml')])).code, 4)
    assert.equal((await slipway(['lint', 'k8s'])).code, 2)
  })

  it('explains a rule', async () => {
    const { code, stdout } = await slipway(['lint', 'k8s', '--explain', 'keda-asleep'])
    assert.equal(code, 0)
    assert.match(stdout, /^keda-asleep \(error\)\n {2}What KEDA puts to sleep[\s\S]*\n {2}https:\/\/keda\.sh\//)
  })
})
