import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join, parse } from 'node:path'
import { it } from 'node:test'
import { makeReady, PREREQUISITES } from '../../scripts/prerequisites.ts'

it('what cannot be made is named, with the command that makes it and what went wrong, and the others are made all the same', async () => {
  const made: string[] = []
  const one = (name: string, fails = false) => ({
    name,
    for: 'a test',
    command: `make ${name}`,
    make: async () => {
      if (fails) throw new Error('there is no network')
      made.push(name)
    },
  })
  const failures = await makeReady([one('a'), one('b', true), one('c'), one('d')])
  assert.deepEqual(failures, ['b, needed for: a test\n  by hand: make b\n  there is no network'])
  assert.deepEqual(made.toSorted(), ['a', 'c', 'd'])
})

it('every environment of Python that tests use is among them', () => {
  const environments = readdirSync(join(import.meta.dirname, '../../scripts/python')).map((file) => parse(file).name)
  const named = new Set(PREREQUISITES.map(({ command }) => command.split(' ').at(-1)))
  // Benchmarks and the makers of examples have theirs made when they are run.
  const others = new Set(['bench', 'train'])
  for (const environment of environments) assert.ok(others.has(environment) || named.has(environment), environment)
})
