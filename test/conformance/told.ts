/** Facts that a script in another language has checked, as it tells them: a line of JSON each. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'

interface Checked {
  readonly fact: string
  /** What people may want to see beside it. */
  readonly note?: string | null
  readonly error: string | null
}

/** One test for each line of the script; `count` guards against a script that ended early. */
export async function told(t: TestContext, lines: string, count: number): Promise<void> {
  const checks = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Checked)
  for (const { fact, note, error } of checks) {
    await t.test(fact, (inner) => {
      if (note !== undefined && note !== null) inner.diagnostic(note)
      assert.equal(error, null)
    })
  }
  assert.equal(checks.length, count)
}
