import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { rolldown } from 'rolldown'
import { ERROR_WORDS } from '../../src/core/error-words.ts'
import { ROOT } from '../fixtures.ts'

/** Typebox and yaml are half of it. */
const BYTES_MAX = 320 * 1024
/** All of a page that the contract needs. */
const OF_A_PAGE = { TextEncoder, TextDecoder, structuredClone }

it('the contract is bundled for a browser, within a limit, and works where there is nothing of Node', async (t) => {
  const folder = join(ROOT, 'src/contract')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const entry = files.map((name, index) => `export * as m${index} from ${JSON.stringify(join(folder, name))}`).join('\n')
  await using bundle = await rolldown({
    input: 'contract',
    platform: 'browser',
    external: [],
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === 'contract' ? id : undefined),
        load: (id) => (id === 'contract' ? entry : undefined),
      },
    ],
  })
  const { output } = await bundle.generate({ format: 'iife', name: 'contract', minify: true })
  assert.equal(output.length, 1)
  const [{ code, imports }] = output
  assert.deepEqual(imports, [])
  assert.ok(!/["'`]node:|\brequire\(/.test(code), 'nothing of Node is asked for')
  t.diagnostic(`${code.length} bytes`)
  assert.ok(Buffer.byteLength(code) <= BYTES_MAX, `${Buffer.byteLength(code)} bytes`)
  const page = createContext({ ...OF_A_PAGE })
  runInContext(code, page)
  const modules = runInContext('contract', page) as Record<string, Record<string, (...given: unknown[]) => unknown>>
  const of = (name: string): Record<string, (...given: unknown[]) => unknown> => modules[`m${files.indexOf(name)}`]!
  assert.equal(of('routing.ts')['unitPoint']!('', ''), 0.3175988623406738)
  const issues = of('schema.ts')['check']!(of('routing.ts')['Routing'], { weights: { a: -1 }, salt: '', segment: 1 }) as object
  assert.ok('issues' in issues)
  assert.ok(!code.includes(ERROR_WORDS.SLW_BAD_REQUEST.cure), 'codes come without their prose')
})
