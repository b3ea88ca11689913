import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { freePort, ROOT } from '../fixtures.ts'
import { guideInShell } from './guide-in-shell.ts'

it('the guide to several versions works from its first command to its last', { timeout: 200_000 }, async () => {
  const [port, serverPort] = [await freePort(), await freePort()]
  const page = (await readFile(join(ROOT, 'docs/guides/traffic.md'), 'utf8'))
    .replaceAll('127.0.0.1:8480', `127.0.0.1:${port}`)
    .replaceAll('127.0.0.1:8470', `127.0.0.1:${serverPort}`)
    .replaceAll('slipway up --data plane', `slipway up --data plane --port ${port}`)
    .replaceAll('--server-name one', `--server-name one --port ${serverPort}`)
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text)
  assert.equal(blocks.length, 6)
  const { code, said } = await guideInShell(blocks.join('\n'), {
    ends: '${SERVE:-} ${UP:-}',
    limitS: 150,
    environment: { SLIPWAY_URL: `http://127.0.0.1:${port}` },
  })
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  assert.match(said, /^main +95 % +█{19}░ +churn\/1$/m)
  assert.match(said, /^slipway-variant: next\r?$/m)
  assert.match(said, /^next gets copies of 20 % of the requests, as a shadow$/m)
  assert.match(said, /^churn: next \(churn\/2\) beside main \(churn\/1\), since /m)
  assert.match(said, /60 labels are kept$/m)
})
