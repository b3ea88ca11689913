import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { parseFilter } from '../../src/search/filter.ts'
import type { SearchKind } from '../../src/search/kinds.ts'
import { parseLoggedModelOrder, parseOrder } from '../../src/search/order.ts'
import type { LoggedModelOrder, OrderTerm } from '../../src/search/order.ts'

type Answer = readonly unknown[] | { readonly refused: string; readonly message: string }

interface Reference {
  readonly filters: readonly { readonly kind: SearchKind; readonly filter: string; readonly answer: Answer }[]
  readonly orders: readonly { readonly kind: SearchKind; readonly orderBy: readonly unknown[]; readonly answer: Answer }[]
}

/** What search-reference.py heard from the real MLflow. */
const reference = JSON.parse(readFileSync(join(import.meta.dirname, 'search-reference.json'), 'utf8')) as Reference

const REFUSED = 'refused'
const KINDS: readonly SearchKind[] = ['runs', 'experiments', 'models', 'versions', 'loggedModels']

/** Where we are another opinion than MLflow, why, and what we say instead. */
const DIFFERENCES: readonly {
  readonly why: string
  readonly kinds: readonly SearchKind[]
  readonly ours: Readonly<Record<string, unknown>>
}[] = [
  {
    why: 'two spaces within IS NOT NULL are one',
    kinds: ['runs', 'experiments'],
    ours: { 'tags.a IS  NOT   NULL': [tag('a', 'IS NOT NULL', null)] },
  },
  { why: 'an empty key can name nothing', kinds: ['runs', 'experiments', 'models', 'versions'], ours: { "tags. = 'x'": REFUSED } },
  {
    why: 'logged models keep quotes other than the usual as part of the text, where they can find nothing',
    kinds: ['loggedModels'],
    ours: {
      'tags.a = "x"': [tag('a', '=', 'x')],
      'tags.a = "it\'s"': [tag('a', '=', "it's")],
      'tags."a b" = \'x\'': [tag('a b', '=', 'x')],
      "tags.'a b' = 'x'": [tag('a b', '=', 'x')],
      'name = "x"': [attribute('name', '=', 'x')],
      'metrics."val acc" > 1': [{ subject: 'metric', key: 'val acc', operator: '>', value: 1 }],
    },
  },
  { why: 'a list of nothing is a slip', kinds: ['loggedModels'], ours: { 'name IN ()': REFUSED } },
  {
    why: 'times of logged models have more names, and a prefix at will',
    kinds: ['loggedModels'],
    ours: {
      'attributes.creation_timestamp > 5': [attribute('creation_timestamp', '>', 5)],
      'last_updated_time < 5': [attribute('last_updated_timestamp', '<', 5)],
      '[{"field_name":"last_updated_time"}]': [by('last_updated_timestamp')],
    },
  },
  {
    why: 'models and versions are filtered with the prefixes of experiments',
    kinds: ['models', 'versions'],
    ours: { "attributes.name = 'x'": [attribute('name', '=', 'x')] },
  },
  {
    why: 'models are ordered by their creation too, and prefixes and quotes are as in the other kinds',
    kinds: ['models'],
    ours: {
      '["attribute.name"]': [by('name')],
      '["attributes.name"]': [by('name')],
      '["creation_timestamp"]': [by('creation_timestamp')],
      '["`name`"]': [by('name')],
    },
  },
]

function tag(key: string, operator: string, value: unknown): unknown {
  return { subject: 'tag', key, operator, value }
}

function attribute(key: string, operator: string, value: unknown): unknown {
  return { subject: 'attribute', key, operator, value }
}

function by(key: string, descending = false): OrderTerm {
  return { subject: 'attribute', key, descending }
}

function expected(kind: SearchKind, text: string, answer: Answer): unknown {
  const difference = DIFFERENCES.find(({ kinds, ours }) => kinds.includes(kind) && text in ours)
  return difference?.ours[text] ?? (Array.isArray(answer) ? answer : REFUSED)
}

function outcome(ask: () => readonly unknown[]): unknown {
  try {
    return ask()
  } catch (error) {
    assert.ok(isSlipwayError(error), `not a refusal but ${String(error)}`)
    assert.equal(error.code, 'SLW_INPUT_INVALID')
    return REFUSED
  }
}

function messageOf(ask: () => unknown): string {
  let message = ''
  assert.throws(ask, (error: Error) => {
    message = error.message
    return isSlipwayError(error) && error.code === 'SLW_INPUT_INVALID'
  })
  return message
}

/** MLflow's answer is what was asked for; ours goes on with the completion. */
function orderOf(kind: SearchKind, orderBy: readonly unknown[]): readonly OrderTerm[] {
  const terms = kind === 'loggedModels' ? parseLoggedModelOrder(orderBy as LoggedModelOrder[]) : parseOrder(kind, orderBy as string[])
  return terms.slice(0, orderBy.length).map(({ subject, key, descending }) => ({ subject, key, descending }))
}

describe('filters and orders', () => {
  for (const kind of KINDS) {
    const filters = reference.filters.filter((row) => row.kind === kind)
    test(`${filters.length} filters of ${kind} mean what they mean to MLflow`, () => {
      for (const { filter, answer } of filters) {
        assert.deepEqual(
          outcome(() => parseFilter(kind, filter)),
          expected(kind, filter, answer),
          filter,
        )
      }
    })
    const orders = reference.orders.filter((row) => row.kind === kind)
    test(`${orders.length} orders of ${kind} mean what they mean to MLflow`, () => {
      for (const { orderBy, answer } of orders) {
        const text = JSON.stringify(orderBy)
        assert.deepEqual(
          outcome(() => orderOf(kind, orderBy)),
          expected(kind, text, answer),
          text,
        )
      }
    })
  }

  test('every difference from MLflow is one: the reference has it, and another answer', () => {
    for (const { kinds, ours, why } of DIFFERENCES)
      for (const kind of kinds)
        for (const [text, our] of Object.entries(ours)) {
          const row =
            reference.filters.find((each) => each.kind === kind && each.filter === text) ??
            reference.orders.find((each) => each.kind === kind && JSON.stringify(each.orderBy) === text)
          assert.ok(row !== undefined, `${kind}: ${text}`)
          assert.notDeepEqual(Array.isArray(row.answer) ? row.answer : REFUSED, our, why)
        }
  })

  test('refusals begin with the words of MLflow', () => {
    const starts: readonly (readonly [SearchKind, string, string])[] = [
      ['runs', "params.a = 'x' OR params.b = 'y'", "Invalid clause(s) in filter string: 'OR'"],
      ['runs', "(params.a = 'x')", "Invalid clause(s) in filter string: '(params.a = 'x')'"],
      ['runs', "params.a-b = 'x'", "Invalid comparison clause. Expected 'Identifier' found 'params.a-b'"],
      ['runs', 'nothing = 1', "Invalid attribute key 'nothing' specified."],
      ['experiments', 'metrics.a > 1', "Invalid entity type 'metrics'."],
      ['runs', "dataset.schema = 'x'", "Invalid dataset key 'schema' specified."],
      ['runs', "metrics.a > 'x'", "Expected numeric value type for metric 'a'. Found 'x'"],
      ['runs', 'params.a = 1', "Expected a quoted string value for param 'a' (e.g. 'my-value'). Got value 1"],
      ['runs', 'params.a = x', 'Parameter value is either not quoted or unidentified quote types used for string value x.'],
      ['runs', "status > 'x'", "Invalid comparator '>'"],
      ['experiments', "experiment_id = 'x'", "Invalid experiment ID 'x'. Experiment ID must be a valid integer."],
      ['models', 'name IN ()', 'While parsing a list in the query, expected a non-empty list of string values, but got empty list'],
      ['versions', "version_number = '1.5'", "Invalid value for numeric attribute 'version_number': '1.5'"],
      ['runs', '  ', "Invalid filter '  '. Could not be parsed."],
    ]
    for (const [kind, filter, start] of starts) {
      const message = messageOf(() => parseFilter(kind, filter))
      assert.ok(message.startsWith(start), `${filter}: ${message}`)
    }
    assert.match(
      messageOf(() => parseOrder('runs', ['start_time UP'])),
      /^Invalid ordering key in order_by clause 'start_time UP'/,
    )
    assert.match(
      messageOf(() => parseOrder('runs', ['a, b'])),
      /^Invalid order_by clause 'a, b'/,
    )
    assert.match(
      messageOf(() => parseOrder('runs', ['created', 'start_time'])),
      /^`order_by` contains duplicate fields/,
    )
  })

  test('an order is completed until no two objects are equal', () => {
    assert.deepEqual(parseOrder('runs', []), [by('start_time', true), by('run_id')])
    assert.deepEqual(parseOrder('runs', ['attributes.created', 'metrics.a DESC']), [
      by('start_time'),
      { subject: 'metric', key: 'a', descending: true },
      by('run_id'),
    ])
    assert.deepEqual(parseOrder('experiments', []), [by('creation_time', true), by('experiment_id')])
    assert.deepEqual(parseOrder('experiments', ['name']), [by('name'), by('experiment_id', true)])
    assert.deepEqual(parseOrder('models', []), [by('name')])
    assert.deepEqual(parseOrder('models', ['timestamp DESC']), [by('last_updated_timestamp', true), by('name')])
    assert.deepEqual(parseOrder('versions', []), [by('last_updated_timestamp', true), by('name'), by('version_number', true)])
    assert.deepEqual(parseOrder('versions', ['version_number']), [by('version_number'), by('name')])
    assert.deepEqual(parseLoggedModelOrder([]), [by('creation_timestamp', true), by('model_id')])
    assert.deepEqual(parseLoggedModelOrder([{ field_name: 'metrics.a', ascending: false, dataset_name: 'd', dataset_digest: '' }]), [
      { subject: 'metric', key: 'a', descending: true, datasets: [[{ name: 'd' }]] },
      by('creation_timestamp', true),
      by('model_id'),
    ])
  })

  test('filters that no database could run are refused', () => {
    assert.equal(parseFilter('runs', Array(100).fill('metrics.a > 1').join(' AND ')).length, 100)
    assert.match(
      messageOf(() => parseFilter('runs', Array(101).fill('metrics.a > 1').join(' AND '))),
      /101 comparisons/,
    )
    assert.match(
      messageOf(() => parseFilter('runs', `run_id IN (${Array(10_001).fill("'a'").join(',')})`)),
      /10001 values/,
    )
    assert.match(
      messageOf(() => parseFilter('runs', `tags.a LIKE '${'%'.repeat(16_001)}'`)),
      /16000 characters/,
    )
    assert.match(
      messageOf(() => parseFilter('runs', "tags.a = '\0'")),
      /NUL/,
    )
    assert.match(
      messageOf(() => parseOrder('runs', Array<string>(21).fill('start_time'))),
      /at most 20/,
    )
    assert.match(
      messageOf(() => parseFilter('runs', '('.repeat(100_000))),
      /Invalid clause/,
    )
  })
})
