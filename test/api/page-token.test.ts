import assert from 'node:assert/strict'
import { it } from 'node:test'
import { byCreation, pageOfAll } from '../../src/api/v1/page-token.ts'

it('pages of a list have each item once, in whatever order those of one moment were read', () => {
  const items = ['c', 'a', 'd', 'b'].map((id) => ({ id, createdAt: 5 }))
  const seen: string[] = []
  for (let pageToken: string | undefined; ;) {
    const page = pageOfAll('things', items, { limit: 1, placeOf: byCreation, ...(pageToken !== undefined && { pageToken }) })
    assert.equal(page.total, 4)
    seen.push(...page.items.map(({ id }) => id))
    pageToken = page.nextPageToken
    if (pageToken === undefined) break
  }
  assert.deepEqual(seen, ['a', 'b', 'c', 'd'])
})
