import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { Breaker } from '../../src/serving/breaker.ts'
import type { Outcome } from '../../src/serving/observe/outcome.ts'

function breaking(): { breaker: Breaker; tripped: string[]; note: (variant: string, outcome: Outcome, times?: number) => void } {
  const tripped: string[] = []
  const breaker = new Breaker({ clock: systemClock, base: () => 'main', trip: (variant, reason) => tripped.push(`${variant}: ${reason}`) })
  return {
    breaker,
    tripped,
    note: (variant, outcome, times = 1) => {
      for (let time = 0; time < times; time++) breaker.note(variant, { outcome })
    },
  }
}

describe('a breaker', () => {
  it('takes out a variant that has failed ten times in a row, and tells so once', () => {
    const { tripped, note } = breaking()
    note('main', 'answered', 5)
    note('next', 'failed', 9)
    assert.deepEqual(tripped, [])
    note('next', 'late')
    assert.deepEqual(tripped, ['next: 10 requests failed, one after the other'])
  })

  it('leaves a variant that answers now and then', () => {
    const { tripped, note } = breaking()
    for (let round = 0; round < 20; round++) {
      note('next', 'failed', 9)
      note('next', 'answered')
    }
    assert.deepEqual(tripped, [])
  })

  it('leaves it where the base fails alike: it is not the version', () => {
    const { tripped, note } = breaking()
    note('main', 'failed', 12)
    note('next', 'failed', 30)
    assert.deepEqual(tripped, [])
    // Once the base answers again, the variant has no excuse.
    note('main', 'answered', 20)
    note('next', 'failed')
    assert.equal(tripped.length, 1)
  })

  it('never takes the base out', () => {
    const { tripped, note } = breaking()
    note('main', 'failed', 100)
    assert.deepEqual(tripped, [])
  })

  it('does not count those who went away', () => {
    const { tripped, note } = breaking()
    note('next', 'failed', 9)
    note('next', 'cancelled', 50)
    assert.deepEqual(tripped, [])
  })

  it('takes out a variant whose numbers are none, and not for a few of them', () => {
    const { breaker, tripped } = breaking()
    for (let time = 0; time < 60; time++) breaker.note('next', { outcome: 'answered', notNumber: time % 2 === 0 })
    assert.deepEqual(tripped, [])
    for (let time = 0; time < 20; time++) breaker.note('next', { outcome: 'answered', notNumber: true })
    assert.deepEqual(tripped, ['next: nearly all of its answers are NaN'])
    const alike = breaking()
    for (let time = 0; time < 40; time++)
      for (const variant of ['main', 'next']) alike.breaker.note(variant, { outcome: 'answered', notNumber: true })
    assert.deepEqual(alike.tripped, [], 'the base does so too')
  })

  it('takes out a variant whose instances end again and again, unless those of the base do', () => {
    const { breaker, tripped } = breaking()
    for (const _ of [1, 2]) breaker.ended('next')
    assert.deepEqual(tripped, [])
    breaker.ended('next')
    assert.deepEqual(tripped, ['next: its instances ended 3 times within a minute'])
    const alike = breaking()
    for (const _ of [1, 2, 3]) for (const variant of ['main', 'next']) alike.breaker.ended(variant)
    assert.deepEqual(alike.tripped, [])
  })
})
