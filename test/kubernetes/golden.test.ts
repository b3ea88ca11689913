/** What is rendered, as it lies in golden/. `SLIPWAY_GOLDEN=write sh scripts/node --test test/kubernetes/golden.test.ts` writes it anew. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { manifestOf } from '../../src/kubernetes/manifest.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { ROOT } from '../fixtures.ts'
import { KUBERNETES_ENDPOINTS } from './specs.ts'

const FOLDER = join(ROOT, 'test/kubernetes/golden')
const KEPT = [
  'three pods',
  'a part of a device',
  'scaled by requests',
  'scaled by times',
  'an ingress with a limit',
  'testers by a gateway',
  'a shadow by Istio',
  'shares by Linkerd',
  'the model in a volume',
  'servers that follow',
  'monitors and alarms',
  'secrets of Vault',
  'rules of Falco',
] as const

const fileOf = (what: string): string => `${what.toLowerCase().replaceAll(' ', '-')}.yaml`

it('the objects of endpoints are those that lie in golden/', async () => {
  const write = process.env['SLIPWAY_GOLDEN'] === 'write'
  if (write) await mkdir(FOLDER, { recursive: true })
  for (const what of KEPT) {
    const text = manifestOf(renderEndpoint(KUBERNETES_ENDPOINTS.get(what)!))
    const file = join(FOLDER, fileOf(what))
    if (write) await writeFile(file, text)
    assert.equal(text, await readFile(file, 'utf8'), `${what}: look at what has changed, and write it anew if it is meant so`)
  }
  assert.deepEqual((await readdir(FOLDER)).toSorted(), KEPT.map(fileOf).toSorted())
})
