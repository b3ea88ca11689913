import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { ROOT } from '../fixtures.ts'

it('every test that the guide to faults names is there', async () => {
  const text = await readFile(join(ROOT, 'docs/guides/faults.md'), 'utf8')
  const named = [...text.matchAll(/`(test\/[\w/.-]+)`/g)].map(([, path]) => path!)
  assert.ok(named.length > 15)
  assert.deepEqual(
    named.filter((path) => !existsSync(join(ROOT, path))),
    [],
  )
})
