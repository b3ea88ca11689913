import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { reached } from '../../scripts/changed-tests.ts'

const TREE: Readonly<Record<string, string>> = {
  'package.json': '{}',
  'docs/guide.md': '# Guide',
  'bin/slipway': '',
  'src/a/one.ts': '',
  'src/a/two.ts': "import { one } from './one.ts'",
  'src/a/entry.ts': "await import('./two.ts')",
  'src/b/apart.ts': "new Worker(entryUrl('a/entry'))",
  'test/started.ts': "spawn(join(ROOT, 'bin/slipway'))",
  'test/a/one.test.ts': "import { one } from '../../src/a/one.ts'",
  'test/a/recorded.json': '[]',
  'test/b/apart.test.ts': "import type { Apart } from '../../src/b/apart.ts'",
  'test/b/started.test.ts': "import { start } from '../started.ts'",
  'test/docs/guide.test.ts': '',
}

const of = (...changed: string[]): string[] => reached(Object.keys(TREE), changed, (file) => TREE[file])

describe('the tests that a change can reach', () => {
  it('are those that import it, through whatever, and those that start a program that does', () => {
    assert.deepEqual(of('src/a/one.ts'), ['test/a/one.test.ts', 'test/b/apart.test.ts', 'test/b/started.test.ts'])
    assert.deepEqual(of('src/b/apart.ts'), ['test/b/apart.test.ts', 'test/b/started.test.ts'])
    assert.deepEqual(of('bin/slipway'), ['test/b/started.test.ts'])
    assert.deepEqual(of('test/started.ts'), ['test/b/started.test.ts'])
  })

  it('are those that read it, and those beside it', () => {
    assert.deepEqual(of('docs/guide.md'), ['test/docs/guide.test.ts'])
    assert.deepEqual(of('test/a/recorded.json'), ['test/a/one.test.ts'])
  })

  it('are all where they all stand on it, and a test that was changed itself', () => {
    assert.equal(of('package.json').length, 4)
    assert.deepEqual(of('test/a/one.test.ts'), ['test/a/one.test.ts'])
    assert.deepEqual(of(), [])
  })
})
