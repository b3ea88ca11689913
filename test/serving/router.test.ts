/** Which variant a request is for, and whether that is evidence: trap by trap. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UNREAD } from '../../src/contract/audience.ts'
import { shareOut } from '../../src/contract/ranges.ts'
import { Router } from '../../src/serving/router/router.ts'
import type { Facts } from '../../src/contract/audience.ts'
import type { Routing } from '../../src/contract/routing.ts'

const variant = (name: string, version = '1') => ({ spec: { name, version } })
const all = [variant('main', '1'), variant('next', '2'), variant('vip', '3')]

function routing(more: Partial<Routing> = {}): Routing {
  const weights = { main: 90, next: 10, vip: 0 }
  return { weights, ranges: shareOut(weights), salt: 's', segment: 4, ...more }
}

interface Said {
  readonly headers?: Record<string, string>
  readonly cookies?: Record<string, string>
  readonly query?: Record<string, string>
  /** Undefined: the body has not been read. */
  readonly fields?: Record<string, string>
}

function facts({ headers = {}, cookies = {}, query = {}, fields }: Said): Facts {
  return {
    header: (name) => headers[name],
    cookie: (name) => cookies[name],
    query: (name) => query[name],
    field: (path) => (fields === undefined ? UNREAD : fields[path]),
  }
}

describe('assignment', () => {
  const rules = [
    {
      variant: 'vip',
      all: [
        { header: 'X-Country', is: ['DE', 'AT'] },
        { cookie: 'beta', is: '1' },
      ],
    },
    { variant: 'next', all: [{ query: 'preview', is: '*' }] },
    { variant: 'vip', all: [{ field: 'customer.tier', is: 'gold' }] },
  ]
  const router = new Router('e', all, routing({ rules }), { random: () => 0.5 })
  const assigned = (said: Said) => {
    const decision = router.decide({ facts: facts({ fields: {}, ...said }) })!.decision
    return [decision.assigned, decision.assignment]
  }

  it('goes by the first rule all of whose conditions hold', () => {
    assert.deepEqual(assigned({ headers: { 'x-country': 'DE' }, cookies: { beta: '1' } }), ['vip', 'matched'])
    assert.deepEqual(assigned({ headers: { 'x-country': 'DE' } }), ['main', 'randomised'])
    assert.deepEqual(assigned({ headers: { 'x-country': 'FR' }, cookies: { beta: '1' } }), ['main', 'randomised'])
    assert.deepEqual(assigned({ query: { preview: 'anything' } }), ['next', 'matched'])
    assert.deepEqual(assigned({ query: { preview: '' } }), ['main', 'randomised'])
    assert.deepEqual(assigned({ fields: { 'customer.tier': 'gold' } }), ['vip', 'matched'])
  })

  it('waits for the body where only that can decide, and not where a rule before it has', () => {
    assert.equal(router.decide({ facts: facts({}) }), undefined)
    assert.equal(router.decide({ facts: facts({ query: { preview: '1' } }) })!.decision.assigned, 'next')
    assert.equal(router.provisional.variant, all[0])
  })

  it('asks no body where somebody chose a variant or a version', () => {
    const forced = router.decide({ forced: 'vip', facts: facts({}) })!.decision
    assert.deepEqual([forced.assigned, forced.assignment], ['vip', 'forced'])
    const version = router.decide({ version: '2', facts: facts({}) })!.decision
    assert.deepEqual([version.assigned, version.assignment], ['next', 'version'])
    assert.throws(() => router.decide({ forced: 'nxt' }), {
      code: 'SLW_MODEL_NOT_FOUND',
      message: /no variant "nxt"; there are main, next, vip/,
    })
  })

  it('is no evidence while the variant of an audience is not there, nor while a share is missing', () => {
    const without = new Router('e', all.slice(0, 2), routing({ rules }), { random: () => 0.5 })
    const gold = without.decide({ facts: facts({ fields: { 'customer.tier': 'gold' } }) })!.decision
    assert.deepEqual([gold.assigned, gold.assignment], ['main', 'incomplete'])
    assert.equal(without.decide({ facts: facts({ fields: {} }) })!.decision.assignment, 'randomised')
    const out = new Router('e', all, routing(), { random: () => 0.95, out: new Set(['next']) })
    const { decision } = out.decide({})!
    assert.deepEqual([decision.assigned, decision.assignment], ['main', 'only'].with(1, 'incomplete'))
  })
})

describe('the unit of a request', () => {
  const units = [{ header: 'X-User' }, { field: 'id' }, { cookie: 'sid' }]
  const router = new Router('e', all, routing({ units }), { random: () => 0.5 })
  const unitOf = (said: Said, unit?: string) => router.decide({ unit, facts: facts({ fields: {}, ...said }) })!.decision.unit

  it('is read from the first place that has one; the header of Slipway comes first', () => {
    assert.equal(unitOf({ headers: { 'x-user': 'a' }, fields: { id: 'b' }, cookies: { sid: 'c' } }), 'a')
    assert.equal(unitOf({ fields: { id: 'b' }, cookies: { sid: 'c' } }), 'b')
    assert.equal(unitOf({ cookies: { sid: 'c' } }), 'c')
    assert.equal(unitOf({ headers: { 'x-user': 'a' } }, 'explicit'), 'explicit')
    assert.equal(unitOf({}), undefined)
    assert.equal(router.decide({ facts: facts({ cookies: { sid: 'c' } }) }), undefined, 'the field comes before the cookie')
  })

  it('is the same wherever it is read, and keeps its variant', () => {
    const of = (said: Said) => router.decide({ facts: facts({ fields: {}, ...said }) })!.decision.assigned
    for (let index = 0; index < 2000; index++)
      assert.equal(of({ headers: { 'x-user': `u${index}` } }), of({ cookies: { sid: `u${index}` } }))
  })

  it('is the id that a client gives its request, so that a retry keeps its variant; ids are salted', () => {
    const other = new Router('e', all, routing({ salt: 't' }))
    const ids = Array.from({ length: 2000 }, (_, index) => `retry-${index}`)
    const choices = ids.map((givenId) => router.decide({ givenId, facts: facts({ fields: {} }) })!.decision)
    assert.deepEqual(
      choices.map(({ assigned }) => assigned),
      ids.map((givenId) => router.decide({ givenId, facts: facts({ fields: {} }) })!.decision.assigned),
    )
    assert.equal(choices[0]!.unit, 'request retry-0')
    const elsewhere = ids.map((givenId) => other.decide({ givenId })!.decision.assigned)
    assert.ok(elsewhere.filter((one, index) => one !== choices[index]!.assigned).length > 200, 'another salt, other arms')
  })
})
