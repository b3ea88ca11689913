import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { parse } from 'csv-parse/sync'
import { ModelPackageDocument } from '../../src/contract/model-package.ts'
import { readYaml } from '../../src/contract/read-yaml.ts'
import { freePort, ROOT } from '../fixtures.ts'
import { guideInShell } from './guide-in-shell.ts'

it('what the guide to texts writes into slipway.yaml is understood', async () => {
  const page = await readFile(join(ROOT, 'docs/guides/text.md'), 'utf8')
  const [, yaml = ''] = /^```yaml\n([\s\S]*?)^```/m.exec(page) ?? []
  const read = readYaml(yaml, ModelPackageDocument)
  assert.ok('value' in read, JSON.stringify(read))
  assert.deepEqual(Object.keys(read.value), ['text', 'answer'])
})

it('the messages that the example learns from are whole: a comma in one does not end it', async () => {
  const rows = parse(await readFile(join(ROOT, 'examples/text/messages.csv'), 'utf8'), { columns: true }) as Record<string, string>[]
  assert.equal(rows.length, 120)
  for (const { text = '' } of rows) assert.match(text, /[.!?]$/)
})

it('the guide to texts: both classifiers are trained, served and asked as it says', { timeout: 240_000 }, async () => {
  const port = await freePort()
  const page = await readFile(join(ROOT, 'docs/guides/text.md'), 'utf8')
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  assert.equal(blocks.length, 2)
  const commands = blocks
    .join('\n')
    .replaceAll('scripts/node scripts/python-env.ts', `${ROOT}scripts/node ${ROOT}scripts/python-env.ts`)
    .replaceAll('8470', String(port))
    // Each answer on a line of its own.
    .replaceAll(/^(.*curl -s .*)$/gm, '$1; echo')
  const { code, said } = await guideInShell(commands, { ends: '${SERVE:-}', limitS: 200 })
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  const accuracies = [...said.matchAll(/^messages\S* +accuracy (\d\.\d+)/gm)].map(([, accuracy]) => Number(accuracy))
  assert.equal(accuracies.length, 2, said)
  // Always saying one of five classes is right for a fifth.
  for (const accuracy of accuracies) assert.ok(accuracy > 0.85, said)
  assert.match(said, /\{"prediction":"billing","confidence":0\.\d+,"probabilities":\{"billing"/m)
  assert.match(said, /^\{"predictions":\[\{"prediction":"delivery".*\{"prediction":"cancel"/m)
  assert.match(said, /^prediction,confidence,probabilities\.billing/m)
  assert.match(said, /^technical,0\.\d+,/m)
  assert.match(said, /^praise,0\.\d+,/m)
})
