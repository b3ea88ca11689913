/** Manifests of others have any shape: whatever stands where, rules say something or nothing, and end. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import fc from 'fast-check'
import { lint } from '../../../src/kubernetes/lint/lint.ts'
import { readManifests } from '../../../src/kubernetes/lint/read-manifests.ts'
import { ROOT } from '../../fixtures.ts'
import type { KubernetesObject } from '../../../src/kubernetes/object.ts'

const FOLDER = join(ROOT, 'test/kubernetes/lint/rules')
const ALL = readdirSync(FOLDER).map((name) => readManifests(readFileSync(join(FOLDER, name), 'utf8')).objects.map(({ object }) => object))

/** A copy in which one value, or one in a list or map, is another. */
function changed(value: unknown, steps: readonly number[], by: unknown): unknown {
  const [step = 0, ...rest] = steps
  if (value === null || typeof value !== 'object' || steps.length === 0) return by
  const keys = Object.keys(value)
  if (keys.length === 0) return by
  const key = keys[step % keys.length]!
  const next = changed((value as Record<string, unknown>)[key], rest, by)
  return Array.isArray(value) ? value.with(Number(key), next) : { ...value, [key]: next }
}

it('no value in any place makes a rule fail', () => {
  const strange = fc.oneof(
    fc.constantFrom<unknown>(null, undefined, '', 0, -1, 1e300, true, [], {}, [null], [[]], { '': null }, '9'.repeat(400), '%', '0%'),
    fc.jsonValue({ maxDepth: 2 }),
  )
  fc.assert(
    fc.property(fc.nat(ALL.length - 1), fc.array(fc.nat(20), { minLength: 1, maxLength: 9 }), strange, (which, steps, by) => {
      const objects = ALL[which]!.map((object, index) => {
        const { spec, data, ...rest } = object
        return { ...rest, spec: index === 0 ? changed(spec, steps, by) : spec, data: changed(data, steps, by) } as KubernetesObject
      })
      const { findings } = lint(objects)
      for (const { message } of findings) assert.equal(typeof message, 'string')
    }),
    { numRuns: 3000 },
  )
})
