import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { judgingPlots } from '../../scripts/draw-judging.ts'
import { ROOT } from '../fixtures.ts'

it('the plots of the guide are what the code draws', async () => {
  for (const [name, svg] of judgingPlots())
    assert.equal(
      await readFile(join(ROOT, 'docs/guides/judging', name), 'utf8'),
      svg,
      `${name}: sh scripts/node scripts/draw-judging.ts draws it anew`,
    )
})
