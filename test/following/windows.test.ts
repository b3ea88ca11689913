import assert from 'node:assert/strict'
import { it } from 'node:test'
import { outage } from './outage.ts'

/** More than one window. The bench of the control plane does the same for a minute. */
const OUTAGE_MS = 12_000

it(
  'a control plane that is killed under load costs no prediction, and the windows of that time arrive once',
  { timeout: 120_000 },
  async () => {
    const { answered, failed, counted, countedLater } = await outage(OUTAGE_MS)
    assert.ok(answered > 1000, `under load: ${answered}`)
    assert.equal(failed, 0)
    assert.equal(counted, answered, 'all are counted')
    assert.equal(countedLater, answered, 'and each once')
  },
)
