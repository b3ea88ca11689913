import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { it } from 'node:test'
import { parseOnnx } from '../../src/onnx/model.ts'
import { openEnded } from '../../src/onnx/open-ended.ts'
import { ROOT } from '../fixtures.ts'
import { EXTREMES } from './extreme-values.ts'
import { LONG } from './long.ts'

/** Each starts a process, which takes a third of a second: the long form has all of them. */
const TRIED = [...EXTREMES].filter(([what], index) => LONG || what.startsWith('Div') || index % 20 === 0)

it(
  'no value ends the runtime but those that are known to, for which a model is served in a process of its own',
  { timeout: 600_000 },
  () => {
    let loaded = 0
    for (const [what, { model }] of TRIED) {
      const { status, signal, stdout } = spawnSync(process.execPath, [join(ROOT, 'test/attacks/extreme-values-run.ts'), what], {
        encoding: 'utf8',
        timeout: 30_000,
      })
      if (stdout.includes('loaded')) loaded++
      if (signal === null && status! < 128) continue
      const { trap, end, size } = openEnded(parseOnnx(model, what))
      assert.notEqual(trap ?? end ?? size, undefined, `${what} ends its process by ${signal ?? status}, and would run in a thread`)
    }
    // What the runtime does not even load shows nothing.
    assert.ok(loaded > TRIED.length * 0.9, `${loaded} of ${TRIED.length} were loaded`)
    const traps = [...EXTREMES].filter(([, { model }]) => openEnded(parseOnnx(model, 'made')).trap !== undefined).map(([what]) => what)
    assert.deepEqual([...new Set(traps.map((what) => what.slice(0, 3)))], ['Div', 'Mod'])
  },
)
