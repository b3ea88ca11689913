import assert from 'node:assert/strict'
import { it } from 'node:test'
import { characterCount, firstCharacters } from '../../src/core/text.ts'

it('characters are counted and cut whole', () => {
  for (const text of ['', 'abc', 'ä\u0301', '💡', 'a💡b💡', '💡'.repeat(100), '\ud83d', '\udca1a', 'a\ud83d\ud83d\udca1']) {
    assert.equal(characterCount(text), Array.from(text).length, JSON.stringify(text))
    for (let max = 0; max <= text.length + 1; max++) assert.equal(firstCharacters(text, max), Array.from(text).slice(0, max).join(''))
  }
})
