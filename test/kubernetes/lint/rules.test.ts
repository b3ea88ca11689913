/** Each rule has a file: what breaks it, with `# <` on each line that it is found at, and what keeps it. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { lint, LINT_RULES } from '../../../src/kubernetes/lint/lint.ts'
import { readManifests } from '../../../src/kubernetes/lint/read-manifests.ts'
import { SEVERITIES } from '../../../src/kubernetes/lint/rule.ts'
import { ROOT } from '../../fixtures.ts'

const FOLDER = join(ROOT, 'test/kubernetes/lint/rules')

/** Lines at which a rule is broken, once for each finding. */
function linesOf(text: string, rule: string): number[] {
  const { objects, unreadable } = readManifests(text)
  assert.deepEqual(unreadable, [])
  assert.ok(objects.length > 0)
  const { findings } = lint(objects.map(({ object }) => object))
  return findings
    .filter((finding) => finding.rule === rule)
    .map(({ object, path }) => objects.find((one) => one.object === object)!.place(path).line)
    .toSorted((a, b) => a - b)
}

describe('lint of manifests', () => {
  it('has a file for each rule, and no other', () => {
    const files = readdirSync(FOLDER).map((name) => name.replace('.yaml', ''))
    assert.deepEqual(files.toSorted(), LINT_RULES.map(({ id }) => id).toSorted())
  })

  it('says of each rule what it asks for, what happens without, and where to read more', () => {
    assert.equal(new Set(LINT_RULES.map(({ id }) => id)).size, LINT_RULES.length)
    for (const { id, severity, what, why, readMore } of LINT_RULES) {
      assert.match(id, /^[a-z]+(-[a-z]+)*$/)
      assert.ok(SEVERITIES.includes(severity), id)
      assert.match(what, /^[A-Z].*\.$|`\.$/, id)
      assert.ok(why.length > 40 && why.endsWith('.'), id)
      assert.equal(new URL(readMore).protocol, 'https:', id)
    }
  })

  for (const { id } of LINT_RULES)
    it(`${id} is found where it is broken, and nowhere where it is kept`, () => {
      const [broken = '', kept = ''] = readFileSync(join(FOLDER, `${id}.yaml`), 'utf8').split('---\n# kept\n')
      const marked = broken.split('\n').flatMap((line, index) => (line.endsWith('# <') ? [index + 1] : []))
      assert.ok(marked.length > 0, 'no line is marked')
      assert.deepEqual([...new Set(linesOf(broken, id))], marked)
      assert.deepEqual(linesOf(kept, id), [])
    })
})
