import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { ROOT } from '../fixtures.ts'
import { guideInShell } from './guide-in-shell.ts'

it('the commands of the guide to tools of others write what these read', async () => {
  const page = await readFile(join(ROOT, 'docs/guides/kubernetes-tools.md'), 'utf8')
  const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  const { code, said } = await guideInShell(`${commands.join('\n')}\nls chart argo-rollouts flagger adapter`, { ends: '', limitS: 120 })
  assert.equal(code, 0, said.slice(-4000))
  for (const name of ['Chart.yaml', 'values.schema.json', 'prometheus-adapter.yaml']) assert.match(said, new RegExp(`^${name}$`, 'm'))
  assert.match(said, /^kind: InferenceService$/m)
})
