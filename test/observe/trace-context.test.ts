import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decisionOf, readTraceparent } from '../../src/serving/observe/tracing/trace-context.ts'
import { TraceIds } from '../../src/serving/observe/tracing/trace-ids.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'

describe('a traceparent', () => {
  it('decides by its sampled flag, whatever else the flags say', () => {
    for (const [flags, decision] of [
      ['01', 'sampled'],
      ['00', 'not sampled'],
      ['03', 'sampled'],
      ['fe', 'not sampled'],
      ['ff', 'sampled'],
    ])
      assert.equal(decisionOf(`00-${TRACE}-${PARENT}-${flags}`), decision)
  })

  it('of a later version is read as far as version 00 goes', () => {
    assert.equal(decisionOf(`01-${TRACE}-${PARENT}-01`), 'sampled')
    assert.equal(decisionOf(`cc-${TRACE}-${PARENT}-01-what-the-future-will-be-like`), 'sampled')
    assert.equal(decisionOf(`cc-${TRACE}-${PARENT}-01.what`), 'none')
    assert.equal(decisionOf(`00-${TRACE}-${PARENT}-01-more`), 'none')
    assert.equal(decisionOf(`ff-${TRACE}-${PARENT}-01`), 'none')
  })

  it('that is broken anywhere decides nothing', () => {
    const good = `00-${TRACE}-${PARENT}-01`
    assert.equal(decisionOf(`00-${'0'.repeat(32)}-${PARENT}-01`), 'none')
    assert.equal(decisionOf(`00-${TRACE}-${'0'.repeat(16)}-01`), 'none')
    assert.equal(decisionOf(''), 'none')
    for (let length = 0; length < good.length; length++) assert.equal(decisionOf(good.slice(0, length)), 'none')
    // Upper case and anything else at any place; dashes where digits belong.
    for (let at = 0; at < good.length; at++)
      for (const wrong of ['A', 'g', '-', ' ', '\u{130}'])
        if (good[at] !== wrong) assert.equal(decisionOf(`${good.slice(0, at)}${wrong}${good.slice(at + 1)}`), 'none', `${wrong} at ${at}`)
  })

  it('that is valid is read as it is', () => {
    const hex = (length: number): fc.Arbitrary<string> =>
      fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((text) => /[^0]/.test(text))
    fc.assert(
      fc.property(hex(32), hex(16), fc.nat(255), (traceId, parentId, flags) => {
        const text = `00-${traceId}-${parentId}-${flags.toString(16).padStart(2, '0')}`
        assert.notEqual(decisionOf(text), 'none')
        const read = readTraceparent(text)
        assert.deepEqual([read.traceId.toString('hex'), read.parentSpanId.toString('hex'), read.flags], [traceId, parentId, flags])
      }),
    )
  })
})

describe('ids of traces', () => {
  it('are all different, whether the ratio keeps few or all', () => {
    for (const ratio of [0.01, 1]) {
      const ids = new TraceIds(ratio)
      const seen = new Set<string>()
      let kept = 0
      for (let index = 0; index < 20_000; index++) {
        if (!ids.draw()) continue
        kept++
        seen.add(ids.traceId().toString('hex')).add(ids.spanId().toString('hex'))
      }
      assert.equal(seen.size, kept * 2)
      assert.ok(ratio === 1 ? kept === 20_000 : kept > 0)
    }
  })
})
