import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { slipway } from '../../cli/slipway.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const endpoint = (name: string): string => `apiVersion: slipway/v1
kind: Endpoint
metadata: {name: ${name}}
spec:
  target: kubernetes
  variants: [{model: ${name}/1}]
  kubernetes: {image: images.example/${name}:1}
`
const RENDER = ['render', '--target', 'kubernetes']

describe('slipway render --as', () => {
  it('writes a folder of files, with one for each of several endpoints', async () => {
    await using folder = await temporaryFolder()
    const [one, other] = [await folder.write('churn.yaml', endpoint('churn')), await folder.write('fraud.yaml', endpoint('fraud'))]
    const chart = join(folder.path, 'chart')
    const written = await slipway([...RENDER, one, '--as', 'helm', '--output', chart])
    assert.equal(written.code, 0, written.stderr)
    assert.ok((await readdir(chart)).includes('values.schema.json'))
    assert.match(
      await readFile(join(chart, 'values.yaml'), 'utf8'),
      /# Image of the pods, best by digest.*\n +image: images\.example\/churn:1/,
    )

    const both = join(folder.path, 'both')
    const several = await slipway([...RENDER, one, other, '--as', 'kustomize', '--output', both, '--overlay', 'live'])
    assert.equal(several.code, 0, several.stderr)
    assert.deepEqual((await readdir(both)).toSorted(), ['churn', 'fraud'])
    assert.deepEqual(await readdir(join(both, 'fraud', 'overlays')), ['live'])
  })

  it('prints objects, and says what the tool cannot do', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('churn.yaml', endpoint('churn'))
    const { code, stdout, stderr } = await slipway([...RENDER, file, '--as', 'argo-rollouts'])
    assert.equal(code, 0, stderr)
    const kinds = parseAllDocuments(stdout).map((one) => (one.toJS() as { kind: string }).kind)
    assert.ok(kinds.includes('Rollout') && !kinds.includes('Deployment'), kinds.join())
    assert.match(stderr, /churn: nothing judges the new version: give --prometheus URL/)
  })

  it('refuses what cannot be, and says what to do', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('churn.yaml', endpoint('churn'))
    for (const [args, message] of [
      [['--as', 'helm'], /--as helm makes a folder of files: say where, with --output FOLDER/],
      [['--as', 'terraform'], /--as: there is no "terraform"; there is helm, kustomize, argo-cd/],
      [['--as', 'argo-cd'], /give its address with --repository URL/],
    ] as const) {
      const { code, stderr } = await slipway([...RENDER, file, ...args])
      assert.equal(code, 2)
      assert.match(stderr, message)
    }
  })
})
