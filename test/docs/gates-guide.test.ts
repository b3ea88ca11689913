import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeGuide } from './guide-in-shell.ts'

it('the guide to gates works from its first command to its last', { timeout: 200_000 }, async () => {
  const said = await planeGuide('gates.md', { blocks: 4, limitS: 150 })
  assert.match(said, /^not enough data +accuracy against the champion, on data \(mcnemar\) +worse by 0\.003 \(-0\.01232 to 0\.006529\)/m)
  assert.match(said, /^churn\/2 against churn\/1, gate data: not enough data\nexit code 3$/m)
  assert.match(said, /^pass +rocAuc on holdout +rocAuc is 0\.8534, that of the champion 0\.8534$/m)
  assert.match(said, /^churn\/2 against churn\/1, gate release: pass$/m)
  assert.match(said, /^ +gates +data insufficient \(local\), release pass \(local\)$/m)
  assert.match(
    said,
    /^waits for a person +approval +waits for somebody with the scope protect \(operator, admin\): slipway model approve churn\/2$/m,
  )
  assert.match(said, /alias "champion" of model "churn" is gated: churn\/2 is not approved/)
  assert.match(said, /^refused with 3$/m)
  assert.match(said, /^data\nrelease$/m)
  assert.match(said, /^pass +approval +approved by local$/m)
  assert.match(said, /^churn@champion +churn\/2$/m)
})
