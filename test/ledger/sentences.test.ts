import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { sentenceOf } from '../../src/ledger/sentences.ts'
import type { RegistryEvent } from '../../src/ledger/history.ts'

type Given = readonly [what: string, facts?: { before?: object; after?: object; reason?: string }]

function said([what, facts = {}]: Given): string {
  const [kindAndAction = '', name = ''] = what.split(' ')
  const [kind = '', action = ''] = kindAndAction.split('.')
  const event = {
    sequence: 1,
    at: 0,
    environment: 'default',
    actor: 'anna',
    kind,
    action,
    name,
    reason: undefined,
    before: undefined,
    after: undefined,
  }
  return sentenceOf({ ...event, ...facts } as RegistryEvent)
}

const ROLLOUT = { rollout: 3, endpoint: 'churn', from: 'churn/6', to: 'churn/7', step: 1 }
const rollout = (state: string, more: object = {}, before: object = {}): Given => [
  'rollout.updated churn/3',
  { before, after: { ...ROLLOUT, state, ...more } },
]

const SENTENCES: readonly (readonly [given: Given, sentence: string])[] = [
  [['model.created churn'], 'the model churn was registered by anna'],
  [['model.renamed b', { before: { name: 'a' }, after: { name: 'b' } }], 'the model a was renamed to b by anna'],
  [['model.set churn', { after: { tag: { key: 'team', value: 'crm' } } }], 'the model churn got the tag team=crm by anna'],
  [['model.deleted churn', { before: { tag: { key: 'team' } } }], 'the model churn lost the tag team by anna'],
  [['model.deleted churn', { before: { aliases: [] }, reason: 'nobody asks it' }], 'the model churn was deleted by anna: nobody asks it'],
  [['version.created churn/7', { after: { servable: true } }], 'churn: version 7 was registered by anna'],
  [['version.created churn/7', { after: { servable: false } }], 'churn: version 7 was registered by anna, which cannot be served'],
  [['version.created churn/7', { after: { promotedFrom: {} } }], 'churn: version 7 was registered from another environment by anna'],
  [['version.updated churn/7', { after: { approval: 'approved', reason: null } }], 'churn: version 7 was approved by anna'],
  [['version.updated churn/7', { after: { stage: 'Production' } }], 'churn: version 7 was moved to the stage Production by anna'],
  [
    ['version.updated churn/7', { after: { servable: false, reason: 'it has no inputs' } }],
    'churn: version 7 cannot be served: it has no inputs',
  ],
  [['version.set churn/7', { after: { signedBy: 'ci' } }], 'churn: version 7 was signed by ci'],
  [['version.restored churn/7'], 'churn: version 7 was taken out of the trash by anna'],
  [['alias.created churn@live', { after: { version: 7 } }], 'churn: live was pointed to version 7 by anna'],
  [
    ['alias.updated churn@live', { before: { version: 6 }, after: { version: 7 } }],
    'churn: live was pointed to version 7 instead of version 6 by anna',
  ],
  [['alias.deleted churn@live', { before: { version: 7 } }], 'churn: live was taken off version 7 by anna'],
  [
    [
      'endpoint.updated churn',
      { before: { revision: 4, variants: { main: 'churn/6' } }, after: { revision: 5, cause: 'alias', variants: { main: 'churn/7' } } },
    ],
    'churn: revision 5 serves main churn/7 instead of main churn/6, as its alias has moved',
  ],
  [
    ['endpoint.updated churn', { after: { revision: 6, cause: 'rollback', rolledBackTo: 4, variants: { main: 'churn/6' } } }],
    'churn: revision 6 serves main churn/6 as in revision 4, as it was rolled back',
  ],
  [
    ['endpoint.updated churn', { after: { routing: { main: 90, canary: 10 }, shadows: { canary: 50 } } }],
    'churn: requests are shared out as main 90 %, canary 10 %, copies as canary 50 % by anna',
  ],
  [['endpoint.updated churn', { after: { labels: {} } }], 'endpoint churn was updated by anna'],
  [['endpoint.deleted churn'], 'the endpoint churn was deleted by anna'],
  [['server.joined one', { after: { bootId: 'x' } }], 'the server one has joined'],
  [['key.rotated ci'], 'the key "ci" was exchanged for a new one by anna'],
  [['role.created user/bob', { after: { role: 'operator' } }], 'user/bob was given the role operator by anna'],
  [['records.deleted ab12'], 'records of predictions of one subject were deleted by anna'],
  [['webhook.tested slack'], 'this is a test of the webhook "slack", and it has arrived'],
  [['logged_model.created m-1'], 'logged model m-1 was created by anna'],
  [['quota.rolled_over x'], 'quota x was rolled over by anna'],
  [
    ['rollout.created churn/3', { after: { ...ROLLOUT, state: 'waiting', step: -1, weight: 0 } }],
    'churn: a rollout of version 7 instead of version 6 has been begun, and waits',
  ],
  [rollout('loading', { weight: 0 }), 'churn: version 7 is being loaded beside version 6'],
  [
    rollout('progressing', { weight: 25, reason: 'step 1 of 3 is done' }),
    'churn: version 7 gets 25 % of the requests, because step 1 of 3 is done',
  ],
  [
    rollout('paused', { weight: 25, reason: 'a person has to promote it from here' }),
    'churn: the rollout of version 7 is paused at 25 %, because a person has to promote it from here',
  ],
  [rollout('baking', { weight: 100 }), 'churn: version 7 gets 100 % of the requests, and is watched before it is put in force'],
  [rollout('watching', { weight: 100 }), 'churn: version 7 is in force instead of version 6, and is still watched'],
  [rollout('promoted', { weight: 100 }), 'churn: version 7 is in force instead of version 6'],
  [
    rollout('rolled back', { weight: 0, reason: 'errors are 3.1 times as frequent' }, { state: 'progressing', step: 1, weight: 25 }),
    'churn: version 7 was rolled back from 25 %, and version 6 has all requests again, because errors are 3.1 times as frequent',
  ],
  [
    rollout('rolled_back', {}, { state: 'progressing', step: 1 }),
    'churn: version 7 was rolled back from step 2, and version 6 has all requests again',
  ],
  [rollout('aborted', { from: 'old/2' }), 'churn: version 7 was aborted, and version 2 of old has all requests again'],
  [
    rollout('superseded', { weight: 0, reason: 'churn/8 takes its place' }),
    'churn: the rollout of version 7 has ended for another one, because churn/8 takes its place',
  ],
  [rollout('sleeping'), 'churn: the rollout of version 7 is sleeping now'],
  [['rollout.updated churn/3'], 'rollout churn/3 was updated by anna'],
]

it('an event is a sentence that people understand', () => {
  for (const [given, sentence] of SENTENCES) assert.equal(said(given), sentence)
})

it('whatever an event holds, there is a sentence', () => {
  const odd: (object | undefined)[] = [
    undefined,
    {},
    { tag: null, version: { a: 1 }, variants: 7, routing: [], state: 3, to: {}, weight: 'x' },
  ]
  for (const kind of [...ROOMS.events, 'rollout', 'unknown'])
    for (const action of ['created', 'updated', 'deleted', 'set', 'restored', 'renamed', 'tested', 'joined'])
      for (const facts of odd) {
        const sentence = said([`${kind}.${action} a`, facts === undefined ? {} : { before: facts, after: facts }])
        assert.ok(sentence.length > 3 && !/undefined|\[object/.test(sentence), `${kind}.${action}: ${sentence}`)
      }
})
