import assert from 'node:assert/strict'
import { it } from 'node:test'
import { freePort } from '../fixtures.ts'
import { planeGuide } from './guide-in-shell.ts'

it('the guide to notifications works from its first command to its last', { timeout: 200_000 }, async () => {
  const receiver = `127.0.0.1:${await freePort()}`
  const said = await planeGuide('notifications.md', {
    blocks: 3,
    limitS: 150,
    instead: { '127.0.0.1:9480': receiver, 'listen(9480': `listen(${receiver.split(':')[1]}` },
  })
  assert.match(said, /^this is a test of the webhook "channel", and it has arrived/m)
  assert.match(said, /^the model churn was registered by local/m)
  assert.match(said, /channel .* slack /)
  assert.match(said, /team .* mailto:team@example\.org +email/)
  assert.doesNotMatch(said, /T000/, 'the path is a secret')
})
