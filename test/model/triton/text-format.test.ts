import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { pythonEnv } from '../../../scripts/python-env.ts'
import { isSlipwayError } from '../../../src/core/errors.ts'
import { ENUMS, MESSAGES, ONE_OF } from '../../../src/model/triton/config-schema.ts'
import { readTextFormat } from '../../../src/model/triton/text-format.ts'
import { randomFrom } from '../../soak/random.ts'
import { randomConfig, withSlip } from './generate-config.ts'
import type { Message } from '../../../src/model/triton/text-format.ts'

interface Theirs {
  readonly read: readonly unknown[]
  readonly descriptor: { readonly messages: object; readonly enums: object; readonly one_of: object }
}

async function theirs(texts: readonly string[]): Promise<Theirs> {
  const python = await pythonEnv('model-config')
  const script = join(import.meta.dirname, 'read_with_protobuf.py')
  return JSON.parse(
    execFileSync(python, [script], { input: JSON.stringify(texts), maxBuffer: 1 << 30, encoding: 'utf8', timeout: 90_000 }),
  ) as Theirs
}

function realText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}

/** A value as the other reader writes it. */
function plain(kind: string, value: Message['fields'] extends ReadonlyMap<string, readonly (infer V)[]> ? V : never): unknown {
  const { value: own } = value
  if (typeof own === 'object') return ours(own)
  if (typeof own === 'bigint') return String(own)
  return kind === 'float' || kind === 'double' ? realText(own as number) : own
}

function isDefault(kind: string, value: unknown): boolean {
  if (kind === 'float' || kind === 'double') return value === realText(0)
  return value === '' || value === 0 || value === '0' || value === false || value === ENUMS[kind]?.[0]
}

/** A message as the other reader writes it: defaults of proto3 are left out. */
function ours({ type, fields }: Message): Record<string, unknown> {
  const types = MESSAGES[type]!
  const result: Record<string, unknown> = {}
  for (const [name, values] of fields) {
    const kind = types[name]!
    const [, key, inner] = /^map<(\w+),([\w.]+)>$/.exec(kind) ?? []
    if (key !== undefined && inner !== undefined) {
      const entries = new Map<string, unknown>()
      for (const { value } of values) {
        const entry = value as Message
        const [given] = entry.fields.get('value') ?? []
        entries.set(String(entry.fields.get('key')?.[0]?.value ?? ''), given === undefined ? '' : plain(inner, given))
      }
      result[name] = [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))
    } else if (kind.endsWith('[]')) result[name] = values.map((value) => plain(kind.slice(0, -2), value))
    else {
      const value = plain(kind, values[0]!)
      if (MESSAGES[kind] !== undefined || ONE_OF[type]?.includes(name) === true || !isDefault(kind, value)) result[name] = value
    }
  }
  return result
}

function readOrRefuse(text: string): unknown {
  try {
    return ours(readTextFormat(text, 'ModelConfig', 'config.pbtxt'))
  } catch (error) {
    assert.ok(isSlipwayError(error) && error.code === 'SLW_PACKAGE_INVALID', String(error))
    return null
  }
}

/** Key order says nothing; maps are sorted by code unit here, and by code point there. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) => {
    if (member === null || typeof member !== 'object') return member
    if (!Array.isArray(member)) return Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const isMap = member.length > 0 && member.every((each) => Array.isArray(each) && each.length === 2)
    return isMap ? member.toSorted((a: unknown[], b: unknown[]) => (String(a[0]) < String(b[0]) ? -1 : 1)) : member
  })
}

describe('the text format', () => {
  it('a configuration is read as protobuf reads it, and what is taken here is taken there', async () => {
    const seed = 20_261_201
    const random = randomFrom(seed)
    const right = Array.from({ length: 1000 }, () => randomConfig(random))
    const wrong = right.slice(0, 500).flatMap((config) => Array.from({ length: 4 }, () => withSlip(random, config.slice(0, 3000))))
    const { read, descriptor } = await theirs([...right, ...wrong])
    assert.deepEqual(descriptor.messages, MESSAGES)
    assert.deepEqual(descriptor.enums, ENUMS)
    assert.deepEqual(descriptor.one_of, ONE_OF)
    let refused = 0
    for (const [index, text] of [...right, ...wrong].entries()) {
      const own = readOrRefuse(text)
      if (index < right.length) assert.notEqual(own, null, `refused (seed ${seed}): ${text}`)
      if (own === null) refused++
      // The specification lets a sign stand apart from its number, and the number of an enum be octal; the reader for Python does not.
      else if (read[index] === null && /-[\s#]|\b0\d/.test(text)) continue
      else assert.equal(canonical(own), canonical(read[index]), `read otherwise (seed ${seed}): ${text}`)
    }
    assert.ok(refused > 200, `${refused} were refused`)
  })

  it('what is wrong is named with its line', () => {
    const cases: [text: string, message: RegExp][] = [
      ['name: "a"\nplatfrom: "b"', /^config\.pbtxt: line 2: ModelConfig has no field "platfrom"; did you mean "platform"\?/],
      ['name "a"', /line 1: expected ":" after "name"/],
      ['name: "a', /line 1: "\\"a" is a string that does not end on its line/],
      ['name: "a\\q"', /line 1: name: "a\\q" has an escape that there is not/],
      ['name: "\\xff"', /line 1: name: the string is not UTF-8/],
      ['name: 5', /line 1: "name" is to be a string, found "5"/],
      ['name: "a"\nname: "b"', /line 2: "name" was said on line 1 already/],
      ['max_batch_size: 1.5', /line 1: max_batch_size: 1\.5 is not a whole number of 32 bits/],
      ['max_batch_size: 4294967296', /is not a whole number of 32 bits/],
      ['max_batch_size: 08', /08 is not a whole number/],
      ['input [\n{ data_type: TYPE_FLOAT32 }]', /line 2: data_type: TYPE_FLOAT32 is not a value of DataType/],
      ['input {\n name: "x"\n', /line 3: expected "}" for what began on line 1, found the end of the file/],
      ['input [ { }', /expected "\]" after the values of "input", found the end of the file/],
      ['dynamic_batching { }\nsequence_batching { }', /line 2: "sequence_batching" and "dynamic_batching" \(line 1\) exclude each other/],
      ['version_policy { all { } }\n}', /line 2: expected the name of a field, found "}"/],
      ['response_cache { enable: yes }', /enable: yes is not true or false/],
      ['[a.b]: 1', /expected the name of a field, found "\["/],
      ['input '.repeat(1), /expected "\{" after "input", found the end of the file/],
      [`name: "${'a'.repeat(5_000_000)}"`, /4194304 are allowed/],
      ['name: @', /"@" is not understood/],
    ]
    for (const [text, message] of cases)
      assert.throws(
        () => readTextFormat(text, 'ModelConfig', 'config.pbtxt'),
        (error) => isSlipwayError(error) && error.code === 'SLW_PACKAGE_INVALID' && (assert.match(error.message, message), true),
      )
  })
})
