import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Type } from 'typebox'
import { formatFileIssues, readYaml, readYamlDocuments } from '../../src/contract/read-yaml.ts'
import { closest, oneOf } from '../../src/contract/schema.ts'
import { resolveServing, SERVING_DEFAULTS } from '../../src/contract/serving-options.ts'

const Schema = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    color: Type.Optional(oneOf(['red', 'green'])),
    items: Type.Optional(
      Type.Array(
        Type.Object({ weight: Type.Number({ minimum: 0 }), label: Type.Optional(Type.String()) }, { additionalProperties: false }),
      ),
    ),
    sub: Type.Optional(Type.Record(Type.String(), Type.Object({ port: Type.Integer() }, { additionalProperties: false }))),
  },
  { additionalProperties: false },
)

/** What is wrong, as people read it. */
function issues(text: string): string[] {
  const read = readYaml(text, Schema)
  return 'issues' in read ? formatFileIssues('f.yaml', read.issues).split('\n') : []
}

describe('YAML files', () => {
  it('are read against a schema; JSON is YAML', () => {
    assert.deepEqual(readYaml('name: a\nitems:\n  - weight: 1.5\n', Schema), { value: { name: 'a', items: [{ weight: 1.5 }] } })
    assert.deepEqual(readYaml('{"name": "a"}', Schema), { value: { name: 'a' } })
    assert.deepEqual(readYaml('one: &x { weight: 1 }\n', Type.Object({ one: Type.Unknown() })), { value: { one: { weight: 1 } } })
  })

  it('issues name line and column of the key, the path, and what was expected', () => {
    assert.deepEqual(issues('# comment\nname: 7\ncolor: blue\nitems:\n  - weight: 1\n  -   weight: -1\n      label: [x]\n'), [
      'f.yaml:2:1: name: must be string',
      'f.yaml:3:1: color: must be one of ["red","green"]',
      'f.yaml:6:7: items[1].weight: must be >= 0',
      'f.yaml:7:7: items[1].label: must be string',
    ])
    assert.deepEqual(issues('{"name": "a",\n "items": [{"weight": "x"}]}'), ['f.yaml:2:13: items[0].weight: must be number'])
  })

  it('an unknown key is told with the one that was meant, or with those that are known', () => {
    assert.deepEqual(issues('name: a\ncolour: red\n'), ['f.yaml:2:1: colour: unknown key; did you mean "color"?'])
    assert.deepEqual(issues('name: a\nwhatever: 1\n'), ['f.yaml:2:1: whatever: unknown key; known keys: name, color, items, sub'])
    assert.deepEqual(issues('name: a\nitems:\n- weihgt: 1\n  weight: 1\n'), [
      'f.yaml:3:3: items[0].weihgt: unknown key; did you mean "weight"?',
    ])
    assert.deepEqual(issues('name: a\nsub:\n  web:\n    port: 1\n    prot: 2\n'), [
      'f.yaml:5:5: sub.web.prot: unknown key; did you mean "port"?',
    ])
  })

  it('a key with a dot in it is found at its line', () => {
    assert.match(issues('name: a\n\nfoo.bar: 1\n')[0]!, /^f\.yaml:3:1: /)
    assert.match(issues('name: a\nsub:\n  web.v1:\n    port: x\n')[0]!, /^f\.yaml:4:5: /)
  })

  it('a missing key, and an empty file, are told at the place that lacks it', () => {
    assert.match(issues('')[0]!, /^f\.yaml:1:1: .*name/)
    assert.match(issues('name: a\nitems:\n  - label: x\n')[0]!, /^f\.yaml:3:5: .*weight/)
  })

  it('broken YAML is told at its line, every time as issues', () => {
    for (const [text, place] of [
      ['name: [1\n', /^f\.yaml:\d:\d+: /],
      ['name: a\n\tcolor: red\n', /^f\.yaml:2:/],
      ['name: a\nname: b\n', /^f\.yaml:2:1: .*unique/],
      ['name: a\n---\nname: b\n', /^f\.yaml:2:/],
      ['name: *nobody\n', /^f\.yaml:1:\d+: .*alias/i],
    ] as const)
      assert.match(issues(text)[0] ?? 'read', place, text)
  })

  it('a file of several documents is read as all of them, or as what is wrong in any', () => {
    assert.deepEqual(readYamlDocuments('name: a\n---\n---\nname: b\n', Schema), { value: [{ name: 'a' }, { name: 'b' }] })
    assert.deepEqual(readYamlDocuments('', Schema), { value: [] })
    const read = readYamlDocuments('name: a\n---\nname: 7\n---\nname: [\n', Schema)
    const found = 'issues' in read ? formatFileIssues('f.yaml', read.issues).split('\n') : []
    assert.equal(found[0], 'f.yaml:3:1: name: must be string')
    assert.match(found[1] ?? '', /^f\.yaml:\d:\d+: /)
  })

  it('one fault is told once, and a list that was to be none at its own line', () => {
    assert.deepEqual(issues('name: a\nsub:\n  "0":\n    port: x\n'), ['f.yaml:4:5: sub[0].port: must be integer'])
    assert.deepEqual(issues('name: a\nsub:\n  - port: 1\n'), ['f.yaml:2:1: sub: must be object'])
    assert.deepEqual(issues('name: a\nitems: {}\n'), ['f.yaml:2:1: items: must be array'])
    assert.deepEqual(issues('[]'), ['f.yaml:1:1: must be object'])
    assert.deepEqual(issues('name: ""\nitems:\n  - {}\n  - weight: 1\n    what: 2\n'), [
      'f.yaml:1:1: name: must not have fewer than 1 characters',
      'f.yaml:3:5: items[0]: must have required properties weight',
      'f.yaml:5:5: items[1].what: unknown key; known keys: weight, label',
    ])
  })

  it('whatever the text, it is read or there are issues', () =>
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(...Array.from('nameitws :-[]{}&*!|>\'"#%@`,\n\t?0.'), '\n  - ', 'name: ', '<<: '),
          maxLength: 60,
        }),
        (text) => {
          const read = readYaml(text, Schema)
          if ('issues' in read) for (const { column, line } of read.issues) assert.ok(line >= 1 && column >= 1 && read.issues.length > 0)
        },
      ),
      { numRuns: 1000 },
    ))
})

describe('the nearest word', () => {
  it('is within two edits, one for short words, and never far away', () => {
    const words = ['instances', 'threads', 'age', 'plan']
    assert.deepEqual(
      ['instance', 'Threads', 'tread', 'agee', 'aeg', 'pl', 'wholly other'].map((word) => closest(word, words)),
      ['instances', 'threads', 'threads', 'age', undefined, undefined, undefined],
    )
    assert.equal(closest('plant', ['planets', 'planet', 'plan', 'plants']), 'planet', 'of the same distance the first one')
    assert.equal(closest('weigth', ['wights', 'weight']), 'weight', 'the nearer one, wherever it stands')
    assert.equal(closest('weight', ['weight', 'wight']), 'weight')
  })
})

describe('serving options', () => {
  it('later sources win, and the cores decide the number of instances where nobody does', () => {
    const resolved = resolveServing(8, { maxBatchSize: 4, threads: 2 }, undefined, { maxBatchSize: 16 })
    assert.deepEqual(resolved, {
      ...SERVING_DEFAULTS,
      instances: 4,
      threads: 2,
      maxBatchSize: 16,
      memoryLimitMb: undefined,
      latencyGoalMs: undefined,
      queueTimeoutUs: undefined,
      nanPolicy: undefined,
    })
    assert.deepEqual([resolveServing(1, { threads: 4 }).instances, resolveServing(8, { instances: 3 }).instances], [1, 3])
  })
})
