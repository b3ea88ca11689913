import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { pythonEnv } from '../../scripts/python-env.ts'
import { freePort, ROOT } from '../fixtures.ts'
import { guideInShell } from './guide-in-shell.ts'

it('the guide to the registry works from its first command to its last, its Python too', async () => {
  const [port, serverPort] = [await freePort(), await freePort()]
  const python = await pythonEnv('mlflow-3')
  const page = (await readFile(join(ROOT, 'docs/guides/registry.md'), 'utf8'))
    .replaceAll('127.0.0.1:8480', `127.0.0.1:${port}`)
    .replaceAll('127.0.0.1:8470', `127.0.0.1:${serverPort}`)
    .replace('/opt/sklearn/bin/python', python)
    .replace('slipway up --data registry', `slipway up --data registry --port ${port} --server-port ${serverPort}`)
  const blocks = [...page.matchAll(/^```(sh|python)\n([\s\S]*?)^```/gm)].map(([, language, text = '']) =>
    language === 'sh' ? text : `${python} - <<'PYTHON'\n${text}PYTHON\n`,
  )
  assert.equal(blocks.length, 10)
  const { code, said } = await guideInShell(blocks.join('\n'), {
    ends: '${UP:-}',
    limitS: 240,
    environment: { SLIPWAY_URL: `http://127.0.0.1:${port}` },
  })
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  assert.match(said, /\[0 1 2 3 4\]/, 'the model that was loaded predicts')
  assert.match(said, /exit code 3/)
  assert.match(said, /refused with 3/)
  assert.match(said, /churn@champion pointed to churn\/2 at /)
})
